import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from model_contract import changed, fill, noise, values
from scipy.special import expit, log_softmax

from kgan import metrics
from kgan.models.soft_pseudo_labels.networks import build_backbone, build_small
from kgan.soft_pseudo_labels import (
    MultiLabelClassifier,
    confidence_labels,
    pseudo_labels,
    random_labels,
    smooth_labels,
    soft_pseudo_labels,
)

# === Labels ===


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 9))
def test_random_labels_have_three_classes_or_as_many_as_asked(n, num_classes, seed):
    positives = min(3, num_classes)
    labels = random_labels(n, num_classes, positives, seed)
    assert labels.shape == (n, num_classes) and set(np.unique(labels)) <= {0, 1}
    assert (labels.sum(axis=1) == positives).all()
    np.testing.assert_array_equal(labels, random_labels(n, num_classes, positives, seed))


def test_random_labels_choose_all_classes_alike():
    shares = random_labels(4000, 8, seed=1).mean(axis=0)
    np.testing.assert_allclose(shares, 3 / 8, atol=4 * np.sqrt(3 / 8 * 5 / 8 / 4000))


def test_pseudo_labels_are_equation_1_and_exactly_k_on_ties():
    scores = np.array([[0.1, 0.9, 0.5, 0.4], [0.5, 0.5, 0.5, 0.5], [-3.0, -1.0, -1.0, -1.0]])
    assert pseudo_labels(scores, top_k=2).tolist() == [[0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0]]
    assert pseudo_labels(scores).sum(axis=1).tolist() == [3, 3, 3]


def test_soft_pseudo_labels_are_equation_2():
    logits = np.random.default_rng(0).normal(size=(6, 12), scale=3)
    for of, v in (("sigmoid", expit(logits)), ("logits", logits)):
        for temperature in (1.0, 0.5, 4.0):
            expected = np.exp(v / temperature) / np.exp(v / temperature).sum(axis=1, keepdims=True)
            np.testing.assert_allclose(soft_pseudo_labels(logits, of, temperature), expected, rtol=1e-5)
    # Where nothing is recognised, the label is uniform (the limit that the paper names).
    np.testing.assert_allclose(soft_pseudo_labels(np.full((1, 4), -50.0)), 1 / 4)
    assert np.isfinite(soft_pseudo_labels([[1e5, -1e5]], of="logits")).all()


def test_smooth_and_confidence_labels():
    assert smooth_labels(2, 5).tolist() == [[np.float32(0.2)] * 5] * 2
    np.testing.assert_allclose(confidence_labels([[0.0, 2.0, -1e5]]), [[0.5, expit(2.0), 0]], rtol=1e-6)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: random_labels(2, 3, 4), "positives=4: pass 1 to 3"),
        (lambda: pseudo_labels(np.zeros((2, 3)), top_k=4), "top_k=4: pass 1 to 3"),
        (lambda: pseudo_labels(np.zeros((2, 3)), top_k=0), "top_k=0"),
        (lambda: pseudo_labels([0.1, 0.2]), "pass finite numbers"),
        (lambda: soft_pseudo_labels([[np.nan]]), "pass finite numbers"),
        (lambda: soft_pseudo_labels([[1.0]], of="softmax"), "of='softmax'"),
        (lambda: soft_pseudo_labels([[1.0]], temperature=0), "temperature=0"),
        (lambda: confidence_labels([[np.inf]]), "pass finite numbers"),
    ],
)
def test_labels_refuse_what_does_not_fit(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# === Networks ===


@pytest.mark.parametrize("size", [32, 64])
def test_the_small_backbone(size):
    network = build_small(size)
    assert network.output_shape == (None, 128)
    assert sum(isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3) for layer in network.layers) == 7


def test_sizes_of_the_large_backbones():
    assert build_backbone("resnet101_v2", 224).count_params() == 42_626_560, "that of KerasCV"
    assert build_backbone("resnet50_v2", 224).output_shape == (None, 2048)
    for name, millions in (("resnet18_v2", 11.18), ("resnet34_v2", 21.30)):
        backbone = build_backbone(name, 64)
        assert backbone.output_shape == (None, 512)
        assert backbone.count_params() / 1e6 == pytest.approx(millions, abs=0.01)


def test_keras_cv_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_cv.models", None)
    with pytest.raises(ImportError, match=r"resnet18_v2 needs .*: pip install keras-cv"):
        build_backbone("resnet18_v2", 64)


# === Model ===


def make(**options):
    return MultiLabelClassifier(**{"num_classes": 4, "backbone": build_small(32, 0.125), "image_size": 32, **options})


def data(n, kind="real"):
    images = noise((n, 32, 32, 3), salt=3 if kind == "real" else 5)
    rng = np.random.default_rng(0)
    return images, rng.integers(0, 2, (n, 4)) if kind == "real" else rng.uniform(size=(n, 4)).astype("float32")


def mixed(real=6, generated=4):
    parts = {"real": data(real), "generated": data(generated, "generated")}
    return tuple({kind: parts[kind][i] for kind in parts} for i in range(2))


def numpy_bce(y, x):
    return np.mean(np.logaddexp(0, x) - y * x)


def numpy_softmax(y, x):
    return -np.mean(y * log_softmax(x, axis=1))


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("generated_loss, reference", [("bce", numpy_bce), ("softmax", numpy_softmax)])
def test_loss_of_mixed_batches(separate, generated_loss, reference):
    """A generated image weighs `generated_weight` as much as a real one, and the real ones as without them."""
    model = make(separate=separate, generated_loss=generated_loss, generated_weight=0.3)
    images, labels = mixed()
    labels["real"][0, 0] = -1
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logits = keras.tree.map_structure(lambda t: ops.convert_to_numpy(t).astype("float64"), model(images, training=True))
    loss = float(model.train_on_batch(images, labels, return_dict=True)["loss"])
    expected = numpy_bce(np.maximum(labels["real"], 0), logits["real"])
    expected += 0.3 * 4 / 6 * reference(labels["generated"].astype("float64"), logits["generated"])
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_pass_of_their_own_keeps_generated_images_out_of_the_batch_statistics():
    (images, _), other = mixed(), mixed()[0]
    other["generated"] = other["generated"] ** 2
    for separate in (False, True):
        model = make(separate=separate)
        one, two = (ops.convert_to_numpy(model(x, training=True)["real"]) for x in (images, other))
        alone = ops.convert_to_numpy(model(images["real"], training=True))
        assert np.allclose(one, two, atol=1e-6) == separate
        assert np.allclose(one, alone, atol=1e-6) == separate


@pytest.mark.every_backend
def test_generated_images_in_a_pass_of_their_own_teach_and_leave_the_moving_averages_alone():
    """A step of gradient descent is linear in the loss: it is the sum of the steps of both kinds."""
    images, labels = mixed()
    labels["generated"] = labels["generated"].round()  # they also serve as labels of real images, which are 0 or 1

    def step(images, labels):
        keras.utils.set_random_seed(1)
        model = make(separate=True, generated_weight=0.3)
        variables = model.network.variables
        before = [ops.convert_to_numpy(variable).copy() for variable in variables]
        model.compile(keras.optimizers.SGD(1.0))
        model.train_on_batch(images, labels)
        return [(new.name, ops.convert_to_numpy(new) - old) for new, old in zip(variables, before, strict=True)]

    both = step(images, labels)
    real, generated = (step(images[kind], labels[kind]) for kind in ("real", "generated"))
    assert sum("moving" in name for name, _ in both) == 14
    for (name, change), (_, of_real), (_, of_generated) in zip(both, real, generated, strict=True):
        expected = of_real if "moving" in name else of_real + 0.3 * 4 / 6 * of_generated
        np.testing.assert_allclose(change, expected, rtol=1e-3, atol=1e-5, err_msg=name)
        assert np.abs(of_generated).max() > 1e-4


def test_a_pass_of_their_own_moves_random_seeds_on():
    """Else the real images of the next step would get the dropout of these."""
    image = keras.Input((32, 32, 3))
    model = make(backbone=keras.Model(image, keras.layers.Dropout(0.5, seed=1)(image)), separate=True)
    ones = {kind: np.ones((2, 32, 32, 3), "float32") for kind in ("real", "generated")}
    state = next(variable for variable in model.network.variables if "seed" in variable.path)
    states = [ops.convert_to_numpy(state).copy()]
    for _ in range(2):
        model(ones, training=True)
        states.append(ops.convert_to_numpy(state).copy())
    moved = (states[1] - states[0], states[2] - states[1])
    model(ones["real"], training=True)
    one_pass = ops.convert_to_numpy(state) - states[2]
    assert one_pass.any()
    for change in moved:
        np.testing.assert_array_equal(change, 2 * one_pass)


@pytest.mark.every_backend
def test_training_logs_the_mean_average_precision_and_resumes_exactly(tmp_path):
    images, labels = data(11)
    labels[0] = 1
    keras.utils.set_random_seed(1)
    model = make()
    model.compile()
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    history = model.fit(images, labels, validation_data=(images, labels), **options).history
    assert set(history) == {"loss", "mAP", "val_loss", "val_mAP"}
    bins = np.floor(model.predict(images, verbose=0).astype("float64") * 50)  # logits of so small a model are close
    assert history["val_mAP"][0] == pytest.approx(metrics.multilabel_metrics(labels, bins, "asl")["mAP"], rel=1e-4)
    expected = numpy_bce(labels, model.predict(images, verbose=0).astype("float64"))
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-4)

    model.thresholds = np.array([0.1, 0.2, 0.3, 0.4])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.thresholds == [0.1, 0.2, 0.3, 0.4]
    configs = [{k: v for k, v in m.get_config().items() if k != "backbone"} for m in (model, again)]
    assert configs[0] == configs[1]
    batch = mixed()
    losses = [m.train_on_batch(*batch, return_dict=True)["loss"] for m in (model, again)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    for one, other in zip(values(model.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.every_backend
def test_a_step_is_the_same_on_all_backends():
    """The loss of fixed weights and its change by a step, which no backend's random numbers are involved in."""
    model = make(num_classes=4, loss="asl", generated_loss="softmax")
    fill(model.trainable_variables)
    model.compile(keras.optimizers.SGD(0.01))
    losses = [float(model.train_on_batch(*mixed(), return_dict=True)["loss"]) for _ in range(3)]
    np.testing.assert_allclose(losses, [1.070345, 1.059864, 1.049628], rtol=1e-4)


def test_a_backbone_by_name_and_feature_maps():
    model = MultiLabelClassifier(3, backbone="small", image_size=32)
    assert type(model).from_config(model.get_config()).get_config() == model.get_config()
    image = keras.Input((32, 32, 3))
    maps = keras.Model(image, keras.layers.Conv2D(5, 3)(image))
    assert make(backbone=maps).predict(data(2)[0], verbose=0).shape == (2, 4)


@keras.saving.register_keras_serializable("test")
class Pooled(keras.Model):
    """A subclassed backbone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv2D(5, 3, strides=4)

    def call(self, images):
        return self.convolution(images)


@pytest.mark.parametrize("backbone", [Pooled, lambda: keras.Sequential([keras.layers.Conv2D(5, 3, strides=4)])])
def test_a_backbone_that_is_not_built_yet(backbone, tmp_path):
    model = make(backbone=backbone())
    model.compile()
    model.fit(*data(8), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.score(data(3)[0]), model.score(data(3)[0]), rtol=1e-5)


def test_backbones_without_features_are_refused():
    image = keras.Input((32, 32, 3))
    tokens = keras.Model(image, keras.layers.Reshape((16, 192))(image))
    pair = keras.Model(image, [image, image])
    for backbone, words in ((tokens, r"outputs of shape \(None, 16, 192\)"), (pair, "several outputs")):
        with pytest.raises(ValueError, match=f"backbone has {words}: pass a model to features"):
            make(backbone=backbone)
    with pytest.raises(ValueError, match="64"):
        make(backbone=build_small(32, 0.125), image_size=64)


def test_no_images_have_no_tags():
    model, images = make(), data(2)[0]
    assert model.tag([]) == []
    assert model.tag(list(images)) == model.tag(images)


def test_tag_names_what_is_above_the_thresholds_most_probable_first():
    model = make(class_names=["cat", "dog", "car", "tree"])
    scores = model.score(data(5)[0])
    np.testing.assert_allclose(scores, expit(model.predict(data(5)[0], verbose=0)), rtol=1e-5)
    model.thresholds = [0.0, 0.0, 1.0, 0.0]
    for tags, row in zip(model.tag(data(5)[0]), scores, strict=True):
        assert list(tags) == sorted({"cat", "dog", "tree"}, key=lambda name: -row[model.class_names.index(name)])
        assert tags["dog"] == pytest.approx(row[1])
    model.thresholds = 1.0
    assert model.tag(data(2)[0]) == [{}, {}]


REAL = data(4)
IMAGES, LABELS = mixed()


@pytest.mark.parametrize(
    "batch, words",
    [
        ((REAL[0],), r"call fit\(images, labels\)"),
        ((REAL[0] * 255, REAL[1]), r"Real images must be in \[-1, 1\], got values from"),
        ((REAL[0][:, :16], REAL[1]), "Real images must be"),
        ((REAL[0], REAL[1][:, :3]), r"Labels of real images must be \(batch, 4\), got \(4, 3\)"),
        ((REAL[0], REAL[1][:, 0]), r"must be \(batch, 4\), got \(4,\)"),
        ((REAL[0], REAL[1] + 1), "must be 1, 0 or -1"),
        ((REAL[0], REAL[1] * 0.5), "must be 1, 0 or -1"),
        ((IMAGES, LABELS["real"]), "must both be dicts"),
        (({"real": IMAGES["real"]}, {"real": LABELS["real"]}), "must both be dicts"),
        ((IMAGES, {**LABELS, "generated": LABELS["generated"] + 1}), r"must be in \[0, 1\]"),
        ((IMAGES, {**LABELS, "generated": LABELS["generated"] * np.nan}), r"must be in \[0, 1\]"),
        (({**IMAGES, "generated": IMAGES["generated"] * 200}, LABELS), r"Generated images must be in \[-1, 1\]"),
    ],
)
def test_fit_refuses_what_does_not_fit(batch, words):
    model = make()
    model.compile()
    before = values(model.variables)
    with pytest.raises(ValueError, match=words):
        model.fit(*batch, verbose=0)
    assert not any(changed(before, model.variables))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"loss": "mse"}, "loss='mse'"),
        ({"generated_loss": "asl"}, "generated_loss='asl'"),
        ({"generated_weight": -1}, "generated_weight=-1"),
        ({"class_names": ["a", "b", "c"]}, "pass 4 different names"),
        ({"class_names": ["a", "b", "c", "a"]}, "pass 4 different names"),
        ({"class_names": ["a", "b", "c", ""]}, "pass 4 different names"),
        ({"thresholds": [0.5, 0.5]}, "pass one finite number or 4"),
        ({"thresholds": np.nan}, "pass one finite number or 4"),
        ({"weights": "imagenet"}, "weights='imagenet'"),
        ({"backbone": "vgg"}, "backbone='vgg': pass a keras.Model or one of"),
        ({"backbone": "small", "weights": "imagenet"}, "small has none"),
        ({"backbone": "small", "image_size": 16}, "image_size=16"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


def test_it_learns_what_is_in_a_picture():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (64, 4))
    images = np.full((64, 32, 32, 3), -0.5, "float32") + 0.1 * noise((64, 32, 32, 3), salt=9)
    for c, (y, x) in enumerate([(0, 0), (0, 16), (16, 0), (16, 16)]):
        images[:, y : y + 16, x : x + 16, c % 3] += labels[:, c, None, None] * (0.9 if c < 3 else -0.4)
    keras.utils.set_random_seed(0)
    model = make(backbone=build_small(32, 0.25))
    model.compile(keras.optimizers.Adam(5e-3))
    model.fit(images[:48], labels[:48], batch_size=8, epochs=12, verbose=0)
    assert metrics.multilabel_metrics(labels[48:], model.score(images[48:]))["mAP"] > 0.9
