import keras
import numpy as np
import pytest
from keras import ops
from model_contract import check_golden, check_model, contract_on, noise, record

import kgan
from kgan.layers import DomainBatchNormalization, SampleNormalization, SpectralConv2D
from kgan.models.cvae_gan import networks
from kgan.models.cvae_gan.networks import build_classifier, build_encoder, build_generators
from kgan.models.gan import dcgan_discriminator

MODELS = ["CVAEGAN", "CVAE", "CGAN", "FMCGAN"]


def make(name, width=0.05, **options):
    return getattr(kgan, name)(num_classes=3, image_size=32, channels=1, latent_dim=8, width=width, **options)


def data(n):
    return noise((n, 32, 32, 1), salt=3), np.arange(n, dtype="int32") % 3


def check(new, tmp_path, monkeypatch):
    # GoogLeNet's nine modules are left out: a step is traced many times here. `test_golden` has them all.
    monkeypatch.setattr(networks, "_inception", lambda x, w, *channels: x)
    images, labels = data(7)
    check_model(
        new,
        (images, labels),
        4,
        tmp_path,
        inputs=[noise((3, 8), salt=1), np.eye(3, dtype="float32")],
        output_shape=(3, 32, 32, 1),
        bad=((images, labels + 1), "Labels must be 0 to 2"),
    )


@pytest.mark.parametrize("name", contract_on(MODELS, everywhere=["CVAEGAN"]))
def test_contract(name, tmp_path, monkeypatch):
    check(lambda: make(name), tmp_path, monkeypatch)


def test_contract_of_separate_optimizers(tmp_path, monkeypatch):
    check(lambda: make("CVAEGAN", separate=True), tmp_path, monkeypatch)


@pytest.mark.parametrize("name", MODELS)
def test_golden(name):
    # Few channels or samples make deep batch norm badly conditioned: float32 alone then moves gradients by 2 %.
    model = make(name, width=0.1)
    model.compile({player: keras.optimizers.SGD(2e-6) for player in model.players})
    check_golden(name, model, data(32))


# === Networks ===


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_fit_every_size(size, channels):
    args = (size, channels, 5)
    encoder, (generator,) = build_encoder(*args, 16, 0.05), build_generators(*args, 16, 0.05)
    discriminator, classifier = dcgan_discriminator(size, channels, 0.05), build_classifier(*args, 0.05)
    image = (None, size, size, channels)
    assert encoder.input_shape == [image, (None, 5)] and encoder.output["mean"].shape == (None, 16)
    assert generator.output_shape == image
    assert discriminator.output["logits"].shape == (None, 1)
    assert classifier.output["logits"].shape == (None, 5)


def test_generator_is_the_papers_at_128():
    (generator,) = build_generators(128, 3, 10, 256, 1.0)
    deconvolutions = [la for la in generator.layers if isinstance(la, keras.layers.Conv2DTranspose)]
    assert [la.filters for la in deconvolutions] == [256, 256, 128, 92, 64, 3]
    assert [la.kernel_size[0] for la in deconvolutions] == [3, 3, 5, 5, 5, 5]
    assert sum(isinstance(la, keras.layers.Dense) for la in generator.layers) == 2


def test_up_sampling_leaves_no_pattern_of_squares():
    """Of a constant map, kernels of ones make a constant one again, but for the edges."""
    spread = {}
    for upsample in (False, True):
        (generator,) = build_generators(32, 1, 3, 8, 0.05, upsample=upsample)
        kinds = keras.layers.UpSampling2D if upsample else keras.layers.Conv2DTranspose
        assert sum(isinstance(layer, kinds) for layer in generator.layers) == 4
        assert generator.output_shape[1:3] == (32, 32)
        last = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2D | kinds)][-1]
        first = generator.layers.index(last) - upsample
        last.kernel.assign(ops.ones_like(last.kernel))
        x = ops.ones((1, *generator.layers[first].input.shape[1:]))
        for layer in generator.layers[first : first + 1 + upsample]:
            x = layer(x)
        spread[upsample] = np.std(ops.convert_to_numpy(x)[0, 4:-4, 4:-4, 0])
    assert spread[True] == 0 and spread[False] > 1


@pytest.mark.parametrize("name", ["CVAEGAN", "FMCGAN", "CGAN"])
def test_the_norm_of_the_discriminator(name):
    spectral = make(name, discriminator_norm="spectral")
    again = type(spectral).from_config(spectral.get_config())
    for model, count in ((spectral, 3), (again, 3), (make(name), 0)):
        assert sum(isinstance(layer, SpectralConv2D) for layer in model.discriminator.layers) == count
    layer_norm = make(name, discriminator_norm="layer").discriminator
    assert sum(isinstance(layer, SampleNormalization) for layer in layer_norm.layers) == 2
    with pytest.raises(ValueError, match="norm='none'"):
        make(name, discriminator_norm="none")


@pytest.mark.parametrize("name", ["CVAEGAN", "FMCGAN", "CGAN"])
def test_the_width_of_the_discriminator_alone(name):
    plain, wide = make(name), make(name, discriminator_width=0.5)
    again = type(wide).from_config(wide.get_config())
    for model, expected in ((plain, [4, 8, 12]), (wide, [32, 64, 128]), (again, [32, 64, 128])):
        channels = [layer.filters for layer in model.discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
        assert channels == expected
    networks = [player for player in plain.players if player != "discriminator"]
    for network in networks:
        assert getattr(wide, network).count_params() == getattr(plain, network).count_params()
    with pytest.raises(ValueError, match="width=0"):
        make(name, discriminator_width=0)


def test_the_width_of_the_generator_alone():
    sizes = {}
    for wide in (None, 0.2):
        model = make("CVAEGAN", generator_width=wide)
        assert type(model).from_config(model.get_config()).generator.count_params() == model.generator.count_params()
        sizes[wide] = [getattr(model, n).count_params() for n in ("generator", "decoder", "encoder", "classifier")]
    plain, wide = sizes.values()
    one, _ = build_generators(32, 1, 3, 8, 0.2, names=("generator", "decoder"))
    assert wide[0] == wide[1] == one.count_params() > 2 * plain[0]
    assert wide[2:] == plain[2:]
    with pytest.raises(ValueError, match="width=0"):
        make("CGAN", generator_width=0)


def test_label_reaches_every_network_that_takes_one():
    images = data(2)[0]
    labels = [np.tile(one, (2, 1)) for one in np.eye(3, dtype="float32")[:2]]
    model, conditional = make("CVAEGAN"), make("CGAN")
    latents = noise((2, 8), salt=1)
    for outputs, least in (
        ([model.generator.predict([latents, y], verbose=0) for y in labels], 1e-3),
        ([model.encoder.predict([images, y], verbose=0)["mean"] for y in labels], 1e-3),
        ([conditional.discriminator.predict([images, y], verbose=0)["logits"] for y in labels], 1e-5),
    ):
        assert np.abs(outputs[0] - outputs[1]).max() > least


def test_feature_layers_join_the_features():
    plain, more = make("CVAEGAN"), make("CVAEGAN", feature_layers=("discriminator_conv2", "classifier_fc6"))
    extra = np.prod(plain.discriminator.get_layer("discriminator_conv2").output.shape[1:])
    sizes = [m.discriminator.output["features"].shape[-1] for m in (plain, more)]
    assert sizes[1] == sizes[0] + extra
    assert more.classifier.output["features"].shape[-1] > plain.classifier.output["features"].shape[-1]
    with pytest.raises(ValueError, match="must start with"):
        make("CVAEGAN", feature_layers=("encoder_conv1",))


def test_features_are_the_input_of_the_last_layer():
    model, images = make("CVAEGAN"), data(4)[0]
    for network in (model.discriminator, model.classifier):
        out = {k: ops.convert_to_numpy(v) for k, v in network(images).items()}
        last = network.get_layer(f"{network.name}_logits")
        kernel, bias = (ops.convert_to_numpy(w.value) for w in last.weights)
        np.testing.assert_allclose(out["features"] @ kernel + bias, out["logits"], rtol=1e-4, atol=1e-5)


# === Losses of a step, against NumPy ===


def test_losses_are_equations_1_to_7():
    """The step's losses from the networks' own outputs, recomputed in NumPy float64."""
    model = make("CVAEGAN", lambdas=(2.0, 3.0, 5.0, 7.0), decay=0.5)
    images, labels = data(6)
    with record(model.discriminator) as d_seen, record(model.classifier) as c_seen:
        result = {k: float(v) for k, v in model.step(ops.convert_to_tensor(images), labels, training=False).items()}
    (dr, df, dp), (cr, cf, _) = d_seen, c_seen

    def cross_entropy(logits, sign):
        return np.mean(np.logaddexp(0, -sign * logits))

    def half_square(a, b):
        return 0.5 * np.mean(np.sum((a - b) ** 2, axis=1))

    discriminator = cross_entropy(dr["logits"], 1) + cross_entropy(df["logits"], -1) + cross_entropy(dp["logits"], -1)
    np.testing.assert_allclose(result["discriminator"], discriminator, rtol=1e-5)
    log_p = cr["logits"] - np.log(np.exp(cr["logits"]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(result["classifier"], -log_p[np.arange(6), labels].mean(), rtol=1e-5)
    mean_d = 0.5 * np.sum((dr["features"].mean(axis=0) - dp["features"].mean(axis=0)) ** 2)
    np.testing.assert_allclose(result["mean_matching"], mean_d, rtol=1e-4)
    d, c = half_square(dr["features"], df["features"]), half_square(cr["features"], cf["features"])
    np.testing.assert_allclose(result["pairwise_discriminator"], d, rtol=1e-4)
    np.testing.assert_allclose(result["pairwise_classifier"], c, rtol=1e-4)
    pairwise = 3 * (result["pixel"] + d + c)
    np.testing.assert_allclose(result["encoder"], 2 * result["kl"] + pairwise, rtol=1e-5)
    generator = pairwise + 5 * mean_d + 7 * result["class_matching"]
    np.testing.assert_allclose(result["generator"], generator, rtol=1e-5)


@pytest.mark.parametrize(("literal", "power"), [(False, 0.5), (True, 1.0)])
def test_sampling(literal, power, monkeypatch):
    """z = mean + r exp(epsilon / 2); printed in the paper: mean + r exp(epsilon)."""
    model = make("CVAE", literal_sampling=literal)
    seen = []
    call = model.generator.call
    monkeypatch.setattr(model.generator, "call", lambda x, **kw: (seen.append(x), call(x, **kw))[1])
    layer = model.encoder.get_layer("log_variance")
    layer.set_weights([np.zeros(layer.kernel.shape), np.full(8, 2 * np.log(3.0))])
    monkeypatch.setattr(keras.random, "normal", lambda shape, **_: ops.ones(tuple(int(n) for n in shape)))
    images, labels = data(3)
    model.reconstruct_for_training(ops.convert_to_tensor(images), model.one_hot(labels), training=False)
    mean, _ = model.encode(images, labels)
    difference = ops.convert_to_numpy(seen[0][0]) - mean
    np.testing.assert_allclose(difference, np.full((3, 8), 9.0**power), rtol=1e-4)


@pytest.mark.parametrize("part", ["image", "discriminator", "classifier"])
def test_ablation_removes_a_part_of_the_generators_loss(part):
    matching = tuple({"image", "discriminator", "classifier"} - {part})
    full, less = (make("CVAEGAN", matching=m) for m in (("image", "discriminator", "classifier"), matching))
    less.set_weights(full.get_weights())
    less.seed_generator.state.assign(full.seed_generator.state)
    images, labels = data(6)
    images = ops.convert_to_tensor(images)
    a, b = ({k: float(v) for k, v in m.step(images, labels, training=False).items()} for m in (full, less))
    removed = {
        "image": a["pixel"],
        "discriminator": a["pairwise_discriminator"] + 1e-3 * a["mean_matching"],
        "classifier": a["pairwise_classifier"] + 1e-3 * a["class_matching"],
    }[part]
    np.testing.assert_allclose(a["generator"] - b["generator"], removed, rtol=1e-3)
    assert a["discriminator"] == pytest.approx(b["discriminator"], rel=1e-5)


def test_weights_of_the_parts():
    """A part at weight w adds w times what it adds at weight 1; encoder and generator alike."""
    full, weighted = make("CVAEGAN"), make("CVAEGAN", matching={"image": 0.1, "classifier": 3, "discriminator": 1})
    weighted.set_weights(full.get_weights())
    weighted.seed_generator.state.assign(full.seed_generator.state)
    images, labels = data(6)
    images = ops.convert_to_tensor(images)
    a, b = ({k: float(v) for k, v in m.step(images, labels, training=False).items()} for m in (full, weighted))
    pairwise = 2 * a["pairwise_classifier"] - 0.9 * a["pixel"]
    np.testing.assert_allclose(b["encoder"] - a["encoder"], pairwise, rtol=1e-3)
    np.testing.assert_allclose(b["generator"] - a["generator"], pairwise + 2e-3 * a["class_matching"], rtol=1e-3)
    again = kgan.CVAEGAN.from_config(weighted.get_config())
    assert again.get_config()["matching"] == {"image": 0.1, "classifier": 3, "discriminator": 1}


# === An optimizer for each kind of loss of G ===


@pytest.fixture
def step_of(monkeypatch):
    """Makes one update; returns the generator's weights before and after it."""
    monkeypatch.setattr(networks, "_inception", lambda x, w, *channels: x)  # GoogLeNet takes long to trace

    def step_of(optimizer, separate, **options):
        keras.utils.set_random_seed(3)
        model = make("CVAEGAN", separate=separate, **options)
        model.compile({player: type(optimizer).from_config(optimizer.get_config()) for player in model.players})
        before = model.generator.get_weights()
        model.train_on_batch(*data(6))
        return before, model.generator.get_weights()

    return step_of


@pytest.mark.every_backend
def test_updates_of_both_losses_add_up(step_of):
    """With SGD, to the update of one optimizer for their sum."""
    start, separate = step_of(keras.optimizers.SGD(1e-3), separate=True, lambdas=(3, 1, 5, 5))
    same_start, joint = step_of(keras.optimizers.SGD(1e-3), separate=False, lambdas=(3, 1, 5, 5))
    for before, same, one, other in zip(start, same_start, separate, joint, strict=True):
        np.testing.assert_array_equal(before, same)
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("separate", [True, False])
def test_adam_cancels_the_scale_of_each_loss(separate, step_of):
    """A hundred times the weight of the mean features moves G as before, if they have an optimizer of their own."""
    adam = keras.optimizers.Adam(1e-3, epsilon=1e-12)
    _, plain = step_of(adam, separate, lambdas=(3, 1, 1, 1))
    _, scaled = step_of(adam, separate, lambdas=(3, 1, 100, 100))
    far = np.concatenate([np.ravel(np.abs(a - b) > 1e-4) for a, b in zip(plain, scaled, strict=True)]).mean()
    assert far < 0.01 if separate else far > 0.1


def test_averages_of_the_generator_are_those_after_both_updates():
    """With `use_ema` of the player that updates it last."""
    images, labels = data(18)
    batches = [(images[i : i + 6], labels[i : i + 6]) for i in (0, 6, 12)]

    def new(**averaged):
        keras.utils.set_random_seed(3)
        model = make("CVAEGAN", separate=True)
        options = {"generator_prior": averaged}
        model.compile({player: keras.optimizers.SGD(1e-3, **options.get(player, {})) for player in model.players})
        return model

    def weights(model):
        return [ops.convert_to_numpy(variable) for variable in model.generator.trainable_variables]

    model, seen = new(), []
    for batch in batches:
        model.train_on_batch(*batch)
        seen.append(weights(model))
    model = new(use_ema=True, ema_momentum=0.5)
    model.fit(images, labels, batch_size=6, shuffle=False, verbose=0)
    for first, second, third, average in zip(*seen, weights(model), strict=True):
        np.testing.assert_allclose(average, first / 4 + second / 4 + third / 2, atol=1e-6)


def test_both_players_own_the_generator():
    model, joint = make("CVAEGAN", separate=True), make("CVAEGAN")
    # The discriminator is among the three losses that a progress bar has room for.
    assert list(model.players) == ["discriminator", "generator_codes", "generator_prior", "classifier", "encoder"]
    assert all(tuple(model.players[f"generator_{kind}"]) == ("generator",) for kind in ("codes", "prior"))
    assert list(joint.players) == ["classifier", "discriminator", "generator", "encoder"]
    assert kgan.CVAEGAN.from_config(model.get_config()).players == model.players
    config = joint.get_config()
    del config["separate"]  # of a file that is older than the option
    assert kgan.CVAEGAN.from_config(config).players == joint.players


@pytest.mark.parametrize(
    "options",
    [
        {"matching": ("image",)},
        {"lambdas": (3, 0, 1, 1)},
        {"lambdas": (3, 1, 0, 0)},
        {"lambdas": (3, 1, 1, 0), "matching": ("image", "classifier")},
    ],
)
def test_a_player_without_a_loss_is_refused(options):
    with pytest.raises(ValueError, match="one of the two kinds of losses of G has no weight"):
        make("CVAEGAN", separate=True, **options)
    make("CVAEGAN", **options)


# === Statistics of both kinds of latents ===


def norms_of(network):
    return [layer for layer in network.layers if isinstance(layer, DomainBatchNormalization)]


@pytest.mark.every_backend
def test_each_kind_of_latents_has_statistics_of_its_own():
    """After training at a constant rate of zero, each network gives at test what its kind gave in training."""
    model = make("CVAEGAN")
    model.compile({player: keras.optimizers.SGD(0.0) for player in model.players})
    assert [id(w) for w in model.generator.trainable_variables] == [id(w) for w in model.decoder.trainable_variables]
    images, labels = data(6)
    with record(model.generator) as prior, record(model.decoder) as codes:
        model.step(ops.convert_to_tensor(images), labels, training=True)
    assert len(prior) == len(codes) == 1
    first = norms_of(model.generator)[0]
    # Momentum 0.9, from averages of 0.
    means = 10 * ops.convert_to_numpy(first.moving_mean.value)
    one_hot = np.eye(3, dtype="float32")
    dense = next(layer for layer in model.generator.layers if isinstance(layer, keras.layers.Dense))
    code = model.encoder([images, one_hot[labels]], training=True)
    expected = np.concatenate([ops.convert_to_numpy(code["mean"]), one_hot[labels]], axis=1)
    kernel = ops.convert_to_numpy(dense.kernel.value)
    # Codes are drawn around their means with a deviation of exp(log variance / 2); their labels are the images'.
    spread = np.linalg.norm(kernel, axis=0) * 4 * np.exp(np.max(ops.convert_to_numpy(code["log_variance"])) / 2)
    assert np.all(np.abs(means[1] - (expected @ kernel).mean(axis=0)) < spread / np.sqrt(6))
    assert np.abs(means[0] - means[1]).max() > 1e-3


def test_statistics_are_kept_apart_at_inference():
    model, mixed = make("CVAEGAN"), make("CVAEGAN", mixed_norm=True)
    assert not hasattr(mixed, "decoder") and not norms_of(mixed.generator)
    images, labels = data(4)
    before = model.generate(labels, seed=0), model.reconstruct(images, labels)
    for norm in norms_of(model.decoder):
        norm.moving_mean.assign(norm.moving_mean + np.array([[0.0], [1.0]], "float32"))
    np.testing.assert_array_equal(model.generate(labels, seed=0), before[0])
    assert np.abs(model.reconstruct(images, labels) - before[1]).max() > 1e-3
    np.testing.assert_array_equal(
        model.reconstruct(images, labels), model.decode(labels, model.encode(images, labels)[0])
    )


def test_files_from_before_the_choice_have_one_set_of_statistics(tmp_path):
    old = make("CVAEGAN", mixed_norm=True)
    config = old.get_config()
    for name in ("mixed_norm", "augment"):
        del config[name]
    new = kgan.CVAEGAN.from_config(config)
    assert new.mixed_norm
    old.save_weights(tmp_path / "old.weights.h5")
    new.load_weights(tmp_path / "old.weights.h5")
    np.testing.assert_array_equal(new.generate([0, 1], seed=0), old.generate([0, 1], seed=0))


# === Augmentation ===


@pytest.mark.every_backend
def test_a_pair_is_augmented_alike():
    model = make("CVAEGAN", augment=True)
    images = ops.convert_to_tensor(data(16)[0])
    real, again, prior = map(ops.convert_to_numpy, model.shown(images, images * 0.5, images, training=True))
    np.testing.assert_allclose(again, 0.5 * real, atol=1e-6)
    same = [np.abs(a - b).max() < 1e-6 for a, b in zip(real, prior, strict=True)]
    assert not all(same)
    assert model.shown(images, images, images, training=False)[0] is images
    assert make("CVAEGAN").shown(images, images, images, training=True)[0] is images


# === Inference ===


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return make("CVAEGAN")


def test_generate(model):
    labels = np.array([0, 1, 2, 2])
    first = model.generate(labels, seed=5)
    assert first.shape == (4, 32, 32, 1) and np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, model.generate(labels, seed=5))
    assert np.abs(first - model.generate(labels, seed=6)).max() > 1e-4
    np.testing.assert_allclose(first, model.generate(np.eye(3)[labels], seed=5), atol=1e-6)
    for wrong in ([3], [-1], [0.5], np.ones((1, 2))):
        with pytest.raises(ValueError, match="abels must be"):
            model.generate(wrong)


def test_morph_ends_are_reconstructions(model):
    images, _ = data(4)
    a, b = images[:2], images[2:]
    steps = model.morph(a, b, label=1, steps=5)
    assert steps.shape == (2, 5, 32, 32, 1)
    np.testing.assert_allclose(steps[:, 0], model.reconstruct(a, np.array([1, 1])), atol=1e-5)
    np.testing.assert_allclose(steps[:, -1], model.reconstruct(b, np.array([1, 1])), atol=1e-5)
    middle = (model.encode(a, [1, 1])[0] + model.encode(b, [1, 1])[0]) / 2
    np.testing.assert_allclose(steps[:, 2], model.generate([1, 1], latents=middle), atol=1e-5)


@pytest.mark.every_backend
def test_inpaint_is_equation_8(model):
    images, labels = data(2)
    mask = np.zeros((32, 32, 1), "float32")
    mask[8:20, 4:16] = 1
    once = model.inpaint(images, labels, mask, iterations=1)
    np.testing.assert_allclose(once, mask * model.reconstruct(images, labels) + (1 - mask) * images, atol=1e-6)
    twice = model.inpaint(images, labels, mask, iterations=2)
    np.testing.assert_allclose(twice, model.inpaint(once, labels, mask, iterations=1), atol=1e-5)
    np.testing.assert_array_equal(twice[:, mask[..., 0] == 0], images[:, mask[..., 0] == 0])
    with pytest.raises(ValueError, match="iterations=0"):
        model.inpaint(images, labels, mask, iterations=0)


def test_super_resolve_keeps_the_content(model):
    images, labels = data(2)
    small = 0.3 * images.reshape(2, 8, 4, 8, 4, 1).mean(axis=(2, 4))
    large = model.super_resolve(small, labels, iterations=2)
    assert large.shape == images.shape
    np.testing.assert_allclose(large.reshape(2, 8, 4, 8, 4, 1).mean(axis=(2, 4)), small, atol=2e-2)
    with pytest.raises(ValueError, match="divides"):
        model.super_resolve(images[:, :7, :7], labels)


def test_mix_identities(model):
    same = model.mix_identities([[1, 1, 1]], seed=2)
    np.testing.assert_allclose(same, model.generate([1], seed=2), atol=1e-5)
    weighted = model.mix_identities([[0, 1]], weights=[[3, 1]], seed=2)
    np.testing.assert_allclose(weighted, model.generate([[0.75, 0.25, 0]], seed=2), atol=1e-5)
    with pytest.raises(ValueError, match="Labels must be 0 to 2"):
        model.mix_identities([[0, 3]])


# === Bad input ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, "image_size=48: pass one of 32, 64, 128, 256"),
        ({"channels": 2}, "channels=2"),
        ({"num_classes": 1}, "at least two classes"),
        ({"width": 0}, "width=0"),
        ({"matching": ()}, "matching"),
        ({"matching": ("pixels",)}, "pass one or more of 'image'"),
        ({"matching": {"image": 0}}, "weights above 0"),
        ({"matching": {"image": float("nan")}}, "weights above 0"),
        ({"decay": 1.0}, "decay=1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kgan.CVAEGAN(**{"num_classes": 3, "image_size": 32, "width": 0.05, **arguments})


def test_no_images_are_refused(model):
    model.compile()
    images, labels = data(4)
    with pytest.raises(ValueError, match="Images are missing: the batch is empty"):
        model.fit(images[:0], labels[:0], verbose=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x * 127, y), r"must be in \[-1, 1\]"),
        (lambda x, y: (x * np.nan, y), r"must be in \[-1, 1\]"),
        (lambda x, y: (x, y + 1), "Labels must be 0 to 2, got values from 1 to 3"),
        (lambda x, y: (x, y - 1), "Labels must be 0 to 2, got values from -1 to 1"),
        (lambda x, y: (x, y + 0.5), "Labels must be integers"),
        (lambda x, y: (x, y[:, None]), r"Labels must be integers .*; pass .*labels\[:, 0\] of a column"),
        (lambda x, y: (x[:, :16], y), "Images must be"),
        (lambda x, y: (x, None), "images and labels"),
    ],
)
def test_bad_data_is_refused_before_anything_changes(model, change, message):
    before = model.get_weights()
    model.compile()
    images, labels = change(*data(4))
    with pytest.raises(ValueError, match=message):
        model.fit(images, labels, verbose=0)
    if labels is not None:
        with pytest.raises(ValueError, match=message):
            model.fit(kgan.data.Batches(images, labels, 4), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
