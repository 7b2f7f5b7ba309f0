import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from PIL import Image, ImageDraw

from kgan.filter.regions import line_height, polygon_mask, region_labels, region_means

SIZES = st.tuples(st.integers(20, 70), st.integers(20, 70))


@st.composite
def triangles(draw):
    """Triangles whose edges pass no centre of a pixel, where two programs may differ on what is inside."""
    point = st.tuples(*[st.floats(-20, 90, width=32)] * 2)
    corners = np.array(draw(st.lists(point, min_size=3, max_size=3)))
    shift = draw(st.floats(0.01, 0.02))
    edges = np.roll(corners, -1, axis=0) - corners
    assume((np.hypot(*edges.T) > 1).all())
    centres = np.stack(np.meshgrid(np.arange(70), np.arange(70)), axis=-1) + 0.5
    for corner, edge in zip(corners + shift, edges, strict=True):
        offset = centres - corner
        assume(np.abs(offset[..., 0] * edge[1] - offset[..., 1] * edge[0]).min() > 1e-6)
    return corners + shift


def counted_labels(boxes, size, threshold):
    """Pixel by pixel, with another library's test of what lies inside."""
    columns, rows = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    text = np.zeros(size, bool)
    for box in boxes:
        text |= Path(box).contains_points(np.stack([columns, rows], axis=-1).reshape(-1, 2)).reshape(size)
    labels = []
    for n in (5, 3):
        for i in range(n):
            for j in range(n):
                # Whole numbers, so that a centre on the line between two cells is where the rule puts it.
                cell = [
                    [k * 2 * length <= (2 * p + 1) * n < (k + 1) * 2 * length for p in range(length)]
                    for k, length in ((i, size[0]), (j, size[1]))
                ]
                labels.append(text[np.ix_(*cell)].mean() >= threshold)
    return np.array(labels, "float32")


@settings(deadline=None, max_examples=50)
@given(st.lists(triangles(), max_size=3), SIZES, st.floats(0.005, 1))
def test_labels_are_a_count_of_pixels(boxes, size, threshold):
    np.testing.assert_array_equal(region_labels(boxes, size, threshold), counted_labels(boxes, size, threshold))


def test_overlapping_boxes_count_once():
    # A fifth of 50 x 50 is 10 x 10 pixels: 3 rows of 10 are text, twice.
    boxes = [(0, 0, 10, 3), (0, 0, 10, 3)]
    assert region_labels(boxes, (50, 50), threshold=0.3)[0] == 1
    assert region_labels(boxes, (50, 50), threshold=0.31)[0] == 0


def test_order_of_regions():
    labels = region_labels([(241, 1, 299, 59)], size=(300, 300))  # the upper right corner
    assert np.flatnonzero(labels).tolist() == [4, 25 + 2]
    labels = region_labels([(1, 61, 59, 119)], size=(300, 300))  # the left of the second row
    assert np.flatnonzero(labels).tolist() == [5, 25, 25 + 3]


def test_forms_of_a_box_agree():
    corners = [(3, 4), (20, 4), (20, 9), (3, 9)]
    expected = region_labels([(3, 4, 20, 9)], (30, 30))
    for box in (corners, corners[::-1], [*corners[:2], (20, 6), *corners[2:]], np.float32(corners)):
        np.testing.assert_array_equal(region_labels([box], (30, 30)), expected)


def test_msp_net_wants_high_lines():
    size = (100, 100)  # regions of 20 and 33.3 pixels
    low, high, huge = [(0, 0, 20, y) for y in (9, 11, 18)]
    assert region_labels([low], size, rule="msp_net").sum() == 0
    assert np.flatnonzero(region_labels([high], size, rule="msp_net")).tolist() == [0]
    assert np.flatnonzero(region_labels([huge], size, rule="msp_net")).tolist() == [0, 25]
    # High enough; of the first region it takes a column of 20, then two.
    assert region_labels([(19, 0, 60, 15)], size, rule="msp_net")[0] == 0
    assert region_labels([(18, 0, 60, 15)], size, rule="msp_net")[0] == 1


def test_height_of_a_line_is_that_of_the_narrowest_rectangle():
    assert line_height((0, 0, 50, 7)) == pytest.approx(7)
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert line_height(np.array([(0, 0), (50, 0), (50, 7), (0, 7)]) @ turn.T) == pytest.approx(7)
    assert line_height([(0, 0), (5, 5), (9, 9)]) == 0


def test_mask_agrees_with_pillow_away_from_edges():
    polygon = [(10, 5), (50, 12), (44, 40), (25, 20), (8, 33)]
    drawn = Image.new("1", (60, 50))
    ImageDraw.Draw(drawn).polygon(polygon, fill=1)
    differ = polygon_mask(polygon, (50, 60)) != np.asarray(drawn)
    assert 0 < differ.sum() < 0.15 * np.asarray(drawn).sum()  # Pillow draws the edge too


@given(SIZES, st.integers(0, 99))
def test_region_means(size, seed):
    values = np.random.default_rng(seed).normal(size=size)
    means = region_means(values)
    rows, columns = (np.floor((np.arange(n) + 0.5) * 3 / n) for n in size)
    assert means[25 + 5] == pytest.approx(values[np.ix_(rows == 1, columns == 2)].mean())
    assert means.shape == (34,)


@pytest.mark.parametrize(
    "boxes, options, words",
    [
        ([(1, 2, 3)], {}, "shape"),
        ([[(1, 2), (3, 4)]], {}, "at least 3"),
        ([(0, 0, np.nan, 3)], {}, "finite"),
        ([], {"threshold": 0}, "threshold"),
        ([], {"threshold": 1.1}, "threshold"),
        ([], {"rule": "mean"}, "rule"),
    ],
)
def test_errors(boxes, options, words):
    with pytest.raises(ValueError, match=words):
        region_labels(boxes, (30, 30), **options)
