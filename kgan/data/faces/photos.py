"""Photographs of faces with and without makeup, MT and sets of its layout, as pairs for makeup transfer."""

import hashlib
import io
import os
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from kgan.data.batches import endless
from kgan.data.source import check_split
from kgan.data.store import Store
from kgan.faces import covers
from kgan.faces.colour import rgb_to_lab
from kgan.faces.finder import find_faces
from kgan.faces.look import Unsuitable, check
from kgan.faces.mesh import MEDIAPIPE
from kgan.faces.photo import Photo
from kgan.faces.skin import part_map
from kgan.faces.texture import nearest_texels, render_table, unwrap, visibility
from kgan.runtime.files import Undecodable, write_whole

FORMAT = 3  # of the files in the cache
BYTES = 2**26  # of a photo, at most
MARGIN = 1.5  # side of the image, as a multiple of the face
KINDS = {"source": "non-makeup", "reference": "makeup"}  # the folder of each role
MAPS = ("segs", "seg", "seg1", "parsing")  # folders of parsing maps, in place of the folder "images"
# Test photos of each kind in MT (section 4.1), and their share in other sets.
MT_TEST = {"non-makeup": 100, "makeup": 250}
TEST = 0.1


class Labels(NamedTuple):
    """The numbers that a kind of parsing maps has for skin, the nose and lips."""

    skin: int
    nose: int
    lips: tuple


# Who wrote the maps decides the numbers. BiSeNet's are those of its conversion of CelebAMask-HQ.
LABELS = {"bisenet": Labels(1, 10, (12, 13)), "mt": Labels(1, 6, (7, 9)), "scgan": Labels(4, 8, (9, 13))}


def load_photos(kind, path, split, uv_size, image_size, count, seed, geometry=None):
    """Loads pairs of photographs, as `load_makeup` describes them."""
    check_split(split, ("test",) if kind == "makeup_wild" else ("train", "test"))
    store = Store(path)
    names = {role: _split(kind, store, folder, split, seed) for role, folder in KINDS.items()}
    maps = _maps(store, [name for some in names.values() for name in some])
    labels = _labels(store, sorted(maps.values()))
    faces, failures = {}, {}
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "kgan" / "makeup"
    if geometry:
        cache /= geometry.digest.hex()[:16]  # once, for it takes a while
    everything = [(role, name) for role, some in names.items() for name in some]
    for role, name in tqdm(everything, "faces", unit="photo", disable=None):
        found = _read(store, name, maps.get(name), labels, uv_size, image_size, cache, geometry)
        if isinstance(found, str):
            failures[name] = found
        else:
            faces.setdefault(role, []).append(found)
    if failures:
        each = ", ".join(f"{status} {n}" for status, n in Counter(failures.values()).most_common())
        first = ", ".join(list(failures)[:3])
        if len(failures) > 3:
            place = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:8]
            first += f" and others, all in {_list(cache / f'left-out-{split}-{place}.txt', failures)}"
        warnings.warn(f"{path}: left out {len(failures)} of {len(everything)} photos ({each}): {first}", stacklevel=3)
    for role, folder in KINDS.items():
        if role not in faces:
            raise ValueError(f"{path} has no {split} photo in a folder {folder!r} whose face can be used")
    mesh = geometry.mesh if geometry else MEDIAPIPE

    def pair(i):
        arrays = {}
        for number, role in enumerate(KINDS):
            face = faces[role][endless(np.arange(len(faces[role])), (seed, number), i)]
            arrays |= _arrays(role, face, uv_size, image_size, mesh)
        return arrays

    return stacked(pair, count or max(map(len, faces.values())))


def stacked(pair, count):
    """Returns what `pair(0)` to `pair(count - 1)` return, dicts of arrays, stacked; in memory, no more than that."""
    whole = {}
    for i in range(count):
        for key, value in pair(i).items():
            if i == 0:
                whole[key] = np.empty((count, *np.shape(value)), np.asarray(value).dtype)
            whole[key][i] = value
    return whole


def _list(path, failures):
    """Writes the status and the name of photos that were left out, one to a line, and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, b"".join(os.fsencode(f"{status}\t{name}\n") for name, status in failures.items()))
    return path


def _split(kind, store, folder, split, seed):
    """Returns the names of the photos of a kind in a split."""
    names = [name for name in store.pictures() if PurePosixPath(name).parent.name == folder]
    names = sorted(name for name in names if not set(MAPS) & set(PurePosixPath(name).parts))
    if not names:
        raise ValueError(f"{store.path} has no photos in a folder {folder!r}")
    if kind == "makeup_wild":
        return names
    held = MT_TEST[folder] if kind == "mt" else max(1, round(TEST * len(names)))
    if held >= len(names):
        hint = "; pass makeup:PATH for sets other than MT" if kind == "mt" else ""
        raise ValueError(f"{store.path} has {len(names)} photos in {folder!r}, of which {held} are test photos{hint}")
    order = np.random.default_rng([seed, *folder.encode()]).permutation(len(names))
    return [names[i] for i in sorted(order[:held] if split == "test" else order[held:])]


# === Parsing maps ===


def _maps(store, names):
    """Returns the parsing map of each photo that has one."""
    everything, found = set(store.names), {}
    for name in names:
        path = PurePosixPath(name)
        for folder in MAPS:
            # Of images/makeup/a.jpg: segs/makeup/a.png.
            base = path.parent.parent.parent if path.parent.parent.name == "images" else path.parent.parent
            if (other := str(base / folder / path.parent.name / f"{path.stem}.png")) in everything:
                found[name] = other
                break
    return found


def _labels(store, maps):
    """Returns the `Labels` of parsing maps, by what is most in the middle of some of them: skin and nose."""
    if not maps:
        return None
    counts = np.zeros(256, int)
    for name in maps[:: max(1, len(maps) // 20)]:
        labels = _map(store, name)
        height, width = labels.shape
        counts += np.bincount(labels[height // 3 : -height // 3, width // 3 : -width // 3].ravel(), minlength=256)
    shares = {kind: counts[[labels.skin, labels.nose]].min() / counts.sum() for kind, labels in LABELS.items()}
    best = max(shares, key=shares.get)
    if shares[best] < 0.03:
        raise ValueError(f"{store.path}: {maps[0]} is no parsing map in the numbers of {', '.join(LABELS)}")
    return LABELS[best]


def _map(store, name):
    data = store.read(name, BYTES)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > 2**24:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            return np.asarray(image if image.mode in ("L", "P") else image.convert("L")).astype("uint8")
    except (OSError, ValueError, SyntaxError) as error:  # of Pillow, for files that are broken or no PNG
        raise ValueError(f"{store.path}: the parsing map {name} cannot be read; mend or remove it: {error}") from None


# === Faces ===


def _read(store, name, map_name, labels, uv_size, image_size, cache, geometry):
    """Returns what is needed of a photo as a dict of arrays, from the cache if it is there; or a status."""
    try:
        data = store.read(name, BYTES)
        parsing = store.read(map_name, BYTES) if map_name else b""
    except ValueError:
        return "unreadable"
    version = f"{FORMAT} {covers.digest()} {uv_size} {image_size} {labels}".encode()
    path = cache / f"{hashlib.sha256(version + hashlib.sha256(data).digest() + parsing).hexdigest()}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            face = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):  # not there, or cut off
        face = _face(data, map_name and _map(store, map_name), labels, uv_size, image_size, geometry)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **face)
        cache.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    return str(face["status"]) if "status" in face else face


def _face(data, parsing, labels, uv_size, image_size, geometry=None):
    """Returns crop, texture, visibility, parts and points of the largest face of a photo, or `{"status": ...}`."""
    try:
        photo = Photo.read(data).rgb
        faces = find_faces(photo, small=False)
        if not faces:
            return {"status": "no_face"}
        check(faces[0])
        points = geometry.points(photo, faces[0]) if geometry else faces[0].points
    except (Undecodable, Unsuitable) as error:
        return {"status": error.status}
    # Between texels or pixels farther apart than the photo's, some would be passed over: a large face is reduced first.
    factor = max(1, int(faces[0].size / max(uv_size, image_size)))
    mesh = geometry.mesh if geometry else MEDIAPIPE
    photo, points = photo.reduce(factor), points / factor
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    side = MARGIN * (high - low).max()
    box = (*((low + high - side) / 2), *((low + high + side) / 2))
    size = (image_size, image_size)
    crop = np.asarray(photo.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BICUBIC))
    texture = unwrap(np.asarray(photo, "float32"), points, uv_size, mesh)
    visible = visibility(points, photo.size[::-1], uv_size, mesh)
    visible *= covers.uncovered(rgb_to_lab(texture), visible, mesh.layout)
    near = (points - (*box[:2], 0)) * image_size / side
    nearest = nearest_texels(*render_table(near, size, uv_size, holes=True, mesh=mesh)[:2], size)
    parts = np.where(nearest >= 0, part_map(uv_size, mesh.layout).ravel()[nearest], 0)
    if parsing is not None:
        scale = np.array(parsing.shape[::-1]) / photo.size
        box = (*(box[:2] * scale), *(box[2:] * scale))
        shown = np.asarray(Image.fromarray(parsing).transform(size, Image.Transform.EXTENT, box))
        parts = np.where(np.isin(shown, (labels.skin, labels.nose)), parts * (parts != 1), 0)
        parts[np.isin(shown, labels.lips)] = 1
    return {
        "image": crop,
        "texture": np.rint(texture).astype("uint8"),
        "visibility": np.rint(visible * 255).astype("uint8"),
        "parts": parts.astype("uint8"),
        "points": near.astype("float32"),
    }


def _arrays(role, face, uv_size, image_size, mesh):
    """Returns the arrays of one role of a pair."""
    arrays = {
        f"{role}_texture": face["texture"] / np.float32(127.5) - 1,
        f"{role}_image": face["image"] / np.float32(127.5) - 1,
        f"{role}_visibility": face["visibility"][..., None] / np.float32(255),
        f"{role}_parts": face["parts"].astype("int32"),
    }
    if role == "source":
        index, weight, alpha = render_table(face["points"], (image_size, image_size), uv_size, mesh=mesh)
        arrays |= {"source_index": index, "source_weight": weight, "source_alpha": alpha[..., None]}
    return arrays
