"""Export of the text filter: a random student through the whole conversion, once for all tests."""

import json
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray
from scipy.stats import binomtest

import kgan
from kgan import cli, export
from kgan.export import conversion, litert, parity
from kgan.export import student as exporting
from kgan.filter.decoding import BUCKETS, to_bucket
from kgan.filter.text_filter import TextFilter

# TensorFlow converts in a process of its own whatever the backend. On PyTorch it reads a student of another one.
pytestmark = pytest.mark.only_on("torch")

BUILT_IN = {
    *("ADD", "AVERAGE_POOL_2D", "CAST", "CONCATENATION", "CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED", "LOGISTIC"),
    *("MEAN", "MUL", "QUANTIZE", "REDUCE_MAX", "RESHAPE", "STRIDED_SLICE"),
}
CARD = {"licence": "for tests", "data_card": "random numbers"}
CONTEXT = 0.5  # an image's logit is not the greatest of its regions'
CALIBRATION = (0.8, 0.1)
# Of scores, against Keras on the backend that runs the tests. Random weights suffer most from int8.
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "int8": 0.4}
MEAN_TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "int8": 0.06}


def pictures(count, seed):
    """Small colour blotches of any contrast, which blow up to all buckets in turn."""
    rng = np.random.default_rng(seed)
    return [
        (128 + rng.uniform(0, 1) * rng.integers(-128, 128, (h // 20, w // 20, 3))).astype("uint8")
        for h, w in (BUCKETS * count)[:count]
    ]


def keras_scores(student, images):
    images = [to_bucket(exporting.as_image(image)) for image in images]
    # `pictures` come in the order of the buckets.
    scores = [student.score(np.stack(images[k :: len(BUCKETS)])) for k in range(len(BUCKETS))]
    return np.stack(scores, axis=1).ravel()


def random_student(seed=0):
    """A student whose regions' logits of `pictures` have standard deviation 2, and whose images' have mean 0.1."""
    keras.utils.set_random_seed(seed)
    student = kgan.text_filter.TextStudent(context=CONTEXT)
    images = np.stack([to_bucket(exporting.as_image(image), [(240, 240)]) for image in pictures(20, seed=1)])
    found = student.predict(images, verbose=0)
    classifier = student.get_layer("classifier")
    kernel, bias = classifier.get_weights()
    scale = 2 / found["logits"].std()
    classifier.set_weights([scale * kernel, scale * (bias - found["image_logits"].mean() / (1 + CONTEXT))])
    calibrated = kgan.text_filter.TextStudent(context=CONTEXT, calibration=CALIBRATION)
    calibrated.set_weights(student.get_weights())
    return calibrated


@pytest.fixture(scope="module")
def student():
    return random_student()


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    """`(folder, report, validation images, Keras' scores of them)` of an export in all precisions."""
    folder = tmp_path_factory.mktemp("export")
    student.save(folder / "student.keras")
    (folder / "student.json").write_text(json.dumps(CARD))
    images = pictures(exporting.FEWEST, seed=2)
    scores = keras_scores(student, images)
    labels = (scores > np.median(scores)) ^ (np.arange(len(images)) % 10 == 0)
    report = export.export_text_filter(
        folder / "student.keras",
        folder / "out",
        images=pictures(20, seed=3),
        calibration=20,
        validation=(images, labels),
        max_changed=0.1,  # of random weights
    )
    return folder, report, images, scores


@pytest.fixture(params=export.QUANTISATIONS)
def kind(request):
    return request.param


def test_each_signature_agrees_with_keras(exported, student, kind):
    from ai_edge_litert.interpreter import Interpreter

    folder, *_ = exported
    interpreter = Interpreter(str(folder / f"out/student-{kind}.tflite"), num_threads=1)
    assert set(interpreter.get_signature_list()) == {"240x240", "240x360", "360x240", "240x480", "480x240"}
    for (height, width), picture in zip(BUCKETS, pictures(5, seed=4), strict=True):
        run = interpreter.get_signature_runner(f"{height}x{width}")
        (entry,) = run.get_input_details().values()
        assert (entry["dtype"], tuple(entry["shape"])) == (np.uint8, (1, height, width, 3))
        image = to_bucket(exporting.as_image(picture))[None]
        found = run(images=image)
        assert {name: (a.shape, a.dtype) for name, a in found.items()} == {
            "score": ((1, 1), np.float32),
            "regions": ((1, 34), np.float32),
        }
        expected = student.predict(image, verbose=0)
        for name, logits in (("score", "image_logits"), ("regions", "logits")):
            difference = np.abs(found[name] - 1 / (1 + np.exp(-expected[logits])))
            assert difference.max() < TOLERANCE[kind] and difference.mean() < MEAN_TOLERANCE[kind]


def test_signatures_share_their_weights(exported, student):
    folder, report, *_ = exported
    sizes = {kind: (folder / f"out/student-{kind}.tflite").stat().st_size for kind in export.QUANTISATIONS}
    weights = student.count_params()
    assert 4 * weights < sizes["float32"] < 4 * weights + 20_000
    assert 2 * weights < sizes["float16"] < 2 * weights + 25_000
    assert weights < sizes["int8"] < weights + 35_000
    assert sizes["float32"] + sizes["int8"] < 500_000
    assert sizes == {kind: report["files"][kind]["bytes"] for kind in sizes}


def test_buffers_are_aligned(exported, kind):
    from ai_edge_litert import schema_py_generated as schema

    data = TextFilter.load(exported[0] / f"out/student-{kind}.tflite").model
    model = schema.Model.GetRootAs(data, 0)
    large = [model.Buffers(i) for i in range(model.BuffersLength()) if model.Buffers(i).DataLength() > 256]
    assert len(large) >= 7
    for buffer in large:
        assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_int8_computes_in_integers_but_for_the_last_layer(exported):
    from ai_edge_litert import schema_py_generated as schema

    model = read_model_from_bytearray(TextFilter.load(exported[0] / "out/student-int8.tflite").model)
    for graph in model.subgraphs:
        types = {}
        for step in graph.operators:
            types.setdefault(litert.operator(model, step), []).append(graph.tensors[step.inputs[0]].type)
        assert list(types)[:2] == ["QUANTIZE", "CONV_2D"]  # normalisation is the scale of the input
        assert types["CONV_2D"] == [schema.TensorType.INT8] * 6
        assert types["AVERAGE_POOL_2D"] == [schema.TensorType.INT8] * 2
        assert types["FULLY_CONNECTED"] == [schema.TensorType.INT8, schema.TensorType.FLOAT32]
        for step in graph.operators:
            if litert.operator(model, step) == "CONV_2D":
                weights = graph.tensors[step.inputs[1]]
                assert len(weights.quantization.scale) == weights.shape[0]  # output channels


def test_report(exported, kind):
    folder, report, images, scores = exported
    assert json.loads((folder / "out/report.json").read_text()) == report
    found = report["files"][kind]
    assert set(found["operators"]) <= BUILT_IN and found["operators"]["CONV_2D"] == 6
    assert f"student-{kind}.tflite" in (folder / "out/report.md").read_text()
    assert list(found["milliseconds"]) == parity.SIGNATURES and min(found["milliseconds"].values()) > 0

    text_filter = TextFilter.load(folder / f"out/student-{kind}.tflite")
    difference = np.abs(text_filter.score(images) - scores)
    # Keras on the backend that runs the tests is as far from Keras on TensorFlow as that from float32.
    assert found["max_difference"] == pytest.approx(difference.max(), rel=0.05, abs=TOLERANCE["float32"])
    assert found["mean_difference"] == pytest.approx(difference.mean(), rel=0.05, abs=TOLERANCE["float32"])


def test_text_filter_reads_the_file(exported, kind):
    folder, report, images, _ = exported
    text_filter = TextFilter.load(folder / f"out/student-{kind}.tflite")
    assert text_filter.buckets == list(BUCKETS)
    assert text_filter.metadata.items() >= {**CARD, "precision_dtype": kind, "labels": ["no_text", "text"]}.items()
    assert text_filter.thresholds == report["thresholds"]
    assert list(text_filter.thresholds["recall"]) == ["0.9", "0.94", "0.97", "0.99"]
    assert text_filter.regions(images[:2]).shape == (2, 34)


def test_two_exports_are_the_same_file(exported):
    with zipfile.ZipFile(exported[0] / "out/student-int8.tflite") as archive:
        (info,) = archive.infolist()
    assert (info.filename, info.date_time) == ("kgan.json", (1980, 1, 1, 0, 0, 0))


def test_saved_model_takes_batches_of_any_size(exported, student):
    tf = pytest.importorskip("tensorflow")
    saved = tf.saved_model.load(str(exported[0] / "out/student-saved_model"))
    assert set(saved.signatures) == {"serving_default", *parity.SIGNATURES}
    for shape in ((3, 100, 150, 3), (1, 241, 333, 3)):
        images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
        found = saved.signatures["serving_default"](images=tf.constant(images))
        np.testing.assert_allclose(found["score"].numpy()[:, 0], student.score(images), atol=1e-5)


def test_a_file_that_changes_decisions_is_refused_and_the_earlier_one_stays(exported, tmp_path):
    folder, _, images, _ = exported
    out = tmp_path / "out"
    out.mkdir()
    (out / "student-int8.tflite").write_bytes(b"earlier")
    levels = np.quantile(TextFilter.load(folder / "out/student-float32.tflite").score(images), np.linspace(0.1, 0.9, 9))
    thresholds = {"best_f": 0.5, "recall": {str(i / 10): float(t) for i, t in enumerate(levels, start=1)}}
    with pytest.raises(
        export.DecisionsChanged, match=r"student-int8.tflite disagrees with Keras on \d+.\d+% of the images at recall"
    ):
        export.export_text_filter(
            folder / "student.keras",
            out,
            quantisation=["int8"],
            images=pictures(5, seed=3),
            validation=(images, np.arange(len(images)) % 2),
            thresholds=thresholds,
            max_changed=0.0,
        )
    assert [path.name for path in out.iterdir()] == ["student-int8.tflite"]
    assert (out / "student-int8.tflite").read_bytes() == b"earlier"


@pytest.mark.only_on("tensorflow")  # what TensorFlow's converter does
def test_an_operator_that_is_not_built_in_is_refused():
    import tensorflow as tf

    module = tf.Module()
    signature = [tf.TensorSpec((1, 3, 3), tf.float32)]
    module.call = tf.function(lambda matrix: tf.linalg.inv(matrix), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with pytest.raises(RuntimeError, match="^not built into LiteRT: MatrixInverse$"):
        conversion.convert_with(converter)


def test_only_students_are_exported(tmp_path):
    kgan.text_filter.TextTeacher(width=0.02).save(tmp_path / "teacher.keras")
    with pytest.raises(ValueError, match="holds a TextTeacher: pass a TextStudent"):
        conversion.load_student(tmp_path / "teacher.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras is not a model that Keras can read"):
        conversion.load_student(tmp_path / "text.keras")


def test_code_in_a_model_file_is_not_run(tmp_path):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="is not a model that Keras can read"):
        conversion.load_student(tmp_path / "lambda.keras")


def test_the_conversion_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    """It may be one of somebody's files."""
    for name in ("keras", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(RuntimeError, match="request.json"):  # the process has come that far
        exporting.convert_in_process(tmp_path / "none")
    assert not (tmp_path / "run").exists()


def test_a_student_trained_in_low_precision_is_exported_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = kgan.text_filter.TextStudent(width=0.2, image_size=(120, 120), name="small")
    finally:
        keras.config.set_dtype_policy("float32")
    student.save(tmp_path / "small.keras")
    loaded = conversion.load_student(tmp_path / "small.keras")
    assert loaded.name == "small" and loaded.input_shape == (None, None, None, 3)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    for a, b in zip(loaded.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("count", "images", "allowed", "refused"),
    [
        (0, 300, 0.0, False),
        (1, 300, 0.005, False),
        (2, 300, 0.005, False),  # 0.67 %, but by chance
        (6, 300, 0.005, True),
        (14, 2000, 0.005, False),
        (20, 2000, 0.005, True),
        (1, 2000, 0.0, True),
    ],
)
def test_a_file_is_refused_where_chance_does_not_explain_its_changes(count, images, allowed, refused):
    truth = {"score": np.full((images, 1), 0.6), "regions": np.full((images, 34), 0.6)}
    found = truth | {"score": np.where(np.arange(images)[:, None] < count, 0.4, 0.6)}
    compared = parity.compare(found, truth, {"best_f": 0.5, "recall": {}})
    low, high = compared["interval"]["best_f"]
    assert 0 <= low <= count / images < high
    expected = binomtest(count, images).proportion_ci(method="wilson")
    assert (low, high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    report = {"files": {"int8": {"name": "a.tflite", **compared}}}
    if refused:
        with pytest.raises(export.DecisionsChanged, match=f"a.tflite disagrees with Keras on {count / images:.2%}"):
            parity.refuse_changes(report, allowed)
    else:
        parity.refuse_changes(report, allowed)


@pytest.mark.parametrize(
    ("card", "given", "kept"),
    [
        ({"thresholds": {"best_f": 0.5, "recall": {}}}, {}, True),
        ({"thresholds": {"best_f": 0.5, "recall": {}}}, {"thresholds": {"best_f": 0.9, "recall": {}}}, False),
        ({}, {}, False),
    ],
)
def test_counts_go_with_the_thresholds_that_they_are_of(tmp_path, monkeypatch, card, given, kept):
    counts = {"on": "2 photos", "kinds": {"all": {"text": 1, "no_text": 1, "passed": {"best_f": [1, 0]}}}}
    (tmp_path / "student.keras").write_bytes(b"")
    (tmp_path / "student.json").write_text(json.dumps({"measured": counts, **card}))
    asked = []

    def convert(folder):
        asked.append(json.loads((folder / "request.json").read_text())["card"])
        raise RuntimeError("far enough")

    monkeypatch.setattr(exporting, "convert_in_process", convert)
    with pytest.raises(RuntimeError, match="far enough"):
        export.export_text_filter(tmp_path / "student.keras", tmp_path / "out", **given)
    assert asked[0].get("measured") == (counts if kept else None)


def test_damaged_counts_are_refused_before_the_conversion(tmp_path):
    (tmp_path / "student.json").write_text(json.dumps({"measured": {"on": "2 photos", "kinds": {"all": [1]}}}))
    with pytest.raises(ValueError, match="student.json: its counts, `measured`, are damaged"):
        export.read_card(tmp_path / "student.json")


def test_decisions_are_compared_at_each_threshold():
    truth = {"score": np.array([[0.2], [0.6], [0.8]]), "regions": np.array([[0.1, 0.2], [0.5, 0.6], [0.7, 0.8]])}
    found = {"score": np.array([[0.2], [0.4], [0.8]]), "regions": np.array([[0.1, 0.2], [0.2, 0.6], [0.7, 0.8]])}
    thresholds = {"best_f": 0.5, "recall": {"0.9": 0.15, "0.5": 0.4}, "share": {"0.5": 0.55}}
    compared = parity.compare(found, truth, thresholds)
    assert compared["changed"] == {
        "best_f": pytest.approx(1 / 3),
        "0.9": 0,
        "0.5": 0,
        "share 0.5": pytest.approx(1 / 3),
    }
    with pytest.raises(export.DecisionsChanged, match="at share 0.5"):
        parity.refuse_changes({"files": {"int8": {"name": "a.tflite", **compared}}}, 0.0)
    assert compared["max_difference"] == pytest.approx(0.2)
    assert compared["mean_difference"] == pytest.approx(0.2 / 3)
    assert compared["max_region_difference"] == pytest.approx(0.3)


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantisation": ["int4"]}, "pass some of float32, float16, int8"),
        ({"quantisation": []}, "pass some of float32, float16, int8"),
        ({"calibration": 4}, "at least 5 images"),
        ({"images": []}, "at least one"),
        ({"images": [np.zeros((8, 8, 3))]}, "an image is float64"),
        ({"validation": (pictures(20, 0), [0, 1] * 10)}, "20 validation images: pass at least 200"),
        ({"validation": (pictures(200, 0), [1] * 200)}, "with text and without"),
        ({"validation": (pictures(200, 0), [0, 2] * 100)}, "pass 0 or 1 for each image"),
        ({"validation": (pictures(200, 0), [0, 1])}, "pass 0 or 1 for each image"),
        ({"max_changed": 2}, "share in"),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    (tmp_path / "student.keras").write_text("is not reached")
    with pytest.raises(ValueError, match=message):
        export.export_text_filter(tmp_path / "student.keras", tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"threshold": 0.5}'])
def test_a_card_that_makes_no_sense(tmp_path, text):
    (tmp_path / "student.keras").write_text("is not reached")
    (tmp_path / "student.json").write_text(text)
    with pytest.raises(ValueError, match=r"student.json is"):
        export.export_text_filter(tmp_path / "student.keras", tmp_path / "out")


def test_every_signature_is_calibrated():
    found = exporting.calibration_images(pictures(1, seed=0) * 3, count=10)
    assert {name: images.shape for name, images in found.items()} == {
        f"calibration-{h}x{w}": (3 if (h, w) == (240, 240) else 1, h, w, 3) for h, w in BUCKETS
    }


# === Command ===


def test_command(monkeypatch, capsys, tmp_path):
    assert cli.main(["export", str(tmp_path / "none.keras"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"kgan export: no model file {str(tmp_path / 'none.keras')!r}\n"

    def refuse(*args, **kwargs):
        raise RuntimeError("int8 decides otherwise")

    monkeypatch.setattr(cli.export, "export_text_filter", refuse)
    assert cli.main(["export", "student.keras", "--out", "out"]) == 1
    assert capsys.readouterr().err == "kgan export: int8 decides otherwise\n"

    report = {"files": {"int8": {"name": "student-int8.tflite", "changed": {"best_f": 0.0025}, "max_difference": 0.01}}}
    asked = {}
    convert = lambda *args, **kwargs: asked.update(args=args, **kwargs) or report  # noqa: E731
    monkeypatch.setattr(cli.export, "export_text_filter", convert)
    assert cli.main(["export", "a.keras", "--out", "b", "--quantisation", "int8", "--calibration", "7"]) == 0
    assert asked == {"args": ("a.keras", "b", ["int8"]), "images": None, "calibration": 7}
    assert "b/student-int8.tflite: 0.25% of decisions changed, scores differ by at most 0.01" in capsys.readouterr().out
