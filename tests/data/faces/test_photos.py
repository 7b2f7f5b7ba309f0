"""Photographs of faces as pairs: what is read, splits, parsing maps in three conventions, the cache, bad input."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from prnet_files import Flat, write_prnet

from kgan.data.faces import photos
from kgan.data.faces.drawn import load_makeup
from kgan.data.faces.photos import LABELS, _labels
from kgan.data.store import Store
from kgan.faces.mesh import inside
from kgan.faces.prnet import PRNet

pytestmark = pytest.mark.backend_free
SHAPES = {"texture": (64, 64, 3), "image": (48, 48, 3), "visibility": (64, 64, 1), "parts": (48, 48)}
HELD = 1  # a seed with which the photo without a face is no test photo
FACE = Image.fromarray(skimage.data.astronaut()).crop((90, 0, 350, 260))


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A cache that is empty at first."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("KERAS_HOME", str(folder))
    return folder / "kgan" / "makeup"


def parsing(labels):
    """A map in the numbers of `LABELS`: skin all over the middle, a nose, and lips where the astronaut's are."""
    found = np.zeros((260, 260), "uint8")
    found[40:200, 60:210] = labels.skin
    found[85:125, 110:150] = labels.nose
    found[135:150, 110:160] = labels.lips[0]
    found[150:160, 110:160] = labels.lips[1]
    return Image.fromarray(found)


@pytest.fixture
def faces(tmp_path):
    """Three photos of each kind, one of them without a face."""
    for folder in ("makeup", "non-makeup"):
        for i, image in enumerate((FACE, FACE.transpose(Image.Transpose.FLIP_LEFT_RIGHT), FACE.resize((130, 130)))):
            path = tmp_path / "images" / folder / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    Image.new("RGB", (90, 90), "green").save(tmp_path / "images" / "makeup" / "3.png")
    return tmp_path


def test_pairs(faces, home):
    with pytest.warns(UserWarning, match="left out 1 of 5 photos .no_face 1.: images/makeup/3.png") as seen:
        train = load_makeup(f"makeup:{faces}", uv_size=64, image_size=48, seed=HELD)
    assert len(seen) == 1
    shapes = {
        **{f"{role}_{kind}": shape for role in ("source", "reference") for kind, shape in SHAPES.items()},
        "source_index": (48 * 48, 4),
        "source_weight": (48 * 48, 4),
        "source_alpha": (48, 48, 1),
    }
    assert {key: value.shape[1:] for key, value in train.items()} == shapes
    for key, value in train.items():
        assert value.dtype == ("int32" if key.endswith(("parts", "index")) else "float32") and len(value) == 2
    assert len(load_makeup(f"makeup:{faces}", "test", uv_size=64, image_size=48, seed=HELD)["source_image"]) == 1
    # The texture, drawn by the table, is the image, but for what a small texture loses.
    index, weight = train["source_index"], train["source_weight"]
    drawn = np.stack(
        [
            (t.reshape(-1, 3)[i] * w[..., None]).sum(axis=1)
            for t, i, w in zip(train["source_texture"], index, weight, strict=True)
        ]
    ).reshape(-1, 48, 48, 3)
    solid = train["source_alpha"][..., 0] > 0.99
    assert solid.mean() > 0.1 and np.abs(drawn - train["source_image"])[solid].mean() < 0.06
    assert set(np.unique(train["source_parts"])) == {0, 1, 2, 3}
    assert len(list(home.glob("*.npz"))) == 4  # by content; what has no face is not looked at again either


def test_pairs_in_another_layout(faces, home):
    """Of a network that says where texels lie: here, upright in the middle of each photo."""
    (faces / "images" / "makeup" / "3.png").unlink()
    prnet = PRNet(write_prnet(faces), Flat())
    options = {"uv_size": 64, "image_size": 48, "seed": HELD}
    usual = load_makeup(f"makeup:{faces}", **options)
    pairs = load_makeup(f"makeup:{faces}", **options, geometry=prnet)
    assert {key: value.shape for key, value in pairs.items()} == {key: value.shape for key, value in usual.items()}
    outside = ~inside(64, prnet.mesh.layout)
    assert not pairs["source_visibility"][:, outside].any() and pairs["source_visibility"].mean() > 0.5
    index, weight = pairs["source_index"], pairs["source_weight"]
    assert not outside.ravel()[index[weight > 0.5]].any()
    assert len(list(home.glob("*.npz"))) == len(list(home.glob("*/*.npz"))) == 3  # one does not serve the other
    with pytest.raises(ValueError, match="geometry: drawn faces have MediaPipe's layout"):
        load_makeup("synthetic/faces", count=1, geometry=prnet)


def test_the_cache_gives_the_same_without_looking_again(faces, home, monkeypatch):
    (faces / "images" / "makeup" / "3.png").unlink()
    first = load_makeup(f"makeup:{faces}", uv_size=64, image_size=48, count=5)
    broken = sorted(home.glob("*.npz"))[0]
    broken.write_bytes(broken.read_bytes()[:100])
    looked = []
    monkeypatch.setattr(
        photos, "find_faces", lambda *args, find=photos.find_faces, **kw: looked.append(1) or find(*args, **kw)
    )
    again = load_makeup(f"makeup:{faces}", uv_size=64, image_size=48, count=5)
    assert len(looked) == 1  # the one whose file was cut off
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    other = load_makeup(f"makeup:{faces}", uv_size=64, image_size=40, count=5)
    assert other["source_image"].shape == (5, 40, 40, 3) and len(looked) > 2
    # With another network for what is in front of faces, what was found is out of date.
    monkeypatch.setattr(photos.covers, "digest", lambda: "another")
    before = len(looked)
    load_makeup(f"makeup:{faces}", uv_size=64, image_size=40, count=5)
    assert len(looked) > before + 2


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("folder", ["segs", "seg1", "parsing"])
def test_parsing_maps_of_all_kinds(kind, folder, faces, tmp_path):
    (faces / "images" / "makeup" / "3.png").unlink()
    for name in ("makeup", "non-makeup"):
        for i in range(3):
            path = tmp_path / folder / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = parsing(LABELS[kind])
            (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i == 1 else image).save(path)
    store = Store(tmp_path)
    maps = photos._maps(store, [name for name in store.pictures() if name.startswith("images")])
    assert len(maps) == 6 and _labels(store, sorted(maps.values())) == LABELS[kind]
    pairs = load_makeup(f"makeup:{faces}", uv_size=64, image_size=64, count=3)
    plain = load_makeup(f"makeup:{faces / 'images'}", uv_size=64, image_size=64, count=3)
    for role in ("source", "reference"):
        lips, before = pairs[f"{role}_parts"] == 1, plain[f"{role}_parts"] == 1
        assert lips.any() and (lips != before).any()
        # The lips of the map are where those of the mesh are, roughly.
        rows = [np.average(np.arange(64), weights=mask.sum(axis=(0, 2))) for mask in (lips, before)]
        assert abs(rows[0] - rows[1]) < 4
        np.testing.assert_array_equal(pairs[f"{role}_texture"], plain[f"{role}_texture"])


def test_maps_that_are_none(tmp_path):
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(20, 256, (60, 60), "uint8")).save(buffer, "png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("segs/makeup/a.png", buffer.getvalue())
    with pytest.raises(ValueError, match="segs/makeup/a.png is no parsing map in the numbers of bisenet, mt, scgan"):
        _labels(Store(tmp_path / "a.zip"), ["segs/makeup/a.png"])
    assert _labels(Store(tmp_path / "a.zip"), []) is None
    whole = buffer.getvalue()
    for name, broken in (
        ("cut.png", whole[: len(whole) // 2]),
        ("eps.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        ("x.png", b""),
    ):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(ValueError, match=f"the parsing map {name} cannot be read; mend or remove it"):
            photos._map(Store(tmp_path), name)


def test_splits(tmp_path):
    """MT's has 100 and 250 test photos; others a tenth; a test split is no training photo."""
    for folder, count in (("makeup", 260), ("non-makeup", 105)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            (tmp_path / folder / f"{i:04}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    store = Store(tmp_path)
    for kind, sizes in (("mt", (250, 100)), ("makeup", (26, 10))):
        for folder, size in zip(("makeup", "non-makeup"), sizes, strict=True):
            test, train = (photos._split(kind, store, folder, split, 0) for split in ("test", "train"))
            assert len(test) == size and not set(test) & set(train)
            assert len(test) + len(train) == (260 if folder == "makeup" else 105)
            assert (
                test == photos._split(kind, store, folder, "test", 0) != photos._split(kind, store, folder, "test", 1)
            )
    assert len(photos._split("makeup_wild", store, "makeup", "test", 0)) == 260
    (tmp_path / "makeup" / "0000.png").rename(tmp_path / "0000.png")
    for path in list((tmp_path / "makeup").glob("*"))[:10]:
        path.unlink()
    with pytest.raises(ValueError, match="249 photos in 'makeup', of which 250 are test photos"):
        photos._split("mt", Store(tmp_path), "makeup", "test", 0)


def test_bad_input(tmp_path, faces):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_makeup("mt:nowhere")
    with pytest.raises(ValueError, match="split='train'.*test|train.*test"):
        load_makeup(f"makeup_wild:{tmp_path}", "train")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="empty has no images"):
        load_makeup(f"makeup:{empty}")
    (empty / "makeup").mkdir()
    FACE.save(empty / "makeup" / "0.png")
    with pytest.raises(ValueError, match="has no photos in a folder 'non-makeup'"):
        load_makeup(f"makeup:{empty}")
    for folder in ("makeup", "non-makeup"):
        (empty / folder).mkdir(exist_ok=True)
        for i in range(2):
            Image.new("RGB", (80, 80), "green").save(empty / folder / os.fsdecode(b"\xff%d.png" % i))
        (empty / folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    left_out = "left out 4 of 5.* and others, all in .*left-out-train-.*.txt"
    with pytest.warns(UserWarning, match=left_out) as seen, pytest.raises(ValueError, match="whose face can be used"):
        load_makeup(f"makeup:{empty}")
    listed = Path(str(seen[0].message).partition("all in ")[2]).read_bytes().splitlines()
    assert len(set(listed)) == 4
    for line in listed:
        status, name = os.fsdecode(line).split("\t")
        assert status == ("damaged" if name.endswith("/2.png") else "no_face") and (empty / name).exists()
