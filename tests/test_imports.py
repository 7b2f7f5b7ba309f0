"""Where the packages of a backend are imported, and that JAX and PyTorch do without TensorFlow's."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import kgan

ROOT = Path(kgan.__file__).parent

WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "tensorflow_datasets", "keras_cv"):
    sys.modules[name] = None  # so that importing it fails
import kgan
from tensorboardX import SummaryWriter
from kgan import callbacks, losses, metrics, plots
from kgan.models.gan import dcgan_discriminator, dcgan_generator

images, _ = kgan.data.load("digits", count=8)
model = kgan.GAN(dcgan_generator(32, 1, 8, width=1 / 32), dcgan_discriminator(32, 1, width=1 / 32), latent_dim=8)
model.compile()
writer = SummaryWriter(sys.argv[1], flush_secs=1)
grid = callbacks.ImageGrid(writer, lambda model: model.generate(4, seed=0), columns=2)
watchers = [callbacks.Scalars(writer), grid, callbacks.Checkpoint(sys.argv[1])]
model.fit(images, batch_size=4, verbose=0, callbacks=watchers)
writer.add_histogram("pixels", images, 0)
writer.close()
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="the other backends do without TensorFlow")
def test_fit_and_event_files_without_tensorflow(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "epoch-0001.weights.h5").exists()
    assert sum(path.stat().st_size for path in tmp_path.glob("events.out.tfevents.*")) > 1000


def imports(file):
    """`(module, inside a function)` of each import in a file."""
    tree = ast.parse(file.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", id(node) in inside) for alias in node.names)


def found():
    """`(file, package, inside a function)` of each import in kgan; of its own modules the full name."""
    for file in ROOT.rglob("*.py"):
        for module, inside in imports(file):
            package = module.split(".")[0]
            yield file.relative_to(ROOT).as_posix(), module if package == "kgan" else package, inside


def test_only_the_backend_folder_imports_a_backend():
    optional = {"tensorflow", "jax", "torch", "tensorflow_datasets", "keras_cv", "tensorboard", "tensorboardX"}
    at_module_level = {(f"backend/{name}.py", name) for name in ("tensorflow", "jax", "torch")}
    conversions = ("conversion", "converter", "generator_conversion")  # run in a process of their own
    at_module_level |= {(f"export/{name}.py", "tensorflow") for name in conversions}
    assert {(file, package) for file, package, inside in found() if package in optional and not inside} == (
        at_module_level
    )
    in_functions = {(file, package) for file, package, inside in found() if inside}
    assert {file for file, package in in_functions if package in ("jax", "torch")} == {"metrics/inception_process.py"}
    tensorflow = {file for file, package in in_functions if package == "tensorflow"}
    assert tensorflow <= {"data/tfds.py", "export/parity.py", "models/makeup/position_map.py"}


# What a room may import of kgan. The rooms of the command-line tools import neither Keras nor what needs it.
ROOMS = {
    "runtime/": ("kgan.runtime",),
    "filter/": ("kgan.filter", "kgan.runtime"),
    "faces/": ("kgan.faces", "kgan.runtime"),
    "data/": ("kgan.data", "kgan.faces", "kgan.filter", "kgan.runtime"),
}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_lies_below_them(room):
    modules = {module for file, module, _ in found() if file.startswith(room) and module.startswith("kgan.")}
    assert modules and {module for module in modules if not module.startswith(ROOMS[room])} == set()


def test_the_command_line_tools_need_neither_keras_nor_its_backends():
    allowed = {"runtime/": {"numpy", "PIL"}, "filter/": {"numpy", "PIL"}, "faces/": {"numpy", "PIL", "scipy"}}
    for room, packages in allowed.items():
        imported = {package for file, package, inside in found() if file.startswith(room) and not inside}
        assert {name for name in imported if not name.startswith("kgan.")} - set(sys.stdlib_module_names) <= packages


@pytest.mark.parametrize("name", kgan._SUBMODULES)
def test_public_subpackages_can_be_imported_as_such(name):
    assert importlib.import_module(f"kgan.{name}") is getattr(kgan, name)
