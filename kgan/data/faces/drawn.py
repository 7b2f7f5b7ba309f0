"""Drawn faces as data: textures with the class of their light, and pairs for makeup transfer with two truths."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from kgan.data.faces.heads import draw_expression, draw_head
from kgan.data.faces.painter import LIGHTS, FacePainter, Light, behind, lit, made_up
from kgan.data.faces.photos import load_photos, stacked
from kgan.data.source import Source, check_split
from kgan.faces.mesh import MOUTH, TRIANGLES
from kgan.faces.raster import rasterise
from kgan.faces.skin import part_map
from kgan.faces.texture import nearest_texels, render_table, visibility

COUNTS = {"train": 2000, "test": 500}
# Skins, makeups, lights and poses are drawn once and recombined; lights of each class. What is in front of a face, and
# the ground behind it, are drawn for each pair.
SKINS, MAKEUPS, LIGHTS_OF_A_CLASS, POSES = 150, 150, 40, 200
EVEN = 0.9  # shade of even light
THROAT, TEETH = 1, 2  # what an open mouth shows
MOUTH_COLOURS = np.array([(0, 0, 0), (0.25, 0.08, 0.08), (0.85, 0.82, 0.76)])


def open_faces(split, image_size, channels, count, seed):
    """Opens the textures of drawn faces; 2,000 training and 500 test textures, 64 x 64 RGB by default."""
    check_split(split, COUNTS)
    return Faces(split, image_size or 64, channels or 3, count or COUNTS[split], seed)


class Faces(Source):
    """Textures of drawn faces, half of them made up; label `i % 5` is the class of the light, of `LIGHTS`."""

    def __init__(self, split, image_size, channels, count, seed):
        super().__init__(np.arange(count) % len(LIGHTS), LIGHTS, image_size, channels)
        self.bank = Bank(image_size, split, seed)

    def images(self, indices):
        images = np.empty((len(indices), self.image_size, self.image_size, self.channels), "float32")
        for image, index in zip(images, indices, strict=True):
            rng = self.bank.generator("texture", index)
            skin, makeup = self.bank.skin(rng), self.bank.makeup(rng)
            texture = made_up(skin, makeup) if rng.random() < 0.5 else skin.texture
            texture = lit(texture, self.bank.light(rng, self.labels[index]))
            image[:] = texture if self.channels == 3 else texture @ [[0.299], [0.587], [0.114]]
        return images * 2 - 1


class Bank:
    """Skins, makeups, lights and poses, each drawn when it is first asked for; the splits share none.

    Args:
        size: of the textures.
        split: `"train"` or `"test"`.
        seed: non-negative int.
    """

    def __init__(self, size, split, seed):
        self.painter = FacePainter(size)
        self.stream, self.seed = list(COUNTS).index(split), seed
        self.drawn = {}

    def generator(self, what, *numbers):
        return np.random.default_rng([self.stream, self.seed, *what.encode(), *map(int, numbers)])

    def _one(self, what, draw, *numbers):
        if (what, numbers) not in self.drawn:
            self.drawn[what, numbers] = draw(self.generator(what, *numbers))
        return self.drawn[what, numbers]

    def skin(self, rng):
        return self._one("skin", self.painter.draw_skin, rng.integers(SKINS))

    def makeup(self, rng):
        return self._one("makeup", self.painter.draw_makeup, rng.integers(MAKEUPS))

    def light(self, rng, kind):
        def draw(rng):
            return self.painter.draw_light(rng, LIGHTS[kind])

        return self._one("light", draw, kind, rng.integers(LIGHTS_OF_A_CLASS))

    def pose(self, rng, image_size):
        return self._one("pose", partial(_draw_pose, self.painter.size, image_size), rng.integers(POSES))


class Pose(NamedTuple):
    """A head in an image: its `render_table`s with and without eyes and mouth, and its `visibility`.

    `whole` has, in place of the table's alpha, one that does not fade where the face turns away, so that the ground
    does not shine through beside the nose. `nearest` is the texel nearest to each pixel, -1 where there is no face and
    in its holes. `mouth` is int8 `(height, width)`: what an open mouth shows, `THROAT` or `TEETH`, for which textures
    have no place.
    """

    whole: tuple
    table: tuple
    visibility: np.ndarray
    nearest: np.ndarray
    mouth: np.ndarray


def _draw_pose(size, image_size, rng):
    points, shape = posed(rng, image_size), (image_size, image_size)
    table = render_table(points, shape, size)
    seen = visibility(points, shape, size)
    index, weight, _ = render_table(points, shape, size, holes=True)
    solid = weight.any(axis=1).reshape(shape).astype("float32")
    solid *= np.clip(2 * ndimage.gaussian_filter(solid, 1) - 0.5, 0, 1)
    return Pose((index, weight, solid), table, seen, nearest_texels(*table[:2], shape), _open_mouth(points, shape))


def _open_mouth(points, shape):
    """Returns what is seen between the lips: upper teeth, unless the mouth is hardly open, and the dark below them."""
    height = np.zeros(len(points))
    height[list(MOUTH)] = [0.5, *[0] * 9, 0.5, *[1] * 9]  # 0 at the lower lip and 1 at the upper one
    triangle, weights = rasterise(points, TRIANGLES, shape)
    between = (triangle >= 0) & np.isin(TRIANGLES, MOUTH).all(axis=1)[triangle]
    high = np.einsum("ijk,ijk->ij", weights, height[TRIANGLES[triangle]]) > 0.55
    corner, lower, other, upper = points[[MOUTH[i] for i in (0, 5, 10, 15)], :2]
    high &= np.linalg.norm(upper - lower) > 0.12 * np.linalg.norm(other - corner)
    return np.where(between, np.where(high, TEETH, THROAT), 0).astype("int8")


def load_makeup(name, split="train", *, uv_size=64, image_size=64, count=None, seed=0, geometry=None):
    """Loads pairs of faces for makeup transfer: a source without makeup, and a reference with it.

    Args:
        name: `"synthetic/faces"`, drawn faces; or photographs, in a folder or zip archive with the folders `makeup` and
            `non-makeup`: `"mt:PATH"` (the MT data set; 250 with and 100 without makeup, drawn by `seed`, are the test
            split), `"makeup_wild:PATH"` (Makeup-Wild, which has only a test split) or `"makeup:PATH"` (any set; a tenth
            is the test split). Parsing maps in folders `segs`, `seg`, `seg1` or `parsing` are used; their labels may be
            those of BiSeNet, MT or SCGAN.
        split: `"train"` or `"test"`; the splits of drawn faces share no skin, makeup or light.
        uv_size: height and width of the textures, at least 32.
        image_size: height and width of the images, at least 32.
        count: number of pairs; None for 2,000 drawn ones of the train split and 500 of the test split, or for as many
            as there are photographs with or without makeup, whichever is larger.
        seed: non-negative int.
        geometry: of photographs, where the points of a face lie and how they lay it out in a texture: an object with
            the `mesh`, `points` and `digest` of `kgan.makeup.PRNet`; None for MediaPipe's mesh.

    Returns:
        Dict of arrays, the first axis of each being `n`. Textures and images are float32 in [-1, 1].

        - `source_texture`, `reference_texture`: `(n, uv_size, uv_size, 3)`.
        - `source_visibility`, `reference_visibility`: float32 `(n, uv_size, uv_size, 1)` in [0, 1], 0 where the
          image does not show the texel, or something is in front of it.
        - `source_image`, `reference_image`: `(n, image_size, image_size, 3)`, the faces in a pose, before a background.
        - `source_index`, `source_weight`: int32 and float32 `(n, image_size * image_size, 4)`, the four texels of each
          pixel of the source and their weights; `source_alpha`: float32 `(n, image_size, image_size, 1)`, how much of
          the pixel is face. See `kgan.faces.texture.render_table`.
        - `source_parts`, `reference_parts`: int32 `(n, image_size, image_size)`, the part that each pixel of an image
          shows: 1 for lips, 2 for what is around the eyes, 3 for other skin, 0 for anything else.

        Of drawn faces alone:

        - The truth: `target_texture`, the source with the reference's makeup in its own light;
          `even_texture`, the same in even light; `reference_even_texture`, the reference in even light. Hair, glasses
          or a hand in front of a face are not made up.
        - `source_shade`, `reference_shade`: float32 `(n, uv_size, uv_size, 1)`, what the light multiplied colours by.
        - `source_light`, `reference_light`: int32 `(n,)`, the class of the light, of `class_names("synthetic/faces")`.
        - `source_tone`: float32 `(n,)` in [0, 1], the mean of red, green and blue of the source's skin.

    Faces of photographs are found once and kept in `~/.keras/kgan/makeup`, so that an interrupted call continues and
    the next one is fast. A warning counts the photographs that have no face that can be used.

    Raises:
        FileNotFoundError: there is no such folder or archive.
        ValueError: an argument is out of range, or a set has no photographs of one kind.

    Example:

    ```python
    pairs = kgan.data.load_makeup("synthetic/faces", count=4)
    pairs["target_texture"].shape  # (4, 64, 64, 3)
    ```
    """
    for argument, value in (("uv_size", uv_size), ("image_size", image_size)):
        if value < 32:
            raise ValueError(f"{argument}={value}: pass 32 or more")
    if count is not None and count < 1:
        raise ValueError(f"count={count}: pass 1 or more")
    kind, _, path = name.partition(":")
    if path and kind in ("mt", "makeup_wild", "makeup"):
        return load_photos(kind, path, split, uv_size, image_size, count, seed, geometry)
    if name != "synthetic/faces":
        raise ValueError(f'name={name!r}: pass "synthetic/faces", "mt:PATH", "makeup_wild:PATH" or "makeup:PATH"')
    if geometry:
        raise ValueError("geometry: drawn faces have MediaPipe's layout; pass None.")
    check_split(split, COUNTS)
    bank = Bank(uv_size, split, seed)
    return stacked(lambda index: _pair(bank, index, image_size), count or COUNTS[split])


def _pair(bank, index, image_size):
    """Draws pair `index`."""
    rng = bank.generator("pair", index)
    skins, makeup = [bank.skin(rng), bank.skin(rng)], bank.makeup(rng)
    kinds = rng.integers(len(LIGHTS), size=2)
    lights = [bank.light(rng, kind) for kind in kinds]
    covers = [bank.painter.draw_cover(rng, skin.tone) for skin in skins]
    # Makeup does not go onto what is in front of a face, which is in the same light.
    bare, truth = (behind(texture, covers[0]) for texture in (skins[0].texture, made_up(skins[0], makeup)))
    reference = behind(made_up(skins[1], makeup), covers[1])
    even = lights[0]._replace(shade=np.full_like(lights[0].shade, EVEN), gloss=0 * lights[0].gloss, tint=np.ones(3))
    pair = {
        "source_texture": lit(bare, lights[0]),
        "target_texture": lit(truth, lights[0]),
        "even_texture": lit(truth, even),
        "reference_texture": lit(reference, lights[1]),
        "reference_even_texture": lit(reference, even),
    }
    size = bank.painter.size
    for role, cover, light in zip(("source", "reference"), covers, lights, strict=True):
        pose = bank.pose(rng, image_size)
        hidden = np.zeros((size, size)) if cover is None else cover.alpha
        pair[f"{role}_shade"] = light.shade[..., None]
        pair[f"{role}_image"] = _drawn(pair[f"{role}_texture"], cover, light, pose, _ground(rng, image_size))
        parts = part_map(size) * (hidden < 0.5)
        pair[f"{role}_parts"] = np.where(pose.nearest >= 0, parts.ravel()[pose.nearest], 0)
        pair[f"{role}_visibility"] = (pose.visibility * (1 - hidden))[..., None]
        if role == "source":
            index_, weight, alpha = pose.table
            pair |= {"source_index": index_, "source_weight": weight, "source_alpha": alpha[..., None]}
    pair |= {key: pair[key] * 2 - 1 for key in pair if key.endswith(("_texture", "_image"))}
    whole = ("_index", "_parts")
    pair = {key: np.asarray(value, "int32" if key.endswith(whole) else "float32") for key, value in pair.items()}
    source_light, reference_light = kinds.astype("int32")
    tone = np.float32(skins[0].tone.mean())
    return pair | {"source_light": source_light, "reference_light": reference_light, "source_tone": tone}


def _drawn(texture, cover, light, pose, ground):
    """Draws a texture before a ground. What an open mouth shows is drawn in the light, behind the cover if any."""
    index, weight, solid = pose.whole

    def rendered(values):
        return (values.reshape(size * size, -1)[index] * weight[..., None]).sum(axis=1)

    size, mouth = len(texture), pose.mouth.ravel()
    shade = rendered(light.shade)[:, 0]
    inside = lit(MOUTH_COLOURS[mouth], Light(shade, 0 * shade, light.tint))
    if cover is not None:
        front = lit(np.broadcast_to(cover.colour, texture.shape), light)
        inside += rendered(cover.alpha) * (rendered(front) - inside)
    face = np.where(mouth[:, None] > 0, inside, rendered(texture)).reshape(ground.shape)
    return ground + solid[..., None] * (face - ground)


def posed(rng, image_size):
    """Draws a head in a pose, in pixels of an image."""
    turn = Rotation.from_euler("yxz", rng.normal(size=3) * (18, 8, 6), degrees=True)
    points = draw_head(rng, **draw_expression(rng))
    points = turn.apply(points - points.mean(axis=0))
    scale = rng.uniform(0.65, 0.85) * image_size / np.ptp(points[:, :2], axis=0).max()
    middle = image_size / 2 + rng.normal(size=2) * 0.03 * image_size
    return points * scale + (*middle, 0)


def _ground(rng, image_size):
    """Draws what is behind a head: two colours that run into each other, with noise."""
    one, other = rng.random((2, 3))
    blend = ndimage.gaussian_filter(rng.standard_normal((image_size, image_size)), 0.3 * image_size)
    blend = np.clip(0.5 + 0.3 * blend / max(blend.std(), 1e-9), 0, 1)[..., None]
    noise = 0.03 * rng.standard_normal((image_size, image_size, 1))
    return np.clip(one + blend * (other - one) + noise, 0, 1)
