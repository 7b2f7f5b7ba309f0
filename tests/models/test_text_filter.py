import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from model_contract import check_golden, check_model, noise, values
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from kgan import losses, text_filter
from kgan.models.text_filter.networks import RegionPooling
from kgan.models.text_filter.quantisation import RoundedKernel, RoundedMap

MODELS = ["AdversarialDistiller"]
SIZE = (24, 36)


def teacher():
    return text_filter.TextTeacher(width=0.02, features=8, image_size=SIZE)


def student():
    return text_filter.TextStudent(width=0.2, features=8, image_size=SIZE)


def make(name):
    keras.utils.set_random_seed(3)
    return getattr(text_filter, name)(teacher(), student())


def images(n, size=SIZE):
    return np.round(127.5 + 127.5 * noise((n, *size, 3), salt=5)).astype("uint8")


def labels(n):
    return (noise((n, 34), salt=6) > 0.4).astype("float32")


def outputs_of_a_teacher(n):
    return {"features": noise((n, 34, 8), salt=7), "logits": 4 * noise((n, 34), salt=8)}


# === The contract ===


def test_contract(tmp_path):
    data = images(7), outputs_of_a_teacher(7)
    check_model(
        lambda: text_filter.AdversarialDistiller(None, student()),
        data,
        4,
        tmp_path,
        inputs=images(3),
        output_shape={"features": (3, 34, 8), "logits": (3, 34), "image_logits": (3, 1)},
        bad=((images(4),), "teacher=None needs the teacher's outputs"),
    )


def test_golden(name="AdversarialDistiller"):
    model = text_filter.AdversarialDistiller(None, student())
    model.compile({player: keras.optimizers.SGD(1e-3) for player in model.players})
    check_golden(name, model, (images(16), outputs_of_a_teacher(16)))


# === Networks ===


def deployed_size(model):
    """Parameters with batch norm folded into the convolutions: a bias for each channel that it scales and shifts."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables) - sum(
        int(layer.gamma.shape[0]) for layer in norms
    )


@pytest.mark.parametrize("name, millions", [("TextTeacher", 16.03), ("TextStudent", 0.087), ("MSPNet", 136.4)])
def test_sizes_are_the_papers(name, millions):
    model = getattr(text_filter, name)()
    assert deployed_size(model) == pytest.approx(millions * 1e6, rel=0.01)


@given(st.integers(3, 40), st.integers(3, 40), st.sampled_from([1, 2, 3, 5]), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_region_pooling_is_adaptive_average_pooling(height, width, cells, seed):
    inputs = np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype("float32")
    expected = np.empty((2, cells, cells, 3))
    for i in range(cells):
        for j in range(cells):
            rows = slice(i * height // cells, -(-(i + 1) * height // cells))
            columns = slice(j * width // cells, -(-(j + 1) * width // cells))
            expected[:, i, j] = inputs[:, rows, columns].mean(axis=(1, 2), dtype="float64")
    pooled = ops.convert_to_numpy(RegionPooling(cells)(inputs))
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make_network", [teacher, student, lambda: text_filter.MSPNet(width=0.01)])
def test_networks_take_any_size_and_number_type(make_network):
    fixed = make_network()
    config = {**fixed.get_config(), "image_size": (None, None)}
    free = type(fixed).from_config(config)
    free.set_weights(fixed.get_weights())
    for size in (SIZE, (33, 47)):
        outputs = free.predict(images(2, size), verbose=0)
        assert outputs["logits"].shape == (2, 34)
        assert outputs["features"].shape[:2] == (2, 34)
        again = free.predict(images(2, size).astype("float32"), verbose=0)
        np.testing.assert_allclose(again["logits"], outputs["logits"], rtol=1e-5, atol=1e-6)
    if fixed.options["image_size"] == SIZE:
        expected = fixed.predict(images(2), verbose=0)["logits"]
        np.testing.assert_allclose(free.predict(images(2), verbose=0)["logits"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make_network", [teacher, student])
def test_a_region_sees_its_own_part_of_the_picture(make_network):
    """Change the upper left corner: of the logits of far regions none moves."""
    keras.utils.set_random_seed(1)
    network = type(make_network())(**{**make_network().options, "image_size": (240, 240)})
    before = images(1, (240, 240))
    after = before.copy()
    after[:, :8, :8] = 255 - after[:, :8, :8]
    moved = [network.predict(x, verbose=0)["logits"][0] for x in (before, after)]
    moved = np.abs(moved[0] - moved[1])
    near, far = moved[[0, 25]], moved[[24, 33]]  # the first and the last cells of both grids
    assert near.min() > 0 and far.max() < 1e-3 * near.min()


def test_context_is_the_mean_of_the_large_regions():
    """And the greatest of them; regions themselves are the same with it and without."""
    keras.utils.set_random_seed(1)
    alone, within = student(), text_filter.TextStudent(width=0.2, features=8, context=2.5, image_size=SIZE)
    within.set_weights(alone.get_weights())
    outputs = alone.predict(images(12), verbose=0)
    logits = outputs["logits"].astype("float64")
    assert (logits.argmax(axis=1) < 25).any()
    np.testing.assert_allclose(outputs["image_logits"], logits.max(axis=1, keepdims=True), rtol=1e-4, atol=1e-5)
    found, large = within.predict(images(12), verbose=0), logits[:, 25:]
    expected = large.max(axis=1) + 2.5 * large.mean(axis=1)
    np.testing.assert_allclose(found["image_logits"][:, 0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(within.score(images(12)), 1 / (1 + np.exp(-expected)), rtol=1e-4)
    assert within.get_config()["context"] == 2.5


@pytest.mark.parametrize("context", [-0.1, float("nan"), float("inf")])
def test_a_context_out_of_range_is_refused(context):
    with pytest.raises(ValueError, match="at least 0"):
        text_filter.TextStudent(context=context)


@pytest.mark.every_backend
def test_calibrated_scores_are_those_of_platt(tmp_path):
    student = text_filter.TextStudent(width=0.2, features=8, context=4.0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 60, 60, 3), "uint8") // rng.integers(1, 9, (60, 1, 1, 1), "uint8")
    scores = student.score(images)
    labels = (scores + rng.normal(0, scores.std(), 60) > np.median(scores)).astype(int)
    calibrated = student.calibrated(labels, scores)

    logits = np.log(scores) - np.log1p(-scores.astype("float64"))

    targets = np.where(labels == 1, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((1 - labels).sum() + 2))

    def loss(pair):
        found = pair[0] * logits + pair[1]
        return (targets * np.logaddexp(0, -found) + (1 - targets) * np.logaddexp(0, found)).sum()

    scale, offset = minimize(loss, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
    assert calibrated.options["calibration"] == pytest.approx((scale, offset), rel=1e-3)
    expected = 1 / (1 + np.exp(-(scale * logits + offset)))
    found = calibrated.score(images)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.mean() == pytest.approx(targets.mean(), abs=1e-4)
    regions = [model.predict(images, verbose=0)["logits"] for model in (student, calibrated)]
    np.testing.assert_allclose(*regions, rtol=1e-5)
    calibrated.save(tmp_path / "student.keras")
    again = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(again.score(images), found, rtol=1e-5)
    # What is calibrated stays as it is.
    assert again.calibrated(labels, found).options["calibration"] == pytest.approx((scale, offset), rel=1e-3)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.2, 0.3], "both must occur"),
        ([0, 1, 1], [0.2, 0.3], "labels .3,. and scores .2,."),
        ([[0], [1]], [[0.2], [0.3]], "pass one of each per image"),
        ([0, 1], [0.2, float("nan")], "scores must be finite"),
        ([0, 0, 1, 1], [0.4, 0.6, 0.5, 0.3], "higher scores do not mean text"),
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], "higher scores do not mean text"),
    ],
)
def test_what_cannot_calibrate_a_student(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        text_filter.TextStudent(width=0.2, features=8).calibrated(labels, scores)


def test_scores_near_the_ends_are_told_apart():
    """Logits from -40 to 15, of which single precision gives a score each."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-40, 15, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-(0.3 * logits + 4)))
    scores = (1 / (1 + np.exp(-logits))).astype("float32")
    student = text_filter.TextStudent(width=0.2, features=8).calibrated(labels, scores)
    assert student.options["calibration"] == pytest.approx((0.3, 4), rel=0.1)


@pytest.mark.parametrize("calibration", [(0, 1), (-1, 0), (1, float("nan")), (1,), (float("inf"), 0), 5, (1, None)])
def test_a_calibration_out_of_range_is_refused(calibration):
    with pytest.raises(ValueError, match="pass .scale, offset., finite, with a scale above 0"):
        text_filter.TextStudent(width=0.2, features=8, calibration=calibration)


@pytest.mark.every_backend
def test_rounded_kernels_are_those_of_int8():
    """Whole multiples, to 127 at most, of a step for each output channel; the classifier and the rest stay."""
    network = student()
    before = {layer.name: layer.get_weights() for layer in network.layers}
    network.round_kernels()
    rounded = 0
    for layer in network.layers:
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True):
            if layer.name == "classifier" or old.ndim < 2:
                np.testing.assert_array_equal(old, new)
                continue
            step = np.abs(old.astype("float64")).reshape(-1, old.shape[-1]).max(axis=0) / 127
            np.testing.assert_allclose(new / step, np.round(old / step), atol=1e-3)
            assert not np.array_equal(old, new)
            rounded += 1
    assert rounded == 7
    kernels = network.get_weights()
    network.round_kernels()
    for one, other in zip(kernels, network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def levels(x, highest, steps=255):
    """x in float64, rounded to steps from 0 to the highest value, and clipped there."""
    return np.clip(np.round(x / highest * steps), 0, steps) * highest / steps


@pytest.mark.every_backend
def test_a_rounded_student_is_the_student_with_rounded_kernels_and_maps():
    """The whole network in NumPy float64, of the student's own weights."""
    network = student()
    rng = np.random.default_rng(0)
    # Kernels of a scale that takes activations beyond 6, and biases that are not zero.
    network.set_weights(
        [w * 5 if w.ndim == 4 else w + 0.1 * rng.standard_normal(w.shape) ** 2 for w in network.get_weights()]
    )
    x = images(2).astype("float64") / 127.5 - 1
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    maps = []
    for convolution, norm in zip(convolutions, norms, strict=True):
        kernel = convolution.get_weights()[0].astype("float64")
        gamma, beta, mean, variance = (w.astype("float64") for w in norm.get_weights())
        highest = np.abs(kernel).max(axis=(0, 1, 2))
        kernel = np.round(kernel / highest * 127) * highest / 127
        step = convolution.strides[0]
        pad = [max(0, (-(-n // step) - 1) * step + 3 - n) for n in x.shape[1:3]]  # "same"
        x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pad), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::step, ::step]
        x = np.einsum("bhwcij,ijco->bhwo", windows, kernel)
        x = levels((x - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta, 6)
        maps.append(x)
    assert maps[-1].max() == 6 and maps[-1].min() == 0
    pooled = []
    for cells, found in zip((5, 3), maps[-2:], strict=True):
        height, width = found.shape[1:3]
        for i, j in np.ndindex(cells, cells):
            rows = slice(i * height // cells, -(-(i + 1) * height // cells))
            columns = slice(j * width // cells, -(-(j + 1) * width // cells))
            pooled.append(levels(found[:, rows, columns].mean(axis=(1, 2)), 6))
    kernel, bias = (w.astype("float64") for w in network.get_layer("map").get_weights())
    highest = np.abs(kernel).max(axis=0)
    features = np.stack(pooled, axis=1) @ (np.round(kernel / highest * 127) * highest / 127) + bias
    kernel, bias = (w.astype("float64") for w in network.get_layer("classifier").get_weights())
    positive = np.maximum(features, 0)
    logits = (levels(positive, positive.max()) @ kernel + bias)[..., 0]

    rounded = text_filter.RoundedStudent(network)
    found = rounded.predict(images(2), verbose=0)
    plain = network.predict(images(2), verbose=0)
    # In float32, a value in the middle of two levels may fall on either, which a few regions show.
    for name, expected in (("features", features), ("logits", logits)):
        error, rounding = np.abs(found[name] - expected), np.abs(plain[name] - expected)
        assert np.median(error) < 1e-3 * np.median(rounding), (name, np.median(error), np.median(rounding))
        assert error.mean() < 0.2 * rounding.mean(), (name, error.mean(), rounding.mean())


@pytest.mark.every_backend
def test_gradients_pass_through_the_rounding():
    """Those of a sum over kernels and values are the same as without rounding, at the limits of the range, too."""
    layer = keras.layers.Dense(3, use_bias=False)
    layer.build((None, 4))
    layer.set_weights([noise((4, 3), salt=9)])
    inputs = np.abs(noise((5, 4), salt=10))
    x = keras.Input((4,))
    twin = keras.Model(x, RoundedMap()(RoundedKernel(layer)(x)))
    twin.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.sum(y, axis=-1), run_eagerly=True)
    before = layer.get_weights()[0]
    twin.fit(inputs, np.zeros((5, 3)), batch_size=5, verbose=0)
    np.testing.assert_allclose(
        before - layer.get_weights()[0], np.repeat(inputs.mean(axis=0)[:, None], 3, 1), atol=1e-6
    )


@pytest.mark.every_backend
def test_training_the_rounded_student_trains_the_student():
    network = student()
    rounded = text_filter.RoundedStudent(network)
    rounded.compile(keras.optimizers.Adam(3e-3))
    before = values(network.trainable_variables)
    history = rounded.fit(images(8), labels(8), batch_size=8, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    for old, new in zip(before, values(network.trainable_variables), strict=True):
        assert not np.array_equal(old, new)
    assert len(rounded.trainable_variables) == len(network.trainable_variables)
    assert {variable.path for variable in network.variables} <= {variable.path for variable in rounded.variables}


def test_a_distiller_takes_a_rounded_student_and_is_saved_with_it(tmp_path):
    network = student()
    stage = text_filter.AdversarialDistiller(None, text_filter.RoundedStudent(network))
    stage.compile()
    stage.fit(images(8), outputs_of_a_teacher(8), batch_size=4, verbose=0)
    stage.save(tmp_path / "stage.keras")
    again = keras.models.load_model(tmp_path / "stage.keras")
    assert type(again.student) is text_filter.RoundedStudent
    for name, found in again.student.student.predict(images(3), verbose=0).items():
        np.testing.assert_allclose(found, network.predict(images(3), verbose=0)[name], atol=1e-6)


@pytest.mark.parametrize("make", [teacher, lambda: text_filter.RoundedStudent(student())])
def test_only_a_student_has_a_rounded_twin(make):
    with pytest.raises(TypeError, match=r"student is a (TextTeacher|RoundedStudent): pass a TextStudent"):
        text_filter.RoundedStudent(make())


def test_activations_of_the_student_end_at_six():
    network = student()
    relus = [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    # Bright images and kernels of a great scale, so that ReLUs without an end would go beyond.
    network.set_weights([10 * w if w.ndim == 4 else w for w in network.get_weights()])
    found = keras.Model(network.input, [layer.output for layer in relus[:-1]]).predict(images(4), verbose=0)
    assert [float(output.max()) for output in found] == [6.0] * 6


def test_blocks_of_msp_net_are_the_cells_of_its_grids():
    from kgan.models.text_filter.networks import _blocks

    rows, columns = np.meshgrid(np.arange(14), np.arange(14), indexing="ij")
    marked = keras.Input((14, 14, 2))
    blocks = keras.Model(marked, _blocks(marked, 2))
    out = ops.convert_to_numpy(blocks(np.stack([rows, columns], axis=-1)[None].astype("float32")))
    out = out.reshape(4, 7, 7, 2)
    for block, (i, j) in zip(out, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        np.testing.assert_array_equal(block[..., 0], rows[7 * i : 7 * i + 7, 7 * j : 7 * j + 7])
        np.testing.assert_array_equal(block[..., 1], columns[7 * i : 7 * i + 7, 7 * j : 7 * j + 7])


# === Training on labels ===


def test_loss_and_metrics_are_those_of_scikit_learn():
    network, x, y = student(), images(12), labels(12)
    y[:4] = 0
    network.compile(keras.optimizers.SGD(0.0))
    logs = network.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
    logits = network.predict(x, verbose=0)["logits"].astype("float64")
    probabilities = 1 / (1 + np.exp(-logits))
    expected = -np.mean(y * np.log(probabilities) + (1 - y) * np.log(1 - probabilities))
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    # Keras reads the curve at 200 thresholds.
    assert logs["region_auc"] == pytest.approx(roc_auc_score(y.ravel(), logits.ravel()), abs=0.05)
    assert logs["image_auc"] == pytest.approx(roc_auc_score(y.max(axis=1), logits.max(axis=1)), abs=0.2)
    np.testing.assert_allclose(network.score(x), probabilities.max(axis=1), rtol=1e-5)


def test_a_student_learns_where_the_text_is():
    """White squares in regions of black pictures."""
    rng = np.random.default_rng(0)
    x, boxes = np.zeros((64, 60, 60, 3), "uint8"), []
    for picture in x[::2]:
        r, c = rng.integers(0, 48, 2)
        picture[r : r + 12, c : c + 12] = 255
        boxes.append((c, r, c + 12, r + 12))
    y = np.zeros((64, 34), "float32")
    y[::2] = [text_filter.region_labels([box], (60, 60)) for box in boxes]
    network = text_filter.TextStudent(width=0.5, features=16)
    network.compile(keras.optimizers.Adam(5e-3))
    network.fit(x, y, batch_size=8, epochs=16, verbose=0)
    network.fit(x, y, batch_size=64, epochs=25, verbose=0)  # the moving averages of batch norm settle
    logs = network.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["image_auc"] > 0.95 and logs["region_auc"] > 0.85


@pytest.mark.parametrize("y", [np.zeros((4, 1), "float32"), np.zeros((4, 25), "float32")])
def test_labels_of_another_shape_are_refused(y):
    network = student()
    network.compile()
    with pytest.raises(ValueError, match="one for each region"):
        network.fit(images(4), y, verbose=0)


def test_save_and_reload_keep_the_optimizer(tmp_path):
    network = student()
    network.compile(keras.optimizers.Adam(1e-3))
    network.fit(images(4), labels(4), verbose=0)
    network.save(tmp_path / "student.keras")
    again = keras.saving.load_model(tmp_path / "student.keras")
    for m in (network, again):
        m.fit(images(4), labels(4), verbose=0, shuffle=False)
    for a, b in zip(values(network.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_default_optimizers_are_the_papers():
    rates = {}
    for model in (student(), make("BoundaryDistiller"), make("SoftLabelDistiller"), make("AdversarialDistiller")):
        model.compile()
        optimizers = getattr(model.optimizer, "optimizers", [model.optimizer])
        assert all(isinstance(optimizer, keras.optimizers.SGD) for optimizer in optimizers)
        rates[type(model).__name__] = [float(optimizer.learning_rate) for optimizer in optimizers]
    expected = {
        "TextStudent": [1e-4],
        "BoundaryDistiller": [1e-5],
        "SoftLabelDistiller": [1e-4],
        "AdversarialDistiller": [1e-4, 2e-4],
    }
    for name, numbers in expected.items():
        assert rates[name] == pytest.approx(numbers), name


# === Distillation ===


@pytest.mark.parametrize("name", ["BoundaryDistiller", "SoftLabelDistiller", "AdversarialDistiller"])
def test_teacher_outputs_given_or_computed_are_the_same(name):
    with_teacher = make(name)
    outputs = with_teacher.teacher.predict(images(8), verbose=0)
    keras.utils.set_random_seed(3)
    teacher()
    without = type(with_teacher)(None, student())
    if name == "AdversarialDistiller":
        without.discriminator.set_weights(with_teacher.discriminator.get_weights())
    without.student.set_weights(with_teacher.student.get_weights())
    logs = []
    for model, targets in ((with_teacher, None), (without, outputs)):
        model.compile()
        history = model.fit(images(8), targets, batch_size=4, epochs=2, shuffle=False, verbose=0).history
        logs.append({key: history[key] for key in sorted(history)})
    assert logs[0].keys() == logs[1].keys()
    for key in logs[0]:
        np.testing.assert_allclose(logs[0][key], logs[1][key], rtol=1e-4, atol=1e-6, err_msg=key)
    for a, b in zip(values(with_teacher.student.variables), values(without.student.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# One of each base class on every backend; BoundaryDistiller shares its own with SoftLabelDistiller.
ONE_OF_EACH = [
    "BoundaryDistiller",
    *(pytest.param(name, marks=pytest.mark.every_backend) for name in ("SoftLabelDistiller", "AdversarialDistiller")),
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_teacher_stands_still_and_can_be_trained_afterwards(name):
    model = make(name)
    teacher = model.teacher
    count, before = len(teacher.trainable_variables), values(teacher.variables)
    model.compile()
    model.fit(images(8), batch_size=4, verbose=0)
    for a, b in zip(before, values(teacher.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(teacher.trainable_variables) == count > 0
    assert not {id(v) for v in teacher.variables} & {id(v) for v in model.trainable_variables}
    before = values(teacher.trainable_variables)
    eagerly = keras.backend.backend() == "tensorflow"  # takes less time there than tracing
    teacher.compile(keras.optimizers.SGD(0.1), run_eagerly=eagerly)
    teacher.fit(images(4), labels(4), verbose=0)
    assert any(not np.array_equal(a, b) for a, b in zip(before, values(teacher.trainable_variables), strict=True))


@pytest.mark.parametrize("name", ["BoundaryDistiller", "SoftLabelDistiller"])
def test_logs_of_the_first_stages(name):
    model = make(name)
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.evaluate(images(7), batch_size=4, verbose=0, return_dict=True)
    t, s = (network.predict(images(7), verbose=0) for network in (model.teacher, model.student))
    if name == "BoundaryDistiller":
        sides = np.where(t["features"] > 0, 1, -1)
        expected = np.mean(np.sum(np.maximum(1 - sides * s["features"], 0) ** 2, axis=-1))
    else:
        p, q = (1 / (1 + np.exp(-x["logits"].astype("float64"))) for x in (t, s))
        expected = -np.mean(p * np.log(q) + (1 - p) * np.log(1 - q))
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert logs["sign_agreement"] == pytest.approx(np.mean((t["features"] > 0) == (s["features"] > 0)), rel=1e-5)


def test_boundary_distillation_makes_signs_agree():
    model = make("BoundaryDistiller")
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(images(16), batch_size=8, epochs=15, verbose=0).history
    assert history["sign_agreement"][-1] > history["sign_agreement"][0] + 0.1


def test_boundary_distillation_leaves_the_classifier_alone():
    model = make("BoundaryDistiller")
    before = values(model.student.get_layer("classifier").variables)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(images(8), batch_size=4, verbose=0)
    for a, b in zip(before, values(model.student.get_layer("classifier").variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_adversarial_losses_and_k_are_equations_4_to_6():
    model = make("AdversarialDistiller")
    model.k.assign(0.3)
    model.compile({player: keras.optimizers.SGD(0.0) for player in model.players})
    t = model.teacher.predict(images(4), verbose=0)
    s = {key: ops.convert_to_numpy(value) for key, value in model.student(images(4), training=True).items()}
    errors = {}
    for name, features in (("real", t["features"]), ("fake", s["features"])):
        errors[name] = np.mean(np.abs(model.discriminator.predict(features, verbose=0) - features), dtype="float64")
    p, q = (1 / (1 + np.exp(-x["logits"].astype("float64"))) for x in (t, s))
    soft = -np.mean(p * np.log(q) + (1 - p) * np.log(1 - q))
    balance = 0.75 * errors["real"] - errors["fake"]
    logs = model.train_on_batch(images(4), return_dict=True)
    expected = {
        "student_loss": soft + 0.2 * errors["fake"],
        "discriminator_loss": errors["real"] - 0.3 * errors["fake"],
        "soft_label": soft,
        "adversarial": errors["fake"],
        "k": 0.3,
        "convergence": errors["real"] + abs(balance),
        "feature_norm_ratio": np.linalg.norm(s["features"]) / np.linalg.norm(t["features"]),
    }
    for name, number in expected.items():
        assert float(logs[name]) == pytest.approx(number, rel=1e-4), name
    assert float(ops.convert_to_numpy(model.k.value)) == pytest.approx(0.3 + 1e-3 * balance, abs=1e-7)


@pytest.mark.parametrize("k_rate", [1e4, -1e4])
def test_k_stays_between_zero_and_one(k_rate):
    model = make("AdversarialDistiller")
    model.k_rate = k_rate
    model.compile()
    for _ in range(3):
        model.train_on_batch(images(4))
        assert 0 <= float(ops.convert_to_numpy(model.k.value)) <= 1


def test_each_player_takes_the_gradient_of_its_own_loss_alone():
    """With plain gradient descent and a rate of 1 the step is the gradient: here those of both losses, each with the
    other player as a constant."""
    from kgan import backend

    model = make("AdversarialDistiller")
    model.k.assign(0.5)
    model.compile({"student": keras.optimizers.SGD(0.0), "discriminator": keras.optimizers.SGD(1.0)})
    t = model.teacher(images(4), training=False)

    def discriminator_loss():
        s = ops.stop_gradient(model.student(images(4), training=True)["features"])
        real, fake = (losses.reconstruction_error(f, model.discriminator(f)) for f in (t["features"], s))
        return {"discriminator": real - 0.5 * fake}

    variables = model.discriminator.trainable_variables
    _, gradients = backend.gradients(model, discriminator_loss, {"discriminator": variables})
    expected = [ops.convert_to_numpy(g) for g in gradients["discriminator"]]
    before = values(variables)
    model.train_on_batch(images(4))
    for b, a, g in zip(before, values(variables), expected, strict=True):
        np.testing.assert_allclose(b - a, g, rtol=1e-3, atol=3e-5)


def test_networks_whose_features_differ_are_refused():
    other = text_filter.TextTeacher(width=0.02, features=9)
    for name in ("BoundaryDistiller", "SoftLabelDistiller", "AdversarialDistiller"):
        with pytest.raises(ValueError, match="length 9, the student's 8"):
            getattr(text_filter, name)(other, student())


def test_without_a_teacher_its_outputs_must_come_with_the_images():
    model = text_filter.AdversarialDistiller(None, student())
    model.compile()
    with pytest.raises(ValueError, match="teacher.predict"):
        model.fit(images(4), verbose=0)


@pytest.mark.parametrize("loss", [text_filter.BoundaryLoss(0.5, "sum_batch"), text_filter.SoftLabelLoss()])
def test_losses_serve_keras_distiller(loss):
    distiller = keras.distillation.Distiller(
        teacher(),
        student(),
        distillation_losses=loss,
        student_loss_weight=0.0,
    )
    distiller.compile(optimizer=keras.optimizers.SGD(0.0), loss={"features": None, "logits": "mse"})
    targets = {"features": np.zeros((8, 34, 8), "float32"), "logits": labels(8)}
    logs = distiller.evaluate(images(8), targets, verbose=0, return_dict=True)
    t, s = (n.predict(images(8), verbose=0) for n in (distiller.teacher, distiller.student))
    expected = float(loss.compute_loss(*(keras.tree.map_structure(ops.convert_to_tensor, x) for x in (t, s))))
    assert logs["loss"] == pytest.approx(expected, rel=1e-3)
    again = type(loss).from_config(loss.get_config())
    assert again.get_config() == loss.get_config()


# === What is refused ===


@pytest.mark.parametrize(
    ("scale", "shift", "labels", "message"),
    [
        (1 / 255, 0, 1, "Images must be in .0, 255., got values from 0 to 1: multiply them by 255"),
        (1 / 127.5, -1, 1, "Images must be in .0, 255., got values from -1 to 1"),
        (2, 0, 1, "Images must be in .0, 255., got values from 0 to 510"),
        (1, 0, 255, "Labels must be in .0, 1., got values from 0 to 255"),
    ],
)
def test_images_and_labels_of_another_range_are_refused(scale, shift, labels, message):
    images = np.linspace(0, 255, 2 * 60 * 60 * 3, dtype="float32").reshape(2, 60, 60, 3) * np.float32(scale) + shift
    regions = labels * np.tile(np.arange(34) % 2, (2, 1)).astype("float32")
    student = text_filter.TextStudent(width=0.2, features=8)
    student.compile()
    with pytest.raises(ValueError, match=message):
        student.fit(images, regions, verbose=0)
    if labels == 1:
        with pytest.raises(ValueError, match=message):
            student.score(images)
        teacher = text_filter.TextTeacher(width=0.05, features=8)
        for kind in (text_filter.BoundaryDistiller, text_filter.AdversarialDistiller):
            distiller = kind(teacher, student)
            distiller.compile()
            with pytest.raises(ValueError, match=message):
                distiller.fit(images, verbose=0)


def test_what_does_not_come_by_fit_is_refused_too():
    """Labels of one column would else be spread over all regions, and weights passed over."""
    student = text_filter.TextStudent(width=0.2, features=8)
    student.compile(run_eagerly=True)
    images, labels = np.full((2, 60, 60, 3), 9, "uint8"), np.ones((2, 34), "float32")
    with pytest.raises(ValueError, match=r"Labels of shape \(2, 1\)"):
        student.train_on_batch(images, labels[:, :1])
    with pytest.raises(ValueError, match="TextStudent takes no sample weights"):
        student.train_on_batch(images, labels, sample_weight=np.ones(2, "float32"))
    distiller = text_filter.SoftLabelDistiller(teacher(), student)
    distiller.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="SoftLabelDistiller takes no sample weights"):
        distiller.train_on_batch(images, sample_weight=np.ones(2, "float32"))
