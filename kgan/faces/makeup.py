"""Makes up the faces of photographs with a look: one photo, or any number of files in runs that can be continued."""

import dataclasses
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.faces import PARTS
from kgan.faces.finder import around, find_faces, mesh_in
from kgan.faces.look import CUT, SIZE, Unsuitable, check, load_look, look_of, outside, texture_of
from kgan.faces.photo import Photo
from kgan.faces.texture import Texture, read_texture
from kgan.faces.transfer import check_model, colour_transfer, network_transfer
from kgan.runtime.examiner import Examiner
from kgan.runtime.files import Undecodable, put, read_file, write_whole
from kgan.runtime.inputs import find, grouped
from kgan.runtime.journal import continued
from kgan.runtime.pixels import UPRIGHT
from kgan.runtime.processes import processors, spread

JOURNAL = "makeup.jsonl"  # in the folder of the photos
SHEET = ".side-by-side.png"  # after the name of the photo
OPTIONS = ("shade", *PARTS, "keep-skin-tone", "faces", "side-by-side", "frames")  # that rows depend on
COLUMNS = {"path": str, "out": str, "status": str, "found": float, "painted": float}
# Of a frame's points, the share that is new where a face is still, and the movement, as a share of the face, from which
# all of it is.
STILL, MOVED = 0.25, 0.02


@dataclasses.dataclass(frozen=True)
class Wish:
    """How a face is made up.

    Args:
        shade: how much of the difference is painted, in [0, 1].
        strengths: dict from parts, of `PARTS`, to how much of each, in [0, 1].
        keep_skin_tone: whether the source keeps its skin tone.
        every: whether all faces are made up, and not the largest alone.
        side_by_side: whether to draw photo, reference and result beside each other, too.
    """

    shade: float = 1.0
    strengths: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(PARTS, 1.0))
    keep_skin_tone: bool = True
    every: bool = False
    side_by_side: bool = False


@dataclasses.dataclass(slots=True)
class Result:
    """What became of a photo: its status, the numbers of faces found and painted, and the bytes of files to write."""

    status: str
    found: int = 0
    painted: int = 0
    file: bytes | None = None
    beside: bytes | None = None


def transfer_photo(source, reference, shade=1.0, parts=PARTS, keep_skin_tone=True, faces="largest", model=None):
    """Transfers the makeup of one photograph to another.

    Only the face is painted: pixels outside it, and in its eyes and mouth, keep their values. At `shade` 0 all do.

    Args:
        source: `PIL.Image.Image` of any mode, the face to make up.
        reference: `PIL.Image.Image` with the makeup, or a look from `load_look`.
        shade: how much makeup, in [0, 1].
        parts: sequence of `"lips"`, `"eyes"` and `"skin"`, or a dict from these to how much of each, in [0, 1].
        keep_skin_tone: whether to keep the source's skin tone, and not to take the reference's.
        faces: `"largest"` or `"all"` of the source.
        model: a trained `kgan.MakeupGAN` that paints in place of the transfer by colour; it decides itself about skin
            tones.

    Returns:
        `PIL.Image.Image`, upright; RGB, RGBA or CMYK.

    Raises:
        Unsuitable: a photo has no face, or one that is too small or turned away; `status` says which.
        ValueError: an argument is out of range, `source` or `reference` is of another type, or `model` does not paint
            textures.

    Example:

    ```python
    import PIL.Image
    import skimage.data

    from kgan.makeup import transfer_photo

    face = PIL.Image.fromarray(skimage.data.astronaut())
    painted = transfer_photo(face, face, shade=0.5)
    ```
    """
    parts = [parts] if isinstance(parts, str) else parts
    strengths = dict(parts) if isinstance(parts, dict) else dict.fromkeys(parts, 1.0)
    check_strengths(shade, strengths)
    if faces not in ("largest", "all"):
        raise ValueError(f'faces={faces!r}: pass "largest" or "all"')
    if not isinstance(source, Image.Image):
        raise ValueError(f"source is a {type(source).__name__}: pass a PIL.Image.Image")
    if not isinstance(reference, (Image.Image, Texture)):
        raise ValueError(f"reference is a {type(reference).__name__}: pass a PIL.Image.Image, or a look from load_look")
    if model is not None:
        check_model(model)
    look = reference
    if isinstance(reference, Image.Image):
        # A network repairs the reference's light itself.
        look = (look_of if model is None else texture_of)(Photo.of(reference).rgb)
    photo = Photo.of(source)
    painted, _ = make_up(photo, look, Wish(shade, strengths, keep_skin_tone, faces == "all"), model=model)
    if photo.turn in UPRIGHT:
        painted = painted.transpose(UPRIGHT[photo.turn])
        painted.info.pop("exif", None)  # which would turn it again
    return painted


def check_strengths(shade, strengths):
    """Raises a ValueError for shares outside [0, 1] and unknown parts."""
    for name, share in {"shade": shade, **strengths}.items():
        if name != "shade" and name not in PARTS:
            raise ValueError(f"part {name!r}: pass some of {', '.join(PARTS)}")
        if not 0 <= share <= 1:
            raise ValueError(f"{name} {share}: pass a share from 0 to 1")


def make_up(photo, look, wish, found=None, model=None):
    """Makes up the faces of a `Photo`.

    Args:
        photo: a `Photo`.
        look: `Texture` from `look_of` or `load_look`.
        wish: a `Wish`.
        found: list of `Face`, the largest first; None to find them.
        model: as for `transfer_photo`.

    Returns:
        `(image, Result)`: the painted `PIL.Image.Image`, and what was found.

    Raises:
        Unsuitable: no face can be made up.
    """
    found = find_faces(photo.rgb, small=wish.every) if found is None else found
    if not found:
        raise Unsuitable("no_face", "no face was found")
    painted, status, reason = [], "ok", None
    for face in found if wish.every else found[:1]:
        try:
            check(face)
        except Unsuitable as error:
            reason = reason or error
            continue
        if outside(face, photo.rgb.size) > CUT:
            status = "partial"
        texture = read_texture(photo.rgb, face.points, SIZE)
        if model is not None:
            difference = network_transfer(model, texture, look, wish.strengths)
        else:
            difference = colour_transfer(texture, look, wish.strengths, wish.keep_skin_tone)
        painted.append((face.points, wish.shade * difference))
    if not painted:
        reason.found = len(found)
        raise reason
    return photo.painted(painted), Result(status, len(found), len(painted))


# === Runs ===


def read_reference(path, limits):
    """Reads the reference of a run.

    Args:
        path: of a photo, or of an `.npz` file from `save_look`.
        limits: `Limits` for the photo.

    Returns:
        `(look, photo)`: a `Texture`, and the `PIL.Image.Image` of mode RGB, None for a look from a file.

    Raises:
        ValueError: the file holds no look, or the photo has no face that can be used.
    """
    if str(path).lower().endswith(".npz"):
        return load_look(path), None
    try:
        photo = Photo.read(read_file(path, limits.bytes), limits.pixels).rgb
        return look_of(photo, os.fspath(path)), photo
    except (Undecodable, Unsuitable) as error:
        if os.path.isdir(path):
            raise ValueError(f"reference {os.fspath(path)!r} is a folder: pass one photo, or an .npz file") from None
        more = f": {error}" if str(error) != error.status else ""
        raise ValueError(f"reference {os.fspath(path)!r}: {error.status.replace('_', ' ')}{more}") from None


def remove_earlier(out):
    """Removes what the rows of an earlier run say that it wrote to a folder, and nothing else."""
    try:
        lines = Path(out, JOURNAL).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            name = json.loads(line)["out"]
        except (ValueError, TypeError, KeyError):  # of a run that was killed as it wrote
            continue
        if not isinstance(name, str):
            continue
        for file in (Path(out, name), Path(out, name + SHEET)):
            if file.is_file() and file.resolve().is_relative_to(Path(out).resolve()):
                file.unlink()


def digest(look):
    """Returns a SHA-256 that tells looks apart."""
    return hashlib.sha256(b"".join(part.tobytes() for part in look)).hexdigest()


class Painter(Examiner):
    """Makes up one photo file after another, in a worker.

    Args:
        look: `Texture`.
        reference: `PIL.Image.Image` of the look, mode RGB, for `side_by_side`; None for a look from a file.
        wish: a `Wish`.
        suffix: of the files to write; None for that of each photo.
        limits: `Limits` for one photo.
        frames: whether the photos are frames of one film, in order.
    """

    def __init__(self, look, reference, wish, suffix, limits, frames=False):
        super().__init__(limits)
        self.look, self.reference, self.wish, self.suffix = look, reference, wish, suffix
        self.track = Track() if frames else None

    def examine(self, data):
        photo = Photo.read(data, self.limits.pixels)
        try:
            found = self.track(photo.rgb) if self.track else None
            image, result = make_up(photo, self.look, self.wish, found)
        except Unsuitable as error:
            return Result(error.status, error.found)
        # Where nothing changes, the file is not even written anew.
        nothing = not self.wish.shade or not any(self.wish.strengths.values())
        result.file = data if nothing and photo.writes(self.suffix) else photo.encoded(image, self.suffix)
        if self.wish.side_by_side:
            buffer = io.BytesIO()
            side_by_side(photo.rgb, self.reference, Photo.of(image).rgb).save(buffer, "PNG")
            result.beside = buffer.getvalue()
        return result

    def failed(self, status):
        return Result(status)


def side_by_side(*images):
    """Returns images beside each other, scaled to the height of the first; None is left out."""
    height = images[0].height
    images = [image.resize((image.width * height // image.height, height)) for image in images if image]
    sheet = Image.new("RGB", (sum(image.width for image in images), height))
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width
    return sheet


class Track:
    """Follows the largest face from frame to frame, and steadies its points."""

    def __init__(self):
        self.face = None

    def __call__(self, frame):
        """Returns a list of the face in a frame, a `PIL.Image.Image` of mode RGB; empty if there is none."""
        face = mesh_in(frame, around(self.face)) if self.face else None
        face = face or next(iter(find_faces(frame, small=False)), None)
        if face and self.face:
            moved = np.linalg.norm(face.points[:, :2] - self.face.points[:, :2], axis=1, keepdims=True) / face.size
            new = STILL + (1 - STILL) * np.minimum(moved / MOVED, 1)
            face = face._replace(points=self.face.points + new * (face.points - self.face.points))
        self.face = face
        return [face] if face else []


def run(paths, journal, *, out, suffix=None, look, reference, wish, frames=False, processes=None, limits):
    """Makes up the photos that have no row yet.

    Args:
        paths: list of paths, as for `kgan.runtime.inputs.find`.
        journal: a `Journal`, or None.
        out: folder for the photos; with a suffix, the file for one photo.
        suffix: of that file; None for a folder.
        look: `Texture` from `look_of` or `load_look`.
        reference: as for `Painter`.
        wish: a `Wish`.
        frames: whether the photos are frames of one film, in order. A continued run looks at all of them again, so that
            the points are steadied as in one that was not stopped.
        processes: number of workers; None for one for each processor.
        limits: `Limits` for one photo.

    Yields:
        `(row, old)` for every photo; `old` is True if the row comes from an earlier run.

    Raises:
        ValueError: the photos have changed since the earlier run.
    """
    ours = [*(journal.files if journal else ()), out]
    inputs = find(paths, ours)
    done = 0
    for row in continued(inputs, journal):
        done += 1
        yield row, True
    options = look, reference if wish.side_by_side else None, wish, suffix, limits, frames
    workers = 1 if frames else processes or processors()
    if frames:
        inputs = find(paths, ours)
    groups = grouped(inputs, limits.bytes, most=1)
    for number, ((found, _), result) in enumerate(spread(Painter, options, groups, workers, Result("crashed"))):
        if frames and number < done:
            continue
        written = None
        if result.file is not None and suffix:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            write_whole(Path(out), result.file)
            written = os.path.basename(out)
        elif result.file is not None:
            written = os.path.relpath(put(out, found.place, result.file), out)
        if result.beside and suffix:
            write_whole(Path(out + SHEET), result.beside)
        elif result.beside:
            put(out, written + SHEET, result.beside)
        row = dict(zip(COLUMNS, (found.name, written, result.status, result.found, result.painted), strict=True))
        if journal:
            journal.append(row)
        yield row, False
