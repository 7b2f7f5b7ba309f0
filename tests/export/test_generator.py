"""Export of generators: tiny ones through the whole conversion, here in this process but for one test."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tiny_generator
from PIL import Image
from tiny_generator import CLASSES, LATENTS, grey

import kgan
from kgan import cli, export
from kgan.export import generator as exporting
from kgan.export import generator_parity as parity
from kgan.filter import model_file
from kgan.filter.text_filter import TextFilter

pytestmark = pytest.mark.only_on("tensorflow")

NAMES = ["cat", "dog", "newt"]
BUILT_IN = {
    *("ADD", "ARG_MAX", "CAST", "CONCATENATION", "CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED", "MAXIMUM", "MINIMUM"),
    *("MUL", "ONE_HOT", "RELU_N1_TO_1", "RESHAPE", "ROUND", "SQUEEZE", "STRIDED_SLICE", "SUB", "TANH", "TOPK_V2"),
    "TRANSPOSE_CONV",
}
# Of grey levels: a value that lies between two may go to either. Half precision moves weights by a 2000th.
TOLERANCE = {"float32": 1, "float16": 2}


def here(module, folder, refusal):
    """Converts in this process, which has TensorFlow."""
    from kgan.export import generator_conversion

    assert (module, refusal) == (generator_conversion.__name__, export.PicturesChanged)
    generator_conversion.export(folder, json.loads((folder / "request.json").read_text()))


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(exporting, "run", here)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return tiny_generator.conditional()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """`(folder, report)`."""
    folder = tmp_path_factory.mktemp("export")
    model.save(folder / "pets.keras")
    (folder / "pets.json").write_text(json.dumps({"class_names": NAMES, "licence": "for tests"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "run", here)
        return folder, export.export_generator(folder / "pets.keras", folder / "out")


@pytest.fixture(params=export.FLOATS)
def kind(request):
    return request.param


def runner(path, signature):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=1).get_signature_runner(signature)


def by_row(run, **inputs):
    """The output of a signature for each row of its inputs."""
    count = len(next(iter(inputs.values())))
    rows = [run(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
    return np.concatenate([next(iter(row.values())) for row in rows])


def some_inputs(count=30, seed=3):
    rng = np.random.default_rng(seed)
    mixed = rng.dirichlet(np.ones(CLASSES), count).astype("float32")
    mixed[:CLASSES] = np.eye(CLASSES)
    return rng.standard_normal((count, LATENTS), "float32"), mixed


def assert_alike(found, expected, kind):
    """Few values differ by a level, none by more than the tolerance, and there is something to see."""
    assert found.dtype == np.uint8 and found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.max() <= TOLERANCE[kind]
    assert (difference > 0).mean() < {"float32": 1e-3, "float16": 0.05}[kind]
    assert expected.std() > 30


def test_a_file_draws_what_keras_draws(exported, model, kind):
    latents, labels = some_inputs()
    found = by_row(runner(exported[0] / f"out/pets-{kind}.tflite", "generate"), latents=latents, labels=labels)
    assert_alike(found, grey(model.generate(labels, latents)), kind)


def test_signature(exported, kind):
    run = runner(exported[0] / f"out/pets-{kind}.tflite", "generate")
    ends = {**run.get_input_details(), **run.get_output_details()}
    assert {name: (tuple(end["shape"]), end["dtype"]) for name, end in ends.items()} == {
        "latents": ((1, LATENTS), np.float32),
        "labels": ((1, CLASSES), np.float32),
        "images": ((1, 32, 32, 3), np.uint8),
    }


def test_saved_model_takes_batches_of_any_size(exported, model):
    import tensorflow as tf

    call = tf.saved_model.load(str(exported[0] / "out/pets-saved_model")).signatures["generate"]
    for count in (1, 7):
        latents, labels = some_inputs(count + 2)
        found = call(latents=tf.constant(latents), labels=tf.constant(labels))["images"].numpy()
        assert_alike(found, grey(model.generate(labels, latents)), "float32")


def test_report(exported, model, kind):
    folder, report = exported
    assert json.loads((folder / "out/report.json").read_text()) == report
    assert (report["model"], report["images"]) == ("CGAN", 200)
    file = report["files"][kind]
    path = folder / "out" / file["name"]
    assert file["name"] == f"pets-{kind}.tflite" and file["bytes"] == path.stat().st_size
    weights = model.generator.count_params() * {"float32": 4, "float16": 2}[kind]
    assert 0.9 * weights < file["bytes"] < weights + 10_000
    found = file["signatures"]["generate"]
    assert set(found["operators"]) <= BUILT_IN and found["operators"]["TRANSPOSE_CONV"] == 4
    assert 0 < found["milliseconds"] < 1000
    assert found["changed"] == 0 and found["max_difference"] <= TOLERANCE[kind]
    assert 0 <= found["mean_difference"] < {"float32": 1e-3, "float16": 0.05}[kind]
    assert f"| pets-{kind}.tflite | {file['bytes']} | generate |" in (folder / "out/report.md").read_text()


def test_the_picture_shows_keras_above_the_files(exported):
    picture = np.asarray(Image.open(exported[0] / "out/parity.png"))
    rows = (picture.shape[0] - 4) // 68  # 32 pixels twice as large, and a border of 4
    assert rows == 3 and (picture.shape[0] - 4) % 68 == 0
    # The images, without the labels on the left.
    images = [picture[68 * row + 4 : 68 * row + 68, -680:].astype(int) for row in range(rows)]
    assert images[0].std() > 30
    for row in images[1:]:
        assert np.abs(row - images[0]).max() <= 2


def test_metadata(exported, kind):
    data = (exported[0] / f"out/pets-{kind}.tflite").read_bytes()
    with zipfile.ZipFile(exported[0] / f"out/pets-{kind}.tflite") as archive:
        metadata = json.loads(archive.read("kgan.json"))
    shapes = {"inputs": {"latents": [1, LATENTS], "labels": [1, CLASSES]}, "output": [1, 32, 32, 3]}
    assert (
        metadata.items()
        >= {
            "model": "CGAN",
            "signatures": {"generate": shapes},
            "class_names": NAMES,
            "licence": "for tests",
            "data_card": "not stated",
            "precision_dtype": kind,
        }.items()
    )
    with pytest.raises(ValueError, match="asks for resize None"):
        TextFilter.load(exported[0] / f"out/pets-{kind}.tflite")
    with pytest.raises(ValueError, match="does not match the digest|asks for resize"):
        model_file.read(b"a" + data)


def test_every_model_that_draws_is_exported():
    from kgan.models.conditional import ClassConditional
    from kgan.models.mm_ssit.model import DomainTranslator

    public = {name: getattr(kgan, name) for name in kgan._MODULE_OF}
    drawing = (ClassConditional, kgan.GAN, DomainTranslator)
    assert set(export.MODELS) == {name for name, model in public.items() if issubclass(model, drawing)}


def test_a_model_with_more_networks(in_this_process, tmp_path):
    import tensorflow as tf

    model = tiny_generator.conditional(kgan.CVAEGAN)
    for layer in model.generator.layers:  # codes of images have statistics of their own, which stay behind, too
        if hasattr(layer, "moving_mean"):
            layer.moving_mean.assign(layer.moving_mean + np.array([[0.0], [-0.2]], "float32"))
    model.save(tmp_path / "model.keras")
    report = export.export_generator(tmp_path / "model.keras", tmp_path, ["float16"], class_names=NAMES)
    assert report["model"] == "CVAEGAN"
    latents, labels = some_inputs(8)
    assert np.abs(model.generate(labels, latents) - model.decode(labels, latents)).max() > 0.1
    found = by_row(runner(tmp_path / "model-float16.tflite", "generate"), latents=latents, labels=labels)
    assert_alike(found, grey(model.generate(labels, latents)), "float16")
    assert not (tmp_path / "model-float32.tflite").exists()
    # The encoder and the judges stay behind.
    stored = tf.train.list_variables(str(tmp_path / "model-saved_model/variables/variables"))
    weights = sum(int(np.prod(shape)) for name, shape in stored if name.startswith("variables/"))
    assert weights == model.generator.count_params()


def some_styles(count=10):
    """`(images, their values in [-1, 1], styles)`."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (count, 4, 4, 3), "uint8").repeat(8, 1).repeat(8, 2)
    return images, images / 127.5 - 1, rng.standard_normal((count, LATENTS), "float32")


def test_translator(in_this_process, tmp_path):
    model = tiny_generator.translator(kgan.MMSSIT)
    model.save(tmp_path / "digits.keras")
    report = export.export_generator(tmp_path / "digits.keras", tmp_path / "out", ["float32"])
    path = tmp_path / "out/digits-float32.tflite"
    images, values, styles = some_styles()
    for source, target in ("ab", "ba"):
        found = by_row(runner(path, f"{source}_to_{target}"), images=images, styles=styles)
        assert_alike(found, grey(model.translate(values, source, target, styles=styles[:, None])[:, 0]), "float32")
        found, expected = by_row(runner(path, f"style_of_{source}"), images=images), model.encode(values, source)[1]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    signatures = report["files"]["float32"]["signatures"]
    assert set(signatures) == {"a_to_b", "b_to_a", "style_of_a", "style_of_b"}
    assert set().union(*(found["operators"] for found in signatures.values())) <= BUILT_IN
    assert path.stat().st_size < 4 * model.count_params()  # the weights once, and no discriminators
    assert np.asarray(Image.open(tmp_path / "out/parity.png")).std() > 30


def test_the_classes_of_cdaae_are_found_by_what_litert_has(tmp_path):
    from kgan.export import converter, generator_conversion

    model = tiny_generator.translator(kgan.CDAAE)
    images, values, styles = some_styles()
    signature = generator_conversion.translation(model, "a", "b", images, styles)
    generator_conversion.save({"a_to_b": signature}, tmp_path / "saved", 1)
    (tmp_path / "a.tflite").write_bytes(converter.convert(tmp_path / "saved", "float32", ["a_to_b"]))
    found = by_row(runner(tmp_path / "a.tflite", "a_to_b"), images=images, styles=styles)
    assert len(np.unique(model.classify(values, "a").argmax(axis=1))) > 1
    assert_alike(found, grey(model.translate(values, "a", "b", styles=styles[:, None])[:, 0]), "float32")


def test_generator_of_any_shape_in_grey(in_this_process, tmp_path):
    model = tiny_generator.free(keras.layers.Activation("tanh"))
    model.save(tmp_path / "own.keras")
    export.export_generator(tmp_path / "own.keras", tmp_path)
    latents = np.random.default_rng(1).standard_normal((9, LATENTS), "float32")
    expected = grey(model.generator.predict(latents, verbose=0))
    for kind in export.FLOATS:
        assert_alike(by_row(runner(tmp_path / f"own-{kind}.tflite", "generate"), latents=latents), expected, kind)
    with zipfile.ZipFile(tmp_path / "own-float32.tflite") as archive:
        metadata = json.loads(archive.read("kgan.json"))
    assert metadata["signatures"]["generate"] == {"inputs": {"latents": [1, LATENTS]}, "output": [1, 6, 10, 1]}
    assert "class_names" not in metadata


def test_a_generator_trained_in_low_precision_is_exported_in_float32(in_this_process, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny_generator.free(keras.layers.Activation("tanh", dtype="float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "low.keras")
    export.export_generator(tmp_path / "low.keras", tmp_path, ["float32"])
    latents = np.random.default_rng(1).standard_normal((9, LATENTS), "float32")
    kernel, bias = model.generator.get_weights()
    expected = grey(np.tanh(latents.astype("float64") @ kernel + bias)).reshape(9, 6, 10, 1)
    assert_alike(by_row(runner(tmp_path / "low-float32.tflite", "generate"), latents=latents), expected, "float32")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda x: keras.ops.erfinv(keras.ops.tanh(x) / 2), RuntimeError, "^not built into LiteRT: Erfinv$"),
        (lambda x: 50 * x, ValueError, r"Samples of the generator must be in \[-1, 1\], got values from"),
        (keras.layers.Flatten(), ValueError, r"samples are \(None, 60\): pass one of images"),
    ],
)
def test_generators_that_cannot_be_exported(output, error, message, in_this_process, tmp_path):
    tiny_generator.free(output).save(tmp_path / "own.keras")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/own-float32.tflite").write_text("earlier")
    with pytest.raises(error, match=message) as raised:
        export.export_generator(tmp_path / "own.keras", tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["own-float32.tflite"]
    assert (tmp_path / "out/own-float32.tflite").read_text() == "earlier"


def test_a_file_that_draws_otherwise_is_refused_and_the_earlier_one_stays(in_this_process, tmp_path):
    # Steep slopes: half precision moves many values by more than a level.
    tiny_generator.free(lambda x: keras.ops.sin(300 * x)).save(tmp_path / "steep.keras")
    out = tmp_path / "out"
    (out / "steep-saved_model").mkdir(parents=True)
    message = r"^steep-float16.tflite differs from Keras in \d+.\d\d% of the values of generate \(0.50% allowed\)"
    with pytest.raises(export.PicturesChanged, match=message):
        export.export_generator(tmp_path / "steep.keras", out)
    assert [path.name for path in out.rglob("*")] == ["steep-saved_model"]
    export.export_generator(tmp_path / "steep.keras", out, ["float32"])
    assert {path.name for path in out.iterdir()} == {
        *("steep-saved_model", "steep-float32.tflite"),
        *("report.json", "report.md", "parity.png"),
    }
    assert (out / "steep-saved_model/saved_model.pb").exists()


def test_differences_are_grey_levels():
    truth = np.array([0, 10, 128, 250, 255], "uint8")
    found = np.array([0, 11, 125, 250, 0], "uint8")
    assert parity.compare(found, truth) == {
        "changed": pytest.approx(2 / 5),
        "max_difference": 255,
        "mean_difference": pytest.approx((1 + 3 + 255) / 5),
    }
    styles = np.array([0.5, 0.52, np.nan, 0], "float32")
    assert parity.compare(styles, np.array([0.505, 0.5, 0, 0]))["changed"] == 0.5
    report = {"files": {"float16": {"name": "a.tflite", "signatures": {"generate": parity.compare(found, truth)}}}}
    parity.refuse_changes(report, 0.4)
    with pytest.raises(export.PicturesChanged, match="a.tflite differs from Keras in 40.00% of the values of generate"):
        parity.refuse_changes(report, 0.39)


# === What is no generator ===


def keras_file(path, config):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not a model that Keras can read"),
        ("[]", "is not a model that Keras can read"),
        ('{"config": {}}', "is not a model that Keras can read: 'class_name'"),
        ("[" * 100_000, "is not a model that Keras can read"),
        (" " * (2**24 + 1), "its config.json is larger than 16 MB"),
        ('{"class_name": "MakeupGAN"}', "holds a MakeupGAN: pass one of CVAEGAN, "),
        ('{"class_name": ["GAN"]}', "is not a model that Keras can read"),
    ],
)
def test_descriptions_of_no_generator(config, message, tmp_path):
    keras_file(tmp_path / "model.keras", config)
    with pytest.raises(ValueError, match=message):
        export.export_generator(tmp_path / "model.keras", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["no archive", "cut", "without its config", "bytes changed"])
def test_damaged_files(what, exported, tmp_path):
    path, data = tmp_path / "model.keras", (exported[0] / "pets.keras").read_bytes()
    if what == "without its config":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", "{}")
    elif what == "bytes changed":
        keras_file(path, json.dumps({"class_name": "CGAN", "config": list(range(1000))}))
        data = bytearray(path.read_bytes())
        data[100:300] = bytes(200)
        path.write_bytes(data)
    else:
        path.write_bytes(b"no model" if what == "no archive" else data[:-100])
    with pytest.raises(ValueError, match="model.keras is not a model that Keras can read: ") as raised:
        export.export_generator(path, tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_a_file_that_is_not_what_it_says(in_this_process, exported, tmp_path):
    keras_file(tmp_path / "model.keras", '{"class_name": "CGAN"}')
    with pytest.raises(ValueError, match="model.keras is not a model that Keras can read: "):
        export.export_generator(tmp_path / "model.keras", tmp_path / "out")


def test_code_in_a_model_file_is_not_run(in_this_process, tmp_path):
    tiny_generator.free(keras.layers.Lambda(lambda x: x)).save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="own.keras is not a model that Keras can read: "):
        export.export_generator(tmp_path / "own.keras", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantisation": ["int8"]}, r"quantisation=\['int8'\]: a generator has float32 and float16, pass one or both"),
        ({"quantisation": []}, "pass one or both"),
        ({"max_changed": -0.1}, "max_changed=-0.1: pass a share in"),
        ({"class_names": ["cat", "dog"]}, "pass 3 texts, one for each class"),
        ({"class_names": ["cat", "dog", 3]}, "pass 3 texts, one for each class"),
        ({"class_names": "abc"}, "pass 3 texts, one for each class"),
    ],
)
def test_arguments_out_of_range(arguments, message, in_this_process, exported, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.export_generator(exported[0] / "pets.keras", tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_names_of_classes_that_a_model_does_not_have(in_this_process, tmp_path):
    tiny_generator.free(keras.layers.Activation("tanh")).save(tmp_path / "own.keras")
    (tmp_path / "own.json").write_text('{"class_names": ["cat"]}')
    with pytest.raises(ValueError, match="class_names: a GAN is not asked for classes"):
        export.export_generator(tmp_path / "own.keras", tmp_path / "out")
    (tmp_path / "own.json").write_text('{"thresholds": []}')
    with pytest.raises(ValueError, match="own.json is not a model card"):
        export.export_generator(tmp_path / "own.keras", tmp_path / "out")


# === Presets ===


def test_a_preset(model, exported, tmp_path, in_this_process):
    card = {"licence": "for tests", "data": "noise", "figures": {"top1": 1.0}}
    model.save_to_preset(tmp_path / "pets.v1", NAMES, card)
    report = export.export_generator(tmp_path / "pets.v1", tmp_path / "out", ["float16"])
    name = report["files"]["float16"]["name"]
    assert name == "pets.v1-float16.tflite"
    known = json.loads(zipfile.ZipFile(tmp_path / "out" / name).read("kgan.json"))
    assert (known["class_names"], known["licence"], known["data_card"]) == (NAMES, "for tests", "noise")
    latents, labels = some_inputs()
    files = tmp_path / "out" / name, exported[0] / "out" / "pets-float16.tflite"
    same = [by_row(runner(path, "generate"), latents=latents, labels=labels) for path in files]
    np.testing.assert_array_equal(*same)


def test_no_preset(tmp_path, capsys):
    assert cli.main(["export", "flowers", "--out", str(tmp_path / "out")]) == 2
    assert "kgan export: no preset or folder 'flowers'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# === Command ===


def test_command(exported, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(cli.export, "export_generator", lambda *args: asked.append(args) or exported[1])
    path = str(exported[0] / "pets.keras")
    assert cli.main(["export", path, "--out", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "b/pets-saved_model",
        "b/pets-float32.tflite",
        "b/pets-float16.tflite",
    ]
    assert all("generate: 0.00% of values changed, by at most " in line for line in lines)
    assert cli.main(["export", path, "--out", "b", "--quantisation", "float16"]) == 0
    assert asked == [(path, "b", export.FLOATS), (path, "b", ["float16"])]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--images", "photos"], "--images is for students of the text filter: leave it out"),
        (["--calibration", "0"], "--calibration is for students of the text filter: leave it out"),
        (
            ["--quantisation", "float32", "int8"],
            "quantisation=['float32', 'int8']: a generator has float32 and float16",
        ),
    ],
)
def test_options_of_students(more, message, exported, tmp_path, capsys):
    assert cli.main(["export", str(exported[0] / "pets.keras"), "--out", str(tmp_path / "out"), *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kgan export: {message}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["student", "damaged"])
def test_all_else_goes_the_way_of_students(what, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(cli.export, "export_text_filter", lambda *args, **more: asked.append(args) or {"files": {}})
    keras_file(tmp_path / "a.keras", '{"class_name": "TextStudent"}' if what == "student" else "{")
    assert cli.main(["export", str(tmp_path / "a.keras"), "--out", "b"]) == 0
    assert asked == [(str(tmp_path / "a.keras"), "b", export.QUANTISATIONS)]


@pytest.mark.only_on("torch")
def test_a_model_saved_on_another_backend(tmp_path, monkeypatch):
    """Through the process of TensorFlow's own, which imports nothing from the current folder."""
    model = tiny_generator.conditional()
    model.save(tmp_path / "pets.keras")
    for name in ("keras", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    export.export_generator("pets.keras", "out", ["float32"])
    assert not (tmp_path / "run").exists()
    latents, labels = some_inputs()
    found = by_row(runner(tmp_path / "out/pets-float32.tflite", "generate"), latents=latents, labels=labels)
    assert_alike(found, grey(model.generate(labels, latents)), "float32")
