"""Pictures: shapes, pixels at known places, and files that are whole or not there."""

import doctest
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kgan import plots

pytestmark = pytest.mark.backend_free


def plain(n, height, width, value, channels=3):
    return np.full((n, height, width, channels), value, "float32")


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def share(picture, colour, tolerance=40):
    """Share of pixels near an RGB colour."""
    return (np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance).mean()


BLUE, RED = (31, 119, 180), (214, 39, 40)


def test_docstring_examples_run():
    results = doctest.testmod(plots)
    assert results.attempted >= 3
    assert results.failed == 0


# --- Image grids ------------------------------------------------------------------------------------------------------


def test_image_grid_maps_values_to_bytes_and_clips():
    images = np.array([-7.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]).reshape(7, 1, 1, 1)
    grid = plots.image_grid(images, columns=7, padding=0)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[0, :, 0], [0, 0, 64, 128, 191, 255, 255])
    np.testing.assert_array_equal(grid[..., 0], grid[..., 2])


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 9),
    columns=st.integers(1, 6),
    padding=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_image_grid_puts_each_image_at_its_place(n, columns, padding, channels, seed):
    height, width = 3, 5
    pixels = np.random.default_rng(seed).integers(0, 255, size=(n, height, width, channels))
    grid = plots.image_grid(pixels / 127.5 - 1, columns=columns, padding=padding)
    rows = int(np.ceil(n / columns))
    expected = np.full((rows * (height + padding) + padding, columns * (width + padding) + padding, 3), 255)
    for i, image in enumerate(pixels):
        top, left = padding + i // columns * (height + padding), padding + i % columns * (width + padding)
        expected[top : top + height, left : left + width] = image
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4)), r"got float64 \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 2)), r"1 or 3\).*got float64 \(2, 4, 4, 2\)"),
        (np.zeros((0, 4, 4, 3)), r"got float64 \(0, 4, 4, 3\)"),
        (np.zeros((2, 4, 4, 3), "uint8"), r"floats .* in \[-1, 1\].*got uint8"),
        (np.full((2, 4, 4, 3), np.nan), "NaN or infinity"),
        (np.full((2, 4, 4, 3), np.inf), "NaN or infinity"),
    ],
)
def test_grids_refuse_what_is_no_stack_of_images(images, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(images, columns=2)
    with pytest.raises(ValueError, match=message):
        plots.labelled_rows({"real": plain(2, 4, 4, 0.0), "generated": images})


@pytest.mark.parametrize("columns", [0, -1])
def test_grids_refuse_less_than_one_column(columns):
    with pytest.raises(ValueError, match=f"columns={columns}"):
        plots.image_grid(plain(2, 4, 4, 0.0), columns=columns)
    with pytest.raises(ValueError, match=f"columns={columns}"):
        plots.labelled_rows({"real": plain(2, 4, 4, 0.0)}, columns=columns)


def test_labelled_rows_shows_rows_in_order_with_labels_on_the_left():
    rows = {"black": plain(3, 50, 60, -1.0), "grey, short": plain(1, 50, 60, 0.0, channels=1)}
    picture = plots.labelled_rows(rows)
    height, width, _ = picture.shape
    assert height == 2 * (50 + 4) + 4
    images = picture[:, width - (3 * (60 + 4) + 4) :]
    np.testing.assert_array_equal(images[4:54, 4:64], 0)
    np.testing.assert_array_equal(images[4:54, 132:192], 0)
    np.testing.assert_array_equal(images[58:108, 4:64], 128)
    np.testing.assert_array_equal(images[58:108, 68:], 255)
    labels = picture[:, : width - images.shape[1]]
    ink_per_column = (labels < 128).all(axis=-1)
    first, second = ink_per_column[:54], ink_per_column[54:]
    assert 0 < first.sum() < second.sum()  # a short and a long word
    assert not ink_per_column[:, [0, -1]].any()  # neither is cut off
    assert abs(np.nonzero(first)[0].mean() - 29) < 4  # in the middle of its row


def test_labelled_rows_enlarges_small_images_by_whole_pixels():
    image = np.linspace(-1, 1, 16 * 16 * 3).reshape(1, 16, 16, 3)
    picture = plots.labelled_rows({"x": image})
    assert picture.shape[0] == 48 + 2 * 4
    shown = picture[4:52, -52:-4]
    once = plots.image_grid(image, columns=1, padding=0)
    np.testing.assert_array_equal(shown, once.repeat(3, axis=0).repeat(3, axis=1))


def test_labelled_rows_shows_the_first_columns():
    images = np.concatenate([plain(1, 48, 48, v) for v in (-1.0, 0.0, 1.0)])
    two = plots.labelled_rows({"x": images}, columns=2)
    np.testing.assert_array_equal(two, plots.labelled_rows({"x": images[:2]}))
    assert plots.labelled_rows({"x": images}, columns=5).shape[1] == two.shape[1] + 3 * 52


def test_labelled_rows_refuses_no_rows_and_mixed_sizes():
    with pytest.raises(ValueError, match="rows is empty"):
        plots.labelled_rows({})
    with pytest.raises(ValueError, match=r"2 sizes, \[\(8, 8\), \(16, 8\)\]"):
        plots.labelled_rows({"a": plain(1, 16, 8, 0.0), "b": plain(1, 8, 8, 0.0)})


# --- Files ------------------------------------------------------------------------------------------------------------


def test_save_image_keeps_every_pixel_and_makes_folders(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, size=(7, 9, 3), dtype="uint8")
    path = tmp_path / "new" / "folder" / "image.png"
    plots.save_image(path, image)
    np.testing.assert_array_equal(read(path), image)
    plots.save_image(str(path), 255 - image)
    np.testing.assert_array_equal(read(path), 255 - image)
    assert os.listdir(path.parent) == ["image.png"]


def test_save_image_leaves_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    image = np.zeros((4, 4, 3), "uint8")
    plots.save_image(path, image)

    def full_disk(self, file, **kwargs):
        file.write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        plots.save_image(path, image + 9)
    np.testing.assert_array_equal(read(path), image)
    assert os.listdir(tmp_path) == ["image.png"]


def test_save_image_replaces_the_file_instead_of_writing_into_it(tmp_path):
    path, still_open = tmp_path / "image.png", tmp_path / "seen_by_a_reader.png"
    old = np.zeros((4, 4, 3), "uint8")
    plots.save_image(path, old)
    os.link(path, still_open)
    plots.save_image(path, old + 9)
    np.testing.assert_array_equal(read(path), old + 9)
    np.testing.assert_array_equal(read(still_open), old)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_saved_images_have_the_usual_file_mode(tmp_path):
    (tmp_path / "plain.txt").write_text("")
    plots.save_image(tmp_path / "image.png", np.zeros((4, 4, 3), "uint8"))
    assert (tmp_path / "image.png").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.png", np.zeros((4, 4, 3)), r"got float64 \(4, 4, 3\)"),
        ("a.png", np.zeros((4, 4), "uint8"), r"got uint8 \(4, 4\)"),
        ("a.png", np.zeros((4, 4, 4), "uint8"), r"got uint8 \(4, 4, 4\)"),
        ("a.jpg", np.zeros((4, 4, 3), "uint8"), "a.jpg does not end in .png"),
    ],
)
def test_save_image_refuses_what_is_no_picture(tmp_path, name, image, message):
    with pytest.raises(ValueError, match=message):
        plots.save_image(tmp_path / name, image)
    assert os.listdir(tmp_path) == []


# --- Charts -----------------------------------------------------------------------------------------------------------


def circle(n, radius=2.0):
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return 100 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_ring_figure_has_a_row_for_each_method_and_a_column_for_each_iteration(tmp_path):
    real, near = circle(300), circle(300, radius=2.5)
    one, wide, tall = ({"GAN": {0: near}}, {"GAN": {0: near, 10: near}}, {"GAN": {0: near}, "WGAN": {0: near}})
    sizes = []
    for snapshots in (one, wide, tall):
        plots.ring_figure(tmp_path / "ring.png", snapshots, real)
        picture = read(tmp_path / "ring.png")
        assert share(picture, BLUE) > 0.002
        assert share(picture, RED) > 0.002
        sizes.append(picture.shape[:2])
    assert sizes[1] == (sizes[0][0], sizes[0][1] + 300)
    assert sizes[2] == (sizes[0][0] + 300, sizes[0][1])
    assert os.listdir(tmp_path) == ["ring.png"]


def test_ring_figure_frames_the_real_points_whatever_is_generated(tmp_path):
    real = circle(300)
    shown = {}
    for name, generated in {"none": real[:1], "far": np.zeros((50, 2)), "diverged": np.full((50, 2), np.nan)}.items():
        plots.ring_figure(tmp_path / f"{name}.png", {"GAN": {0: generated}}, real)
        shown[name] = read(tmp_path / f"{name}.png")
    for name in ("far", "diverged"):
        # Only the legend is red; the ring is as large as ever, and text tells that all points are outside.
        assert share(shown[name], RED) <= share(shown["none"], RED)
        assert share(shown[name], BLUE) == pytest.approx(share(shown["none"], BLUE), rel=0.05)
        assert share(shown[name], (0, 0, 0)) > share(shown["none"], (0, 0, 0))


def test_ring_figure_leaves_a_missing_snapshot_empty(tmp_path):
    real = circle(300)
    plots.ring_figure(tmp_path / "full.png", {"GAN": {0: real + 1, 5: real + 1}, "WGAN": {0: real, 5: real}}, real)
    plots.ring_figure(tmp_path / "part.png", {"GAN": {5: real + 1}, "WGAN": {0: real, 5: real}}, real)
    full, part = read(tmp_path / "full.png"), read(tmp_path / "part.png")
    assert full.shape == part.shape
    middle = full.shape[0] // 2, full.shape[1] // 2
    first_panel = np.s_[: middle[0] - 20, : middle[1] - 20]
    assert share(full[first_panel], BLUE) > 0.002
    assert share(part[first_panel], BLUE) == 0
    np.testing.assert_array_equal(full[middle[0] :], part[middle[0] :])


def test_ring_figure_refuses_what_it_cannot_draw(tmp_path):
    real = circle(10)
    for snapshots in ({}, {"GAN": {}}):
        with pytest.raises(ValueError, match="snapshots are empty"):
            plots.ring_figure(tmp_path / "ring.png", snapshots, real)
    with pytest.raises(ValueError, match=r"GAN at iteration 5: .*got float64 \(10, 3\)"):
        plots.ring_figure(tmp_path / "ring.png", {"GAN": {5: np.zeros((10, 3))}}, real)
    with pytest.raises(ValueError, match=r"real: .*got float64 \(0, 2\)"):
        plots.ring_figure(tmp_path / "ring.png", {"GAN": {5: real}}, real[:0])
    assert os.listdir(tmp_path) == []


def test_curves_draws_lines_and_their_spread(tmp_path):
    x = np.arange(1, 50)
    y = np.sqrt(x)
    plots.curves(tmp_path / "line.png", {"GAN": (x, y, None, None)}, "epoch", "loss")
    plots.curves(tmp_path / "band.png", {"GAN": (x, y, y - 1, y + 1)}, "epoch", "loss")
    plots.curves(tmp_path / "two.png", {"GAN": (x, y, None, None), "WGAN": (x, y + 3, None, None)}, "epoch", "loss")
    line, band, two = (read(tmp_path / f"{name}.png") for name in ("line", "band", "two"))
    light_blue = (210, 228, 240)  # a fifth of blue on white
    assert share(band, light_blue, tolerance=5) > 0.05 > 0.01 > share(line, light_blue, tolerance=5)
    orange = (255, 127, 14)
    assert share(two, orange) > 0.001 > share(line, orange)
    assert share(two, BLUE) > 0.001


def test_curves_on_a_logarithmic_axis_draws_a_logarithm_straight(tmp_path):
    x = np.geomspace(1, 1e6, 30)
    plots.curves(tmp_path / "log.png", {"GAN": (x, np.log(x), None, None)}, "iteration", "share", log_x=True)
    picture = read(tmp_path / "log.png")
    rows, columns = np.nonzero((np.abs(picture.astype(int) - BLUE).max(axis=-1) <= 10)[250:])  # below the legend
    assert np.corrcoef(rows, columns)[0, 1] < -0.999


def test_curves_refuses_ragged_series_and_zero_on_a_logarithmic_axis(tmp_path):
    x = np.arange(3)
    for series, log_x, message in (
        ({}, False, "series is empty"),
        ({"GAN": (x, x[:2], None, None)}, False, r"GAN: .*one length.*got lengths \[3, 2\]"),
        ({"GAN": (x, x, x, x[:1])}, False, r"got lengths \[3, 3, 3, 1\]"),
        ({"GAN": (x, x, x, None)}, False, "both or neither"),
        ({"GAN": (x, x, None, None)}, True, "GAN: x starts at 0; a logarithmic axis"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.curves(tmp_path / "curve.png", series, "x", "y", log_x=log_x)
    with pytest.raises(ValueError, match="curve.pdf does not end in .png"):
        plots.curves(tmp_path / "curve.pdf", {"GAN": (x, x, None, None)}, "x", "y")
    assert os.listdir(tmp_path) == []


# === Scatter ===


def test_scatter_has_a_panel_for_each_colouring(tmp_path):
    points = circle(400)
    halves = np.repeat(["left", "right"], 200)
    plots.scatter(tmp_path / "one.png", points, {"half": halves})
    plots.scatter(tmp_path / "two.png", points, {"half": halves, "all": np.zeros(400, int)})
    one, two = read(tmp_path / "one.png"), read(tmp_path / "two.png")
    assert two.shape == (one.shape[0], 2 * one.shape[1], 3)
    blue, orange = (31, 119, 180), (255, 127, 14)  # of Matplotlib's "tab10"
    assert share(one, orange) == pytest.approx(share(one, blue), rel=0.3) and share(one, blue) > 0.001
    right = two[:, one.shape[1] :]
    assert share(right, orange) == 0 and share(right, blue) > 1.5 * share(one, blue)


def test_scatter_refuses_what_it_cannot_draw(tmp_path):
    points = circle(12)
    for colourings, words in (
        ({}, "colourings are empty"),
        ({"class": [0, 1]}, "class: 2 groups"),
        ({"class": np.arange(12)}, "class: 12 groups"),
    ):
        with pytest.raises(ValueError, match=words):
            plots.scatter(tmp_path / "codes.png", points, colourings)
    assert os.listdir(tmp_path) == []


# --- Captions and bars ------------------------------------------------------------------------------------------------


def test_captioned_images_are_all_there_with_text_below(tmp_path):
    images = np.concatenate([plain(1, 8, 8, 1) * (1, -1, -1), plain(1, 8, 8, 1) * (-1, -1, 1)])
    for pixels in (images, ((images + 1) * 127.5).astype("uint8")):
        plots.captioned(tmp_path / "tags.png", pixels, ["disc 0.91\nring 0.40", "star"])
        picture = read(tmp_path / "tags.png")
        red, blue = share(picture, (255, 0, 0)), share(picture, (0, 0, 255))
        assert red > 0.2 and blue == pytest.approx(red, rel=0.05)
        bare = tmp_path / "bare.png"
        plots.captioned(bare, pixels, ["", ""])
        assert share(picture, (0, 0, 0)) > share(read(bare), (0, 0, 0))
    with pytest.raises(ValueError, match="2 images and 1 captions"):
        plots.captioned(tmp_path / "x.png", images, ["one"])
    with pytest.raises(ValueError, match="at least one"):
        plots.captioned(tmp_path / "x.png", images[:0], [])
    assert not (tmp_path / "x.png").exists()


def test_bars_are_as_long_as_their_values(tmp_path):
    plots.bars(tmp_path / "bars.png", {"a": [100, np.nan], "b": [50, 50]}, ["cat", "dog"], "AP, %")
    picture = read(tmp_path / "bars.png").astype(int)
    blue, orange = (np.abs(picture - colour).max(axis=-1) < 20 for colour in (BLUE, (255, 127, 14)))
    assert blue.sum(axis=1).max() == pytest.approx(2 * orange.sum(axis=1).max(), rel=0.05)
    for series in ({}, {"a": [1]}):
        with pytest.raises(ValueError, match="each with 2 values"):
            plots.bars(tmp_path / "x.png", series, ["cat", "dog"], "AP, %")
