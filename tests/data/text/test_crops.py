"""Crops of photographs: their text lies where their polygons say, whatever was cut and stretched."""

import numpy as np
import pytest
from PIL import Image

from kgan.data.text.crops import Photographs, draw_crops
from kgan.data.text.records import TextImage, UnreadableImage
from kgan.filter.regions import polygon_mask

pytestmark = pytest.mark.backend_free
LINE = np.array([(60.0, 50), (140, 60), (138, 76), (58, 66)])  # red on blue


def annotated(polygons, care=None, colour=(200, 0, 0)):
    pixels = np.full((160, 240, 3), (0, 0, 200), "uint8")
    for polygon in polygons:
        pixels[polygon_mask(polygon, (160, 240))] = colour
    care = [True] * len(polygons) if care is None else care
    return TextImage("a.png", lambda: Image.fromarray(pixels), (160, 240), polygons, care)


@pytest.mark.parametrize("size", [(240, 240), (240, 360), (360, 240), (120, 240)])
def test_text_lies_where_it_is_said_to(size):
    photographs = Photographs([annotated([LINE]), annotated([])])
    images, polygons = draw_crops(photographs, range(40), size, text_share=0.5)
    assert images.shape == (40, *size, 3) and images.dtype == np.uint8
    shown = [bool(lines) for lines in polygons]
    assert 10 < sum(shown) < 30
    for image, lines in zip(images.astype(int), polygons, strict=True):
        red = image[..., 0] > image[..., 2]
        mask = np.zeros(size, bool)
        for line in lines:
            mask |= polygon_mask(line, size)
        if lines:
            assert (red & mask).sum() / (red | mask).sum() > 0.85
    # The same indices give the same crops, others give others.
    again, _ = draw_crops(photographs, range(10, 20), size)
    np.testing.assert_array_equal(again, images[10:20])
    assert len({image.tobytes() for image, lines in zip(images, polygons, strict=True) if lines}) == sum(shown)
    assert (draw_crops(photographs, range(5), size, seed=1)[0] != images[:5]).any()


def test_shares():
    photographs = Photographs([annotated([LINE]), annotated([])])
    for share in (0.0, 1.0):
        _, polygons = draw_crops(photographs, range(30), (80, 120), text_share=share)
        shown = np.mean([bool(lines) for lines in polygons])
        assert shown == 0 if share == 0 else shown >= 0.9
    with pytest.raises(ValueError, match="text_share=1.5"):
        draw_crops(photographs, range(3), text_share=1.5)


def test_pieces_of_lines():
    """Of a line along an edge at least a tenth is seen, or it is not among the polygons."""
    edge = np.array([(0.0, 0), (240, 0), (240, 12), (0, 12)])
    photographs = Photographs([annotated([edge, LINE]), annotated([])])
    images, polygons = draw_crops(photographs, range(60), (80, 120), text_share=1.0)
    assert {len(lines) for lines in polygons} == {1, 2}
    for image, lines in zip(images.astype(int), polygons, strict=True):
        mask = np.zeros((80, 120), bool)
        for line in lines:
            low, high = np.clip(line.min(axis=0), 0, (120, 80)), np.clip(line.max(axis=0), 0, (120, 80))
            assert (high - low).prod() >= 0.1 * np.ptp(line, axis=0).prod() - 1e-6
            mask |= polygon_mask(line, (80, 120))
        red = image[..., 0] > image[..., 2]
        assert (red & ~mask).mean() < 0.02  # nothing that could be read goes without a polygon


def test_large_and_deep_photographs():
    deep = Image.fromarray(np.full((160, 240), 40_000, "uint16"))
    photographs = Photographs(
        [annotated([LINE]), TextImage("d.png", lambda: deep, (160, 240), [], [])],
        short_edge=80,
    )
    ((pixels, polygons),), ((grey, _),) = photographs.text, photographs.plain
    assert pixels.shape == grey.shape == (80, 120, 3) and abs(int(grey.mean()) - 156) < 2
    np.testing.assert_allclose(polygons[0], LINE / 2)
    mask = polygon_mask(polygons[0], (80, 120))
    assert pixels[mask][:, 0].mean() > 150 and pixels[~mask][:, 0].mean() < 20


def test_what_cannot_be_used_is_left_out():
    def broken():
        raise UnreadableImage("broken")

    unreadable = TextImage("b.png", broken, (9, 9), [], [])
    whole = np.array([(0.0, 0), (240, 0), (240, 160), (0, 160)])
    photographs = Photographs([annotated([LINE]), annotated([]), annotated([whole], [False]), unreadable])
    assert len(photographs.text) == len(photographs.plain) == 1
    with pytest.raises(ValueError, match="no photographs with text, or none without"):
        Photographs([annotated([LINE])])
