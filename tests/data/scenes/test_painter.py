import hashlib
import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._g_l_y_f import Glyph
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from kgan.data.scenes import typesetting
from kgan.data.scenes.camera import Camera
from kgan.data.scenes.lettering import Lettering, Panel, erase, ink_layer, is_visible
from kgan.data.scenes.painter import ScenePainter, draw_scenes
from kgan.data.scenes.photos import load_photos
from kgan.data.scenes.typesetting import Font, Plane, Typesetter, find_fonts, tilted_quad, typeset
from kgan.data.scenes.words import LANGUAGES, letters_of, make_word
from kgan.filter.regions import line_height

pytestmark = pytest.mark.backend_free

SIZE = (96, 96)


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(300, size=SIZE, seed=3)


def same(a, b):
    np.testing.assert_array_equal(a[0], b[0])
    assert [len(lines) for lines in a[1]] == [len(lines) for lines in b[1]]
    for one, other in zip(sum(a[1], []), sum(b[1], []), strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_and_share(scenes):
    images, polygons = scenes
    assert images.shape == (300, *SIZE, 3) and images.dtype == np.uint8
    # Standard deviation of the share: 0.029.
    assert 0.4 < np.mean([bool(lines) for lines in polygons]) < 0.6
    for polygon in sum(polygons, []):
        assert polygon.dtype == np.float32 and polygon.shape[1] == 2 and len(polygon) >= 4
        # Boards may be cut by the edge of the picture; what is outside altogether is no line of it.
        assert (polygon.max(axis=0) > 1).all() and (polygon.min(axis=0) < np.array(SIZE[::-1]) - 1).all()
    assert any(len(polygon) > 4 for polygon in sum(polygons, []))
    # Neither empty nor alike.
    assert images.std(axis=(1, 2, 3)).min() > 0.5
    assert len({image.tobytes() for image in images}) == 300


def test_line_heights(scenes):
    heights = np.array([line_height(polygon) for polygon in sum(scenes[1], [])])
    # On the boards of shops from 5 pixels of a photograph three times as large, elsewhere from 5 pixels.
    assert 5 / 3 <= heights.min() < 3
    assert 0.2 < np.mean(heights < 8) < 0.65
    assert 30 < heights.max() < 56 and np.mean(heights > 16) > 0.04


def test_all_or_none():
    for share in (0, 1):
        _, polygons = draw_scenes(20, size=(64, 64), seed=8, text_share=share)
        # A scene whose text cannot be seen after eight attempts stays without; that is rare.
        assert abs(np.mean([bool(lines) for lines in polygons]) - share) <= 0.05


def test_scene_does_not_depend_on_the_batch(scenes):
    images, polygons = scenes
    chosen = [17, 4, 101, 5]
    same(draw_scenes(chosen, size=SIZE, seed=3), (images[chosen], [polygons[i] for i in chosen]))


def test_scene_does_not_depend_on_the_process(scenes):
    # No scene needs a backend; this one is imported in the shortest time.
    environment = os.environ | {"KERAS_BACKEND": "numpy"}
    code = (
        "import hashlib; from kgan.data.scenes.painter import draw_scenes;"
        "images, polygons = draw_scenes(6, (96, 96), 3);"
        "print(hashlib.sha256(images.tobytes() + b''.join(p.tobytes() for ps in polygons for p in ps)).hexdigest())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    images, polygons = scenes
    data = images[:6].tobytes() + b"".join(p.tobytes() for lines in polygons[:6] for p in lines)
    assert printed == hashlib.sha256(data).hexdigest()


def test_splits_and_seeds_differ():
    options = [dict(seed=0), dict(seed=1), dict(seed=0, split="test")]
    seen = [image.tobytes() for option in options for image in draw_scenes(8, size=(48, 48), **option)[0]]
    assert len(set(seen)) == 24


@settings(max_examples=12, deadline=None)
@given(st.integers(32, 130), st.integers(32, 130), st.integers(0, 2**40), st.integers(0, 2**40))
def test_any_size(height, width, seed, index):
    images, polygons = draw_scenes([index], size=(height, width), seed=seed)
    assert images.shape == (1, height, width, 3)
    assert all(np.isfinite(polygon).all() for polygon in polygons[0])


@pytest.mark.parametrize("size", [(240, 360), (480, 240)])
def test_buckets(size):
    images, polygons = draw_scenes(2, size=size, text_share=1.0)
    assert images.shape == (2, *size, 3) and any(polygons)


class Plain(Camera):
    """A camera that changes nothing: the canvas is the picture."""

    def __init__(self, size):
        self.size, self.canvas_size, self.scale, self.frame = size, size[::-1], np.ones(2), None

    def blur(self, canvas):
        return np.asarray(canvas)

    take = blur


def test_polygons_are_exact():
    """What differs between a scene with its letters and without lies in the polygons, and fills them as letters do."""
    size = (240, 240)
    painter = ScenePainter(size, 5, "train", 1.0, None, None)
    camera = Plain(size)
    fills, lines = [], 0
    for index in range(16):
        rng, text_rng = (np.random.default_rng([index, part]) for part in range(2))
        background, plates = painter.background(rng, 240, 240, True)
        blocks = painter.plan(text_rng, background, plates, True, 1.0)
        image, polygons = painter.shoot(background, blocks, np.random.default_rng(index), camera)
        for block in blocks:
            erase(block, [True] * len(block.boxes))
        bare, none = painter.shoot(background, blocks, np.random.default_rng(index), camera)
        assert none == []
        changed = np.abs(image.astype(int) - bare).max(axis=2) > 12
        union = Image.new("L", size)
        for polygon in polygons:
            ImageDraw.Draw(union).polygon([tuple(p) for p in polygon], 255)
        union = np.asarray(union.filter(ImageFilter.MaxFilter(5))) > 0
        assert not (changed & ~union).any(), index
        for polygon in polygons:
            one = Image.new("L", size)
            ImageDraw.Draw(one).polygon([tuple(p) for p in polygon], 255)
            fills.append(changed[np.asarray(one) > 0].mean())
            lines += 1
    # Letters cover 20 to 60 % of the rectangle around a line, less where the contrast is low or a thing hides them.
    assert lines > 25 and 0.2 < np.median(fills) < 0.65 and np.mean(np.array(fills) > 0.05) > 0.9


def test_no_shortcut_in_simple_statistics(scenes):
    """Colours, edges, noise and file size of a picture must not tell whether there is text in it."""

    def describe(image):
        grey = image.mean(axis=2)
        edges = [np.abs(np.diff(grey, axis=axis)) for axis in (0, 1)]
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=80)
        histogram = [np.histogram(image[..., c], 6, (0, 256))[0] for c in range(3)]
        moments = [image.mean(axis=(0, 1)), image.std(axis=(0, 1)), [e.mean() for e in edges], [e.std() for e in edges]]
        return np.concatenate([*moments, *histogram, [buffer.tell(), np.ptp(grey)]])

    images, polygons = scenes
    features = np.array([describe(image) for image in images])
    labels = np.array([bool(lines) for lines in polygons])
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(features[:200], labels[:200])
    area = roc_auc_score(labels[200:], model.predict_proba(features[200:])[:, 1])
    print(f"AUC of simple statistics: {area:.3f}")
    assert area < 0.75


def test_every_letter_is_in_its_font():
    fonts = find_fonts()
    assert "DejaVu Sans" in {font.family for font in fonts}
    setter = Typesetter(fonts)
    rng = np.random.default_rng(0)
    used = set()
    for _ in range(600):
        script, font = setter.choose(rng)
        for line in setter.lines(rng, script, font, 2, 20, plate=rng.random() < 0.2):
            assert line and set(line) - {" "} <= font.letters
            used.add(script)
    assert {"english", "german", "russian", "greek"} <= used


def test_fonts_draw_letters():
    """Each letter and digit leaves ink, unlike that of the others and of a sign that no font has.

    Some fonts have the capitals in the place of the small letters.
    """
    for font in find_fonts():
        face = typesetting.open_font(font.path, 37)
        for letters in ("ABEGKQRW234789", "abegkq234789"):
            drawn = {c: bytes(face.getmask(c)) for c in letters}
            assert all(any(mask) for mask in drawn.values()) and len(set(drawn.values())) == len(drawn), font
            assert bytes(face.getmask("\U0010fffe")) not in drawn.values()


def test_a_font_of_pictures_is_refused(tmp_path):
    path = next(font.path for font in find_fonts() if font.path and "STIX" in font.path)
    copy = tmp_path / "Wingdings.ttf"
    copy.write_bytes(open(path, "rb").read())
    assert typesetting.read_font(str(copy)) is None
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert typesetting.read_font(str(tmp_path / "broken.ttf")) is None


def test_a_line_without_ink_is_not_set(tmp_path):
    """Of a font that lists letters with empty glyphs; one without any ink is not chosen."""
    path = next(font.path for font in find_fonts() if font.family == "DejaVu Sans")
    for name, inked in (("some.ttf", "aeiou"), ("none.ttf", "")):
        file = TTFont(path)
        for code, glyph in file.getBestCmap().items():
            if chr(code) not in inked:
                file["glyf"][glyph] = Glyph()
        file.save(tmp_path / name)
    some, none = (typesetting.read_font(str(tmp_path / name)) for name in ("some.ttf", "none.ttf"))
    setter = Typesetter((some, none))
    rng = np.random.default_rng(0)
    for _ in range(30):
        script, font = setter.choose(rng)
        assert font is some
        for line in setter.lines(rng, script, font, 2, 6):
            assert set(line) & set("aeiou")
    assert not Typesetter((none,)).scripts


def test_words_have_the_letters_of_their_script():
    rng = np.random.default_rng(0)
    for script in LANGUAGES:
        letters = letters_of(script)
        words = [make_word(rng, script, sorted(letters)) for _ in range(100)]
        assert len(set(words)) > 60 and set("".join(words)) <= letters


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-0.7, 0.7), st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_plane_goes_both_ways(yaw, pitch, roll, bend):
    width, height = 200, 40
    plane = Plane(width, height, tilted_quad(width, height, yaw, pitch, roll) + 150, bend if abs(bend) > 0.05 else 0)
    points = np.random.default_rng(0).uniform((0, 0), (width, height), (30, 2))
    np.testing.assert_allclose(plane.to_sheet(plane.to_picture(points)), points, atol=1e-6)


@pytest.mark.parametrize("bend", [0.0, 1.1, -0.8])
def test_plane_lays_pixels_where_it_says(bend):
    """The middle of a dot on the sheet lands where `to_picture` puts it, within a quarter of a pixel."""
    plane = Plane(200, 60, tilted_quad(200, 60, 0.5, 0.2, 0.4) + 150, bend)
    for x, y in ((30, 20), (100, 30), (170, 45)):
        sheet = Image.new("L", (200, 60))
        ImageDraw.Draw(sheet).rectangle((x - 4, y - 4, x + 3, y + 3), 255)
        cut, place = plane.lay(sheet, (300, 300))
        weight = np.asarray(cut, "float64")
        rows, columns = np.indices(weight.shape) + 0.5
        middle = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum() + place
        np.testing.assert_allclose(middle, plane.to_picture([(x, y)])[0], atol=0.25)


def test_typeset_boxes_are_tight():
    rng = np.random.default_rng(4)
    font = Font("Aileron", None, frozenset("AHgpX "))
    for lines in (["HAH"], ["Ap gX", "HH"]):
        block = typeset(rng, lines, font, 40, False)
        ink = np.asarray(block.edge or block.ink) > 128
        assert len(block.boxes) == len(lines)
        left, top = np.min([box[:2] for box in block.boxes], axis=0)
        right, bottom = np.max([box[2:] for box in block.boxes], axis=0)
        rows, columns = np.nonzero(ink)
        expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        np.testing.assert_allclose((left, top, right, bottom), expected, atol=1)


def test_visible():
    """A line is seen by the contrast of its letters, against noise, and not when blur has taken its strokes."""
    rng = np.random.default_rng(0)
    ink = Image.new("L", (160, 40))
    ImageDraw.Draw(ink).text((10, 8), "LETTERS", 255, ImageFont.load_default(24))
    polygon = np.float32([(10, 8), (150, 8), (150, 34), (10, 34)])

    def seen(contrast, noise, ink):
        ink = np.asarray(ink)
        picture = 120 + contrast * (ink[..., None] / 255) + noise * rng.standard_normal((40, 160, 3))
        return is_visible(np.clip(picture, 0, 255).astype("uint8"), ink, polygon)

    assert seen(100, 5, ink) and seen(-60, 10, ink) and seen(15, 4, ink)
    assert not seen(0, 10, ink) and not seen(4, 1, ink) and not seen(30, 90, ink)
    assert not seen(100, 5, ink.filter(ImageFilter.BoxBlur(30)))
    assert not is_visible(np.zeros((40, 160, 3), "uint8"), np.asarray(ink), polygon[:, ::-1] * [1, 0.01])


def test_a_line_that_ends_at_the_edge_is_not_visible():
    """Its letters continue into the picture by less than a pixel, and what is around it would explain itself."""
    ink = np.zeros((40, 160), "uint8")
    ink[5:35, :2] = 255
    picture = np.repeat(ink[..., None], 3, axis=2)
    inside = np.float32([(-30, 5), (3, 5), (3, 35), (-30, 35)])
    assert is_visible(picture, ink, inside, reduction=3)
    assert not is_visible(picture, ink, inside - [2.2, 0], reduction=3)
    assert not is_visible(picture[:, ::-1], ink[:, ::-1], [160, 0] - (inside - [2.2, 0]) * [1, -1], reduction=3)


def photo(value):
    return np.full((60, 80, 3), value, np.uint8)


def test_photos_are_split_and_used():
    photos = [photo(25 * i + 10) for i in range(10)]
    for split, values in (("train", {10, 35, 60, 85, 135, 160, 185, 210}), ("test", {110, 235})):
        painter = ScenePainter((64, 64), 0, split, 0.5, photos, None)
        assert {int(p[0, 0, 0]) for p in painter.photos} == values
    rng = np.random.default_rng(0)
    taken = [painter.background(rng, 70, 70, False)[0] for _ in range(80)]
    assert all(image.size == (70, 70) for image in taken)
    # Three of four lie on photographs, half of these on a single one.
    flat = np.mean([np.asarray(image).std() == 0 for image in taken])
    assert 0.25 < flat < 0.6
    # Also where a photo has just the shape of the scene.
    for size in ((64, 64), (60, 80), (321, 428)):
        assert draw_scenes(8, size=size, photos=photos, text_share=0)[0].shape == (8, *size, 3)


def test_load_photos(tmp_path):
    (tmp_path / "in").mkdir()
    for name, size in (("b.png", (900, 450)), ("in/a.jpg", (100, 200)), ("c.bmp", (40, 40))):
        Image.new("RGB", size, (9, 99, 199)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    photos = load_photos(tmp_path)
    assert [p.shape for p in photos] == [(320, 640, 3), (40, 40, 3), (200, 100, 3)]
    assert all(p.dtype == np.uint8 and np.abs(p.astype(int) - (9, 99, 199)).max() < 4 for p in photos)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("b.png", "in/a.jpg", "c.bmp"):
            archive.write(tmp_path / name, name)
    for one, other in zip(load_photos(tmp_path / "all.zip"), photos, strict=True):
        np.testing.assert_array_equal(one, other)


def test_photos_are_converted_as_other_images_are(tmp_path):
    """Transparency lies over white, 16-bit grey is scaled, EXIF turns."""
    Image.new("RGBA", (40, 40), (200, 0, 0, 0)).save(tmp_path / "a.png")
    Image.fromarray(np.full((40, 40), 100 * 257, "uint16")).save(tmp_path / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), (50, 50, 50)).save(tmp_path / "c.png", exif=exif)
    photos = load_photos(tmp_path)
    assert [int(photo.mean()) for photo in photos] == [255, 100, 50]
    assert photos[2].shape == (60, 40, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(size=(240,)), "size"),
        (dict(size=(16, 240)), "size"),
        (dict(size=(240.0, 240)), "size"),
        (dict(seed=-1), "seed"),
        (dict(split="val"), "split"),
        (dict(text_share=1.5), "text_share"),
        (dict(photos=[photo(0)] * 4), "at least 5"),
        (dict(photos=[photo(0)] * 4 + [np.zeros((60, 80, 3), "float32")]), "photo 4 is float32"),
        (dict(fonts=[]), "no font"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        draw_scenes(1, **options)


def test_negative_index():
    with pytest.raises(ValueError, match="negative"):
        draw_scenes([3, -1])


def test_errors_of_photos(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or zip archive"):
        load_photos(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no images"):
        load_photos(tmp_path)


def test_no_scenes():
    images, polygons = draw_scenes([], size=(64, 48))
    assert images.shape == (0, 64, 48, 3) and polygons == []


def test_what_hides_letters_takes_them_off():
    """Letters below a later panel, a thing in front or the picture's border are no ink."""
    quad = np.array([(0.0, 0.0), (60, 0), (60, 40), (0, 40)])
    sheet = Image.new("L", (60, 40), 255)
    letters = Lettering(Plane(60, 40, quad), layers=[(sheet, (0, 0, 0), (0, 0))], boxes=[(0, 0, 60, 40)])
    panel = Lettering(Plane(60, 40, quad), panel=Panel(quad * [0.5, 1], None, None))
    behind = Image.new("RGB", (60, 40))
    canvas = behind.copy()
    ImageDraw.Draw(canvas).rectangle((40, 0, 59, 9), (1, 0, 9))
    ink = np.asarray(ink_layer([letters, panel], behind, canvas))
    assert not ink[:, :29].any() and not ink[:10, 40:].any()
    assert (ink[11:, 32:] == 255).all() and (ink[:9, 32:39] == 255).all()
    camera = Plain((40, 60))
    camera.frame = Image.new("L", (60, 40))
    ImageDraw.Draw(camera.frame).rectangle((0, 30, 59, 39), 255)
    seen = camera.take_ink(Image.fromarray(ink))
    assert not seen[30:].any()
    np.testing.assert_array_equal(seen[:30], ink[:30])
