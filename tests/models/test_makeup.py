"""Makeup transfer in tensors."""

from urllib.error import URLError

import keras
import numpy as np
import pytest
from keras import ops
from model_contract import check_golden, check_model, fill, noise, record
from prnet_files import write_prnet
from sklearn.metrics import roc_auc_score

import kgan
from kgan import backend
from kgan.data.faces.heads import draw_head
from kgan.faces.mesh import inside, region
from kgan.faces.prnet import read_mesh
from kgan.faces.skin import part_map, part_shares
from kgan.faces.texture import unwrap as read
from kgan.faces.texture import unwrap_table
from kgan.faces.transfer import match_values
from kgan.models.makeup.illumination import ATTENTIONS, IlluminationClassifier, repaired
from kgan.models.makeup.model import WEIGHTS
from kgan.models.makeup.networks import PartChannels, build_vgg_features
from kgan.models.makeup.uv import render, unwrap

MODELS = ["MakeupGAN"]
SIZE = 32


def make(attention="asymmetry", **options):
    return kgan.MakeupGAN(IlluminationClassifier(size=SIZE, width=0.125), SIZE, SIZE, 0.05, attention, **options)


def data(n):
    """A batch whose numbers are a formula, the same for all backends; the tables are of texels in a row."""
    pixels = SIZE**2
    index = (np.arange(pixels)[:, None] * 7 + np.arange(4) * 3) % pixels
    weight = np.abs(noise((n, pixels, 4), salt=5))
    return {
        **{f"{role}_{kind}": noise((n, SIZE, SIZE, 3), salt) for salt, (role, kind) in enumerate(PICTURES)},
        "source_visibility": (noise((n, SIZE, SIZE, 1), salt=6) > -0.5).astype("float32"),
        "reference_visibility": (noise((n, SIZE, SIZE, 1), salt=7) > -0.5).astype("float32"),
        "source_index": np.tile(index, (n, 1, 1)).astype("int32"),
        "source_weight": weight / weight.sum(axis=-1, keepdims=True),
        "source_alpha": (noise((n, SIZE, SIZE, 1), salt=8) + 1) / 2,
        "source_parts": ((noise((n, SIZE, SIZE), salt=9) + 1) * 2).astype("int32"),
        "reference_parts": ((noise((n, SIZE, SIZE), salt=10) + 1) * 2).astype("int32"),
    }


PICTURES = [
    *((role, kind) for role in ("source", "reference") for kind in ("texture", "image")),
    ("target", "texture"),
]


def check(options, folder):
    whole = data(10)
    bad = whole | {"source_index": whole["source_index"] + 9}
    check_model(
        lambda: make(**options),
        (whole,),
        4,
        folder,
        inputs=(whole["source_texture"][:3], whole["reference_texture"][:3]),
        output_shape=(3, SIZE, SIZE, 3),
        bad=((bad,), r"source_index must be in \[0, 1023\]"),
    )


@pytest.mark.only_on("torch")
def test_contract(tmp_path):
    check({}, tmp_path)


@pytest.mark.only_on("torch")
@pytest.mark.parametrize(
    "options",
    [
        {"attention": "paper", "layers": (2,), "output": "tanh", "norm": True, "both_directions": True},
        {"repair": (), "histogram": "image", "weights": {"truth": 1.0}},
        {"repair": (), "histogram": "image", "image_space": True},
    ],
)
def test_contract_with_options(options, tmp_path):
    if options.get("image_space"):
        whole = data(10)
        pictures = whole["source_image"][:3], whole["reference_image"][:3]
        bad = {key: value for key, value in whole.items() if key != "reference_parts"}
        check_model(
            lambda: make(**options),
            (whole,),
            4,
            tmp_path,
            inputs=pictures,
            output_shape=(3, SIZE, SIZE, 3),
            bad=((bad,), "reference_parts missing"),
        )
    else:
        check(options, tmp_path)


def test_golden(name="MakeupGAN"):
    model = make()
    model.compile({player: keras.optimizers.SGD(1e-6) for player in model.players})
    fill(model.classifier.trainable_variables)  # the perceptual loss looks through it
    check_golden(name, model, (data(4),))


# === Losses of a step against NumPy ===


def squares(values, target):
    return np.mean((values - target) ** 2)


def distance(values, references):
    """Eq. 6 as a mean square, of `(n, 3)` and `(m, 3)`."""
    return squares(values, match_values(values, references))


def part_distance(number, fake, source, reference):
    """Of a part, to the reference in the source's light."""
    at, skin = part_map(SIZE) == number, part_map(SIZE) == 3
    found = []
    for a, own, b in zip(fake, source, reference, strict=True):
        ratio = (own[skin] + 1).mean(axis=0) / (b[skin] + 1).mean(axis=0)
        found.append(distance(a[at], (b[at] + 1) * np.sqrt(ratio) - 1))
    return np.mean(found)


def test_losses_of_a_step():
    """From what the networks put out, in float64; the weights are those of the terms."""
    model, batch = make(histogram_reference="repaired"), data(3)
    batch |= {f"{role}_visibility": np.ones_like(batch[f"{role}_visibility"]) for role in ("source", "reference")}
    tensors = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
    with record(model.decoder) as raw, record(model.image_discriminator) as image_scores:
        with record(model.texture_discriminator) as scores, record(model.classifier.network) as looks:
            terms = {name: float(value) for name, value in model.paint(tensors, training=False).items()}
    painted = np.clip(region("face", SIZE), 0, 1)[..., None]
    source, reference = batch["source_texture"], batch["reference_texture"]
    made_up, bare = (x + painted * 2 * np.tanh(r) for x, r in zip((source, reference), raw[:2], strict=True))
    back = [x + painted * 2 * np.tanh(r) for x, r in zip((made_up, bare), raw[2:], strict=True)]
    assert len(raw) == 4
    before, after = (look["block_3"] for look in looks[-2:])
    expected = {
        "image_adversarial": squares(image_scores[0], 1),
        "texture_adversarial": squares(scores[0], 1),
        "cycle": sum(np.abs(x - y).mean() for x, y in zip(back, (source, reference), strict=True)),
        "perceptual": squares(before, after) / (np.mean(before**2) + 1e-6),
        "truth": 0,
    }
    light = np.log((reference + 1) / 2 @ (0.3, 0.6, 0.1) + 0.05)[..., None]
    mask = 1 / (1 + np.exp(-6 * (light[:, :, ::-1] - light)))
    smaller = [mask.reshape(3, SIZE // n, n, SIZE // n, n, 1).mean(axis=(2, 4)) for n in (2, 4)]
    resized = [ops.convert_to_numpy(ops.image.resize(ops.array(m), (SIZE, SIZE))) for m in smaller]
    mask = (mask + sum(resized)) / 3
    wanted = (1 - mask) * reference + mask * reference[:, :, ::-1]
    for number, part in enumerate(("lips", "eyes", "skin"), 1):
        expected[part] = part_distance(number, made_up, source, wanted)
    for name, value in expected.items():
        assert terms[name] == pytest.approx(value, rel=2e-4, abs=1e-6), name
    assert terms["generator"] == pytest.approx(sum(WEIGHTS[name] * value for name, value in expected.items()), rel=2e-4)

    with record(model.image_discriminator) as image_scores, record(model.texture_discriminator) as scores:
        loss = float(model.judge(tensors, training=False)["discriminator"])
    both = (image_scores, scores)
    assert loss == pytest.approx(sum(squares(real, 1) + squares(fake, 0) for real, fake in both), rel=1e-4)


def test_distance_to_the_truth():
    """Each part counts a third; brows and rims belong to the rest of the face, and holes to nothing."""
    model = make(weights={"truth": 1.0})
    rng = np.random.default_rng(0)
    made_up, target = rng.uniform(-1, 1, (2, 3, SIZE, SIZE, 3))
    face = np.clip(region("face", SIZE), 0, 1)
    shares = part_shares(SIZE).astype("float64") * face[..., None]
    apart = np.abs(made_up - target).mean(axis=(0, 3))
    expected = np.mean([(apart * shares[..., i]).sum() / shares[..., i].sum() for i in range(3)])

    def distance(one, other):
        return float(model._distance_to_truth(*(ops.convert_to_tensor(x.astype("float32")) for x in (one, other))))

    assert distance(made_up, target) == pytest.approx(expected, rel=1e-5)
    brows, nothing = region("brows", SIZE) > 0.5, face == 0
    rim = (face > 0) & (face < 0.9)
    for place in (brows, rim, nothing):
        changed = np.where(place[..., None], target + 0.5, target)
        expected = ((0.5 * place)[..., None] * shares).sum(axis=(0, 1)) / shares.sum(axis=(0, 1))
        assert place.any() and distance(changed, target) == pytest.approx(expected.mean(), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("options", [{"adaptation": 0}, {"adaptation": 0, "repair": (), "histogram": "image"}])
def test_histograms_of_the_paper(options):
    """Raw colours of the reference, in textures or in images, where parts differ in size."""
    model, batch = make(histogram_reference="raw", **options), data(2)
    batch["reference_visibility"] = np.ones_like(batch["reference_visibility"])
    batch["source_visibility"] = np.ones_like(batch["source_visibility"])
    tensors = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
    fake = ops.convert_to_tensor(batch["target_texture"])
    terms = model._histogram_losses(fake, "source", "reference", None, tensors)
    if model.histogram == "image":
        pictures = ops.convert_to_numpy(model._rendered(fake, tensors)), batch["reference_image"]
        parts = batch["source_parts"], batch["reference_parts"]
    else:
        pictures = batch["target_texture"], batch["reference_texture"]
        parts = [np.broadcast_to(part_map(SIZE), (2, SIZE, SIZE))] * 2
    for number, part in enumerate(("lips", "eyes", "skin"), 1):
        each = [distance(a[p == number], b[q == number]) for a, b, p, q in zip(*pictures, *parts, strict=True)]
        assert float(ops.convert_to_numpy(terms[part])) == pytest.approx(np.mean(each), rel=1e-3), part


@pytest.mark.every_backend
def test_few_of_the_pixels_of_large_parts_are_matched(monkeypatch):
    """Of a part with more pixels than are sorted in a step, some stand for all; smaller parts are matched whole."""
    model, batch = make(repair=(), histogram="image"), data(2)
    for role in ("source", "reference"):
        batch[f"{role}_parts"] = np.where(np.arange(SIZE)[:, None] < 4, 1, 3)[None].repeat(2, 0).repeat(SIZE, 2)
    batch["reference_image"] = 0.3 * batch["reference_image"] - 0.5
    tensors = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
    found = {}
    for most in (SIZE**2, 400):
        monkeypatch.setattr("kgan.models.makeup.model.MOST_MATCHED", most)
        terms = model._histogram_losses(tensors["source_texture"], "source", "reference", None, tensors)
        found[most] = {part: float(ops.convert_to_numpy(value)) for part, value in terms.items()}
    assert found[400]["lips"] == pytest.approx(found[SIZE**2]["lips"], rel=1e-5)
    assert found[400]["skin"] == pytest.approx(found[SIZE**2]["skin"], rel=0.1)
    assert found[400]["skin"] != found[SIZE**2]["skin"]


def test_a_face_whose_skin_nobody_sees_keeps_its_colours():
    """Its light is unknown, so that the ratio of both is 1."""
    batch = data(2)
    batch["reference_visibility"] = np.where(part_map(SIZE) == 3, 0.0, 1.0)[None, ..., None].repeat(2, axis=0)
    tensors = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
    found = [
        float(ops.convert_to_numpy(make(adaptation=a)._histogram_losses(*arguments)["lips"]))
        for a in (0, 1)
        for arguments in [(tensors["source_texture"], "source", "reference", None, tensors)]
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6) and found[0] > 0


def test_texels_that_nobody_sees_do_not_matter():
    """What is behind hair changes no histogram and no discriminator's opinion."""
    model, batch = make(repair=()), data(3)
    hidden = batch["source_visibility"] == 0
    other = batch | {"source_texture": np.where(hidden, -batch["source_texture"], batch["source_texture"])}
    found = []
    for each in (batch, other):
        tensors = {key: ops.convert_to_tensor(value) for key, value in each.items()}
        fake = tensors["source_texture"]
        scores = model._texture_scores(fake, "source", tensors, 0, False)
        terms = model._histogram_losses(fake, "source", "reference", None, tensors)
        found.append([ops.convert_to_numpy(scores), *map(float, terms.values())])
    for one, another in zip(*found, strict=True):
        np.testing.assert_allclose(one, another, atol=1e-6)


# === Inference ===


def test_shade_and_parts():
    model, batch = make(), data(3)
    source, reference = batch["source_texture"], batch["reference_texture"]
    whole = model.transfer(source, reference)
    assert whole.dtype == "float32" and np.abs(whole - source).max() > 0.01 and np.abs(whole).max() <= 1
    np.testing.assert_array_equal(model.transfer(source, reference, shade=0), source)
    changes = [np.abs(model.transfer(source, reference, shade) - source).mean() for shade in (0.25, 0.5, 0.75, 1)]
    assert (np.diff(changes) > 0).all()
    lips = model.transfer(source, reference, parts=["lips"])
    assert not np.abs(lips - source)[:, region("lips", SIZE) == 0].any()
    np.testing.assert_allclose(lips[:, region("lips", SIZE) == 1], whole[:, region("lips", SIZE) == 1], atol=1e-6)
    parts = [model.transfer(source, reference, parts={part: 0.5}) - source for part in ("lips", "eyes", "skin")]
    half = model.transfer(source, reference, shade=0.5) - source
    unclipped = np.abs(source + 2 * half).max(axis=0) < 1
    np.testing.assert_allclose(sum(parts)[:, unclipped], half[:, unclipped], atol=1e-5)
    holes = region("eyes", SIZE) + region("mouth", SIZE) > 0.999
    np.testing.assert_array_equal(whole[:, holes], source[:, holes])


def test_interpolation_ends_at_both_references():
    model, batch = make(), data(2)
    source, first = batch["source_texture"], batch["reference_texture"]
    last = first[::-1]
    between = model.interpolate(source, first, last, steps=3)
    assert between.shape == (2, 3, SIZE, SIZE, 3)
    np.testing.assert_allclose(between[:, 0], model.transfer(source, first), atol=1e-5)
    np.testing.assert_allclose(between[:, 2], model.transfer(source, last), atol=1e-5)
    assert np.abs(between[:, 1] - between[:, 0]).max() > 1e-4
    np.testing.assert_array_equal(model.remove(first, source), model.transfer(first, source))


def test_repair_reads_the_other_side_of_the_reference():
    """With masks that are 1, the makeup is that of the mirrored face; without repair, the face's own."""
    source, reference = data(2)["source_texture"], data(2)["reference_texture"]
    found = {}
    for repair in ((), ("reference",)):
        keras.utils.set_random_seed(0)
        model = make(repair=repair)
        model.classifier.attention_masks = lambda x, *args: [ops.ones_like(x[..., :1])] * 3
        found[repair] = [model.transfer(source, face) for face in (reference, reference[:, :, ::-1])]
    assert np.abs(found[()][0] - found[()][1]).max() > 1e-4
    mirrored = model._encode(ops.array(reference[:, :, ::-1]))[0]["reference"]
    plain = make(repair=())
    plain.encoder, plain.fusion = model.encoder, model.fusion
    # The encoder is not exactly symmetric, so that features of a mirrored face are not mirrored features.
    expected = ops.flip(plain._encode(ops.array(reference[:, :, ::-1]))[0]["reference"], axis=2)
    np.testing.assert_allclose(ops.convert_to_numpy(mirrored), ops.convert_to_numpy(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": "relu"}, "output='relu': pass 'residual' or 'tanh'"),
        ({"histogram": "lab"}, "histogram='lab'"),
        ({"histogram_reference": "own"}, "histogram_reference='own'"),
        ({"attention": "none"}, "attention='none'"),
        ({"layers": ()}, "layers="),
        ({"repair": ("both",)}, "repair="),
        ({"adaptation": 1.5}, "adaptation=1.5"),
        ({"histogram_reference": "repaired", "repair": ("source",)}, "needs 'reference' in repair"),
        ({"histogram": "image", "both_directions": True}, "both_directions=True needs histogram='texture'"),
        ({"image_space": True}, "needs repair="),
        ({"weights": {"style": 1}}, "weights of style"),
        ({"weights": {"lips": -1}}, "weights.'lips'.=-1"),
        ({"weights": {"lips": np.nan}}, "weights.'lips'.=nan: pass a finite number"),
        ({"weights": dict.fromkeys(WEIGHTS, 0)}, "All weights are 0: there is nothing to learn"),
        ({"image_space": True, "repair": (), "histogram": "image", "weights": {"truth": 1}}, "truth is a texture"),
        (
            {"image_space": True, "repair": (), "histogram": "image", "weights": {"texture_adversarial": 1}},
            "no textures in image space",
        ),
    ],
)
def test_models_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


def test_sizes_that_do_not_fit():
    for sizes, words in (
        ((36, 32), "uv_size=36"),
        ((32, 16), "image_size=16"),
        ((64, 32), "textures of 32, this .* 64"),
    ):
        with pytest.raises(ValueError, match=words):
            kgan.MakeupGAN(IlluminationClassifier(size=32, width=0.125), *sizes, width=0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source_texture": np.full((4, 32, 32, 3), 1.5)}, r"source_texture must be in \[-1, 1\]"),
        ({"reference_texture": np.zeros((4, 16, 16, 3))}, r"reference_texture must be .*32, 32, 3.* got .*16, 16, 3"),
        ({"source_weight": np.zeros((4, 400, 4))}, r"source_weight must be .*1024, 4.* got .*400, 4"),
        ({"source_alpha": np.zeros((4, 16, 16, 1))}, "source_alpha must be"),
        ({"reference_visibility": np.zeros((4, 64, 64, 1))}, "reference_visibility must be"),
        ({"source_index": np.full((4, 1024, 4), 4000)}, "source_index must be in"),
        ({"source_index": np.zeros((4, 1024, 4))}, "source_index must be integers"),
        ({"source_visibility": np.full((4, 32, 32, 1), 5.0)}, r"source_visibility must be in \[0, 1\]"),
    ],
)
def test_batches_that_do_not_fit(change, words):
    model = make()
    model.compile()
    with pytest.raises(ValueError, match=words):
        model.fit(data(4) | change, verbose=0)
    with pytest.raises(ValueError, match="call fit\\(pairs\\)"):
        model.fit(data(4), np.zeros(4), verbose=0)


def test_another_layout(tmp_path):
    """Parts lie elsewhere in PRNet's; it is saved, and refuses textures in MediaPipe's, which refuses PRNet's."""
    layout = read_mesh(write_prnet(tmp_path)).layout
    model = make(uv_layout=layout)
    model.compile()
    pairs = data(3)
    source, reference = pairs["source_texture"], pairs["reference_texture"]
    painted = model.transfer(source, reference)
    lips = model.transfer(source, reference, parts=["lips"])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.uv_layout == layout
    np.testing.assert_allclose(again.transfer(source, reference), painted, atol=1e-5)
    changed = np.abs(painted - source).max(axis=(0, 3)) > 0
    assert changed[inside(SIZE, layout)].mean() > 0.8 and not changed[~inside(SIZE, layout)].any()
    assert not np.abs(lips - source)[:, region("lips", SIZE, layout) == 0].any()

    # The networks and the histograms are told the same.
    for network in (model.encoder, model.decoder):
        (told,) = [layer for layer in network.layers if isinstance(layer, PartChannels)]
        assert told.layout == PartChannels.from_config(told.get_config()).layout == layout
        shown = ops.convert_to_numpy(told(ops.zeros((1, SIZE, SIZE, 1))))
        np.testing.assert_allclose(shown[0, ..., 1:], part_shares(SIZE, layout))
    for number, texels in enumerate(model._texels, 1):
        np.testing.assert_array_equal(texels, np.flatnonzero(part_map(SIZE, layout) == number))
    config = make().get_config()
    del config["uv_layout"]  # as in files of earlier versions
    assert kgan.MakeupGAN.from_config(config).uv_layout.name == "mediapipe"
    for wrong in (read_mesh(tmp_path), "prnet", {}):
        with pytest.raises(ValueError, match="pass a kgan.faces.mesh.Layout"):
            make(uv_layout=wrong)

    # Images may be finer than textures.
    fine = kgan.data.load_makeup("synthetic/faces", count=4, uv_size=SIZE, image_size=160)
    model = kgan.MakeupGAN(IlluminationClassifier(size=SIZE, width=0.125), SIZE, 160, 0.05, "asymmetry")
    model.check_batch(fine)
    model = make(uv_layout=layout)
    model.compile()
    drawn = kgan.data.load_makeup("synthetic/faces", count=4, uv_size=SIZE, image_size=SIZE)
    with pytest.raises(ValueError, match="% of the texels in images are beside the face .*'prnet'.* another layout"):
        model.fit(drawn, verbose=0)
    model = make()
    model.compile()
    model.fit(drawn, batch_size=4, verbose=0)
    inverse = np.flatnonzero(inside(SIZE, layout))
    index = inverse[np.arange(SIZE**2 * 4) % len(inverse)].reshape(1, -1, 4)
    of_prnet = data(4) | {"source_index": index.repeat(4, 0), "source_alpha": np.ones((4, SIZE, SIZE, 1))}
    with pytest.raises(ValueError, match="beside the face in this model's uv_layout, 'mediapipe'"):
        model.fit(of_prnet, verbose=0)


def test_data_that_are_no_pairs():
    model = make(weights={"truth": 1.0}, attention="calibrated")
    model.compile()
    whole = data(4)
    for wrong, words in (
        ((whole["source_texture"],), "takes the dict that"),
        (({key: value for key, value in whole.items() if key != "target_texture"},), "target_texture missing"),
        ((whole,), "not calibrated: call calibrate"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(*wrong, verbose=0)
    source = whole["source_texture"]
    for arguments, words in (((source, source), "not calibrated"),):
        with pytest.raises(ValueError, match=words):
            model.transfer(*arguments)
    model = make()
    for arguments, words in (
        ((source, source[:1]), "4 source, 1 reference textures: pass as many of each"),
        ((source[:, :16], source), "source textures must be"),
        ((source, source, 1.5), "shade=1.5"),
        ((source, source, 1, ["nose"]), "parts=.'nose'."),
        ((source, source, 1, {"lips": 2}), "numbers in .0, 1."),
    ):
        with pytest.raises(ValueError, match=words):
            model.transfer(*arguments)
    with pytest.raises(ValueError, match="steps=1"):
        model.interpolate(source, source, source, steps=1)
    with pytest.raises(ValueError, match="4 source, 1 first, 4 last textures"):
        model.interpolate(source, source[:1], source)


@pytest.mark.only_on("tensorflow", "torch")
def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make("paper")  # whose masks are in half precision, too
        model.compile()
        history = model.fit(data(8), batch_size=4, verbose=0).history
        assert all(np.isfinite(value).all() for value in history.values())
        source, holes = data(2)["source_texture"], region("eyes", SIZE) + region("mouth", SIZE) > 0.999
        painted = model.transfer(source, data(2)["reference_texture"])
        assert painted.dtype == "float32"
        np.testing.assert_array_equal(painted[:, holes], source[:, holes])
    finally:
        keras.config.set_dtype_policy("float32")


def test_vgg_looks_at_colours_as_keras_applications_does():
    network = build_vgg_features(SIZE, weights=None)
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype("float32")
    expected = network.layers[-1].predict(keras.applications.vgg16.preprocess_input(pixels.copy()), verbose=0)
    found = network.predict(pixels / 127.5 - 1, verbose=0)
    assert found.shape == (2, 4, 4, 512)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    model = make(perceptual_network=network)
    again = kgan.MakeupGAN.from_config(model.get_config())
    assert again.perceptual_network.count_params() == network.count_params()


def test_vgg_without_a_network(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise URLError("no route")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="VGG16 has no weights 'imagenet' here: .*no route"):
        build_vgg_features(SIZE)


@pytest.fixture(scope="module")
def pairs():
    return kgan.data.load_makeup("synthetic/faces", count=2, uv_size=32, image_size=40)


def table(pairs):
    return [ops.convert_to_tensor(pairs[f"source_{name}"]) for name in ("index", "weight", "alpha")]


@pytest.mark.every_backend
def test_the_source_rendered_on_itself_is_itself(pairs):
    """Where there is no face nothing changes; where there is, the texture is what was drawn."""
    image = render(
        ops.convert_to_tensor(pairs["source_texture"]), *table(pairs), ops.convert_to_tensor(pairs["source_image"])
    )
    image, alpha = ops.convert_to_numpy(image), pairs["source_alpha"][..., 0]
    np.testing.assert_array_equal(image[alpha == 0], pairs["source_image"][alpha == 0])
    np.testing.assert_allclose(image[alpha > 0.999], pairs["source_image"][alpha > 0.999], atol=2e-3)


@pytest.mark.every_backend
def test_gradient_of_a_texture(pairs):
    """Against its closed form: each texel gets the weights of the pixels that it is part of."""
    index, weight, alpha = table(pairs)
    upstream = np.random.default_rng(0).normal(size=pairs["source_image"].shape).astype("float32")

    def total(textures):
        image = render(textures, index, weight, alpha, ops.convert_to_tensor(pairs["source_image"]))
        return ops.reshape(ops.sum(image * ops.convert_to_tensor(upstream), axis=(1, 2, 3)), (2, 1))

    slopes = backend.input_gradient(total, ops.convert_to_tensor(pairs["source_texture"]))
    slopes = ops.convert_to_numpy(ops.stop_gradient(slopes))
    expected = np.zeros((2, 32 * 32, 3))
    for b in range(2):
        gain = (pairs["source_alpha"][b] * upstream[b]).reshape(-1, 1, 3) * pairs["source_weight"][b][..., None]
        np.add.at(expected[b], pairs["source_index"][b].ravel(), gain.reshape(-1, 3))
    np.testing.assert_allclose(slopes.reshape(2, -1, 3), expected, atol=1e-5)


@pytest.mark.every_backend
def test_unwrapped_is_what_numpy_unwraps(pairs):
    images = np.random.default_rng(0).random((2, 40, 50, 3)).astype("float32")
    heads = [draw_head(np.random.default_rng(seed)) * (2, 2, 2) + (25, 20, 0) for seed in range(2)]
    tables = [unwrap_table(points, (40, 50), 32) for points in heads]
    found = unwrap(images, *(np.stack(parts) for parts in zip(*tables, strict=True)))
    expected = [read(image, points, 32) for image, points in zip(images, heads, strict=True)]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


# === Light ===


@pytest.fixture
def classifier():
    return IlluminationClassifier(num_classes=5, size=32, width=0.125)


def test_light_is_learned_and_masks_are_calibrated(classifier, tmp_path):
    textures, labels = kgan.data.load("synthetic/faces", image_size=32, count=250)
    classifier.compile(metrics=["accuracy"])
    history = classifier.fit(textures, labels, epochs=12, batch_size=25, verbose=0).history
    assert history["accuracy"][-1] > 0.8 and history["loss"][-1] < history["loss"][0]

    held = kgan.data.load_makeup("synthetic/faces", "test", uv_size=32, image_size=32, count=60)
    one_sided = np.isin(held["reference_light"], (1, 2))
    textures, shades = held["reference_texture"][one_sided], held["reference_shade"][one_sided]
    with pytest.raises(ValueError, match="not calibrated: call calibrate"):
        classifier.masks(textures)
    classifier.calibrate(textures[::2], shades[::2])
    shade = np.log(shades[1::2, ..., 0])
    difference = shade - shade[:, :, ::-1]
    clear = np.abs(difference) > 0.15
    found = {}
    for attention in ATTENTIONS:
        masks = classifier.masks(ops.convert_to_tensor(textures[1::2]), attention)
        assert [mask.shape[1:] for mask in masks] == [(32, 32, 1), (16, 16, 1), (8, 8, 1)]
        mask = ops.convert_to_numpy(masks[0])[..., 0]
        assert 0 <= mask.min() and mask.max() <= 1
        found[attention] = roc_auc_score(difference[clear] < 0, mask[clear])
    assert found["calibrated"] > 0.8 and found["asymmetry"] > 0.9 and found["half"] == 0.5
    assert ops.convert_to_numpy(classifier.masks(textures, "paper")[1]).min() >= 0.5  # features are not negative

    classifier.save(tmp_path / "light.keras")
    again = keras.saving.load_model(tmp_path / "light.keras")
    for one, other in zip(classifier.masks(textures), again.masks(textures), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-6)


def test_masks_of_a_mirrored_face_are_mirrored(classifier):
    """By asymmetry: what one side takes from the other, the other does not take from it."""
    textures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    (mask,) = classifier.masks(ops.convert_to_tensor(textures), "asymmetry", layers=(1,))
    mask = ops.convert_to_numpy(mask)
    np.testing.assert_allclose(mask + mask[:, :, ::-1], 1, atol=1e-5)
    light = np.log((textures + 1) / 2 @ (0.3, 0.6, 0.1) + 0.05)
    np.testing.assert_allclose(mask[..., 0], 1 / (1 + np.exp(-6 * (light[:, :, ::-1] - light))), atol=1e-5)


@pytest.mark.parametrize("attention", ["asymmetry", "paper", "half"])
def test_masks_of_what_a_generator_made(attention, classifier):
    """Its colours may lie outside [-1, 1]: darker than black has no logarithm."""
    textures = ops.full((1, 32, 32, 3), -1.4)
    for mask in classifier.attention_masks(textures, attention, (1, 2)):
        assert np.isfinite(ops.convert_to_numpy(mask)).all()


def test_repair_is_equation_4_for_each_mask():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    masks = [rng.random((2, 4, 6, 1)).astype("float32"), np.full((2, 2, 3, 1), 0.25, "float32")]
    found = ops.convert_to_numpy(repaired(ops.convert_to_tensor(features), [ops.convert_to_tensor(m) for m in masks]))
    mirrored = features[:, :, ::-1]
    first = (1 - masks[0]) * features + masks[0] * mirrored
    np.testing.assert_allclose(found, np.concatenate([first, 0.75 * features + 0.25 * mirrored], axis=-1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_classes": 1}, "num_classes=1"), ({"size": 16}, "size=16"), ({"width": 0}, "width=0")],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        IlluminationClassifier(**options)


def test_data_that_do_not_fit(classifier):
    textures, labels = np.zeros((4, 32, 32, 3), "float32"), np.zeros(4, "int32")
    classifier.compile()
    for wrong, words in (
        ((textures, labels + 5), "whole numbers from 0 to 4"),
        ((textures + 2, labels), r"\[-1, 1\]"),
        ((textures[:, :16], labels), "32"),
        ((textures, None), "needs textures and labels"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier.fit(*wrong, verbose=0)
    for options, words in (({"attention": "none"}, "attention='none'"), ({"layers": (4,)}, "layers=")):
        with pytest.raises(ValueError, match=words):
            classifier.masks(textures, **options)
    with pytest.raises(ValueError, match="same on both sides"):
        classifier.calibrate(textures, np.ones((4, 32, 32, 1)))
