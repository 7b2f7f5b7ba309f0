"""Every example runs: `>>>` lines give what they say, blocks of ```python``` and those of the README run through."""

import ast
import doctest
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import skimage.data
import tiny_filter
from prnet_files import write_prnet

import kgan
from kgan.filter import text_filter as runtime

ROOT = Path(kgan.__file__).parent


# Modules whose examples no backend has a part in.
BACKEND_FREE = ("kgan.data", "kgan.export", "kgan.faces", "kgan.filter", "kgan.runtime")


def examples(style):
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(["kgan", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        marks = [pytest.mark.backend_free] if module.startswith(BACKEND_FREE) else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if style in text:
                    found.append(pytest.param(module, text, id=f"{module}.{getattr(node, 'name', '')}", marks=marks))
    return found


def namespace(module):
    import importlib

    return {**vars(importlib.import_module(module)), "kgan": kgan, "np": np, "ops": keras.ops, "keras": keras}


@pytest.mark.parametrize(("module", "text"), examples(">>>"))
def test_prompts(module, text):
    test = doctest.DocTestParser().get_doctest(text, namespace(module), module, None, None)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def photos(folder):
    """The pictures that the examples name."""
    (folder / "photos").mkdir()
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for i in range(5):
            path = folder / "photos" / f"{i}.jpg"
            PIL.Image.effect_noise((80, 60), 30 + i).convert("RGB").save(path)
            archive.write(path, path.name)
    (folder / "tagged").mkdir()
    for i in range(10):
        (folder / "tagged" / f"{i}.jpg").write_bytes(path.read_bytes())
    rows = "".join(f"{i}.jpg,{i % 2},{i % 3 // 2}\n" for i in range(10))
    (folder / "tagged" / "labels.csv").write_text(f"file,cat,dog\n{rows}")
    (folder / "photo.jpg").write_bytes(path.read_bytes())
    for name in ("portrait.jpg", "reference.jpg"):
        PIL.Image.fromarray(skimage.data.astronaut()).save(folder / name)
    write_prnet(folder / "PRNet" / "Data" / "uv-data")


# The contract and the models' own tests call all that the examples call, on every backend; PyTorch compiles nothing.
@pytest.mark.only_on("torch")
@pytest.mark.parametrize(("module", "text"), examples("```python"))
def test_blocks(module, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "TextFilter.load()" in text and not runtime.SHIPPED.exists():
        (tmp_path / "tiny.tflite").write_bytes(tiny_filter.model_file())
        monkeypatch.setattr(runtime, "SHIPPED", tmp_path / "tiny.tflite")
    photos(tmp_path)
    images, labels = kgan.data.load("digits", count=80)
    known = {**namespace(module), "images": images, "labels": labels, "PIL": PIL}
    model = kgan.CGAN(10, 32, channels=1, latent_dim=8, width=0.05)
    model.compile()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, module, "exec"), {**known, "model": model})


PAGES = [ROOT.parent / "README.md", *sorted((ROOT.parent / "docs").glob("*.md"))]


@pytest.mark.only_on("torch")
@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_page(page, tmp_path, monkeypatch):
    """The Python of a page, from top to bottom in one folder and one session, as a reader would try it."""
    monkeypatch.chdir(tmp_path)
    photos(tmp_path)
    for name in ("daisy", "rose"):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for path in (tmp_path / "photos").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    known = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, page.name, "exec"), known)
    for name in re.findall(r'save_image\("([^"]*)"', "".join(blocks)):
        with PIL.Image.open(tmp_path / name) as picture:
            assert np.asarray(picture).std() > 10  # shows something
