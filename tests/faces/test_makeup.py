"""`kgan makeup`: from photo to photo, whatever the files hold, in runs that can be stopped and continued."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
import skimage.data
from image_files import encode
from PIL import Image

import kgan
from kgan.cli import main
from kgan.faces.finder import Face, find_faces
from kgan.faces.look import CUT, Unsuitable, check, look_of, outside, save_look
from kgan.faces.makeup import Track
from kgan.faces.mesh import MEDIAPIPE, POINTS, region

pytestmark = pytest.mark.backend_free


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """Workers take two seconds to start: the tests but two do without."""
    if request.node.name not in ("test_a_folder_with_everything", "test_frames"):
        for module in ("processes", "examiner"):
            monkeypatch.setattr(f"kgan.runtime.{module}.daemonic", lambda: True)


@pytest.fixture(scope="module")
def look(red_lips, tmp_path_factory):
    path = tmp_path_factory.mktemp("look") / "red.npz"
    save_look(path, look_of(red_lips))
    return path


@pytest.fixture
def photos(portrait, tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    portrait.save(folder / "a.png")
    (folder / "b.jpg").write_bytes(encode(portrait.convert("L"), "JPEG", quality=95))
    Image.fromarray(skimage.data.chelsea()).save(folder / "cat.png")
    portrait.crop((60, 20, 130, 200)).resize((210, 540)).save(folder / "cut.png")
    (folder / "empty.png").write_bytes(b"")
    portrait.save(folder / "more" / "a.png")
    tiny = Image.new("RGB", (200, 200), "grey")
    tiny.paste(portrait.resize((36, 43), Image.Resampling.LANCZOS), (80, 80))
    tiny.save(folder / "tiny.png")
    (folder / "text.txt").write_text("no image")
    two = Image.new("RGB", (600, 300), "grey")
    two.paste(portrait, (20, 30))
    two.paste(portrait.resize((150, 180)), (400, 60))
    two.save(folder / "two.webp", lossless=True)
    return folder


EXPECTED = {
    "a.png": ("ok", 1, 1),
    "b.jpg": ("ok", 1, 1),
    "cat.png": ("no_face", 0, 0),
    "cut.png": ("partial", 1, 1),
    "empty.png": ("empty", 0, 0),
    "more/a.png": ("ok", 1, 1),
    "text.txt": ("not_an_image", 0, 0),
    "tiny.png": ("too_small", 1, 0),
    "two.webp": ("ok", 2, 1),
}


def makeup(*arguments):
    return main(["makeup", *map(str, arguments), "--processes", "1"])


def rows_of(folder):
    return [json.loads(line) for line in (folder / "makeup.jsonl").read_text().splitlines()]


def test_a_folder_with_everything(photos, look, tmp_path, capsys):
    out = tmp_path / "out"
    assert makeup(photos, look, "--out", out) == 0
    assert "9 images: 5 made up, 4 not ok; 9 in this run" in capsys.readouterr().err
    rows = {row["path"].removeprefix(f"{photos}/"): row for row in rows_of(out)}
    assert {name: (row["status"], row["found"], row["painted"]) for name, row in rows.items()} == EXPECTED
    for name, row in rows.items():
        assert row["out"] == (name if row["painted"] else None)
        if row["painted"]:
            before, after = (Image.open(folder / name) for folder in (photos, out))
            assert before.size == after.size and before.format == after.format
            changed = (np.asarray(before.convert("RGB")) != np.asarray(after.convert("RGB"))).any(axis=-1)
            assert changed.any()
    assert sorted(path.name for path in out.iterdir()) == [
        *("a.png", "b.jpg", "cut.png", "makeup.jsonl", "makeup.jsonl.run.json", "more", "two.webp")
    ]


def test_a_stopped_run_goes_on(photos, look, tmp_path, capsys):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert makeup(photos, look, "--out", straight) == makeup(photos, look, "--out", stopped) == 0
    journal = stopped / "makeup.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:1]) + lines[1][:20])
    (stopped / "two.webp").unlink()
    assert makeup(photos, look, "--out", stopped) == 0
    assert "8 in this run" in capsys.readouterr().err
    assert journal.read_text() == (straight / "makeup.jsonl").read_text()
    for name in ("a.png", "b.jpg", "two.webp", "more/a.png"):
        assert (stopped / name).read_bytes() == (straight / name).read_bytes()
    assert makeup(photos, look, "--out", stopped, "--shade", "0.5") == 2
    assert "started with other options (shade)" in capsys.readouterr().err
    assert makeup(photos, look, "--out", stopped, "--shade", "0.5", "--overwrite") == 0
    assert (stopped / "a.png").read_bytes() != (straight / "a.png").read_bytes()
    assert not (stopped / "a-2.png").exists()


def test_files_in_the_way_and_sources_are_kept(photos, look, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    for _ in range(2):  # what the first run wrote is replaced, and nothing else
        assert makeup(photos / "a.png", look, "--out", out, "--side-by-side", "--overwrite") == 0
        assert (out / "a.png").read_bytes() == b"mine"
        assert sorted(path.name for path in out.glob("a-*")) == ["a-2.png", "a-2.png.side-by-side.png"]
        assert [row["out"] for row in rows_of(out)] == ["a-2.png"]
    before = (photos / "a.png").read_bytes()
    for source, place in ((photos, photos), ("a.png", "a.png"), ("a.png", ""), ("**/*.png", "more")):
        assert makeup(photos / source, look, "--out", photos / place, "--overwrite") == 2
        assert "is or holds a source" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_a_sheet_belongs_to_its_photo(photos, look, tmp_path, capsys):
    out = tmp_path / "p.png"
    assert makeup(photos / "a.png", look, "--out", out, "--side-by-side") == 0
    first = (tmp_path / "p.png.side-by-side.png").read_bytes()
    assert makeup(photos / "a.png", look, "--out", out, "--side-by-side", "--shade", "0.3", "--overwrite") == 0
    assert (tmp_path / "p.png.side-by-side.png").read_bytes() != first
    assert sorted(path.name for path in tmp_path.glob("p.*")) == ["p.png", "p.png.side-by-side.png"]
    out.unlink()
    assert makeup(photos / "a.png", look, "--out", out, "--side-by-side") == 2
    assert "p.png.side-by-side.png exists: pass --overwrite" in capsys.readouterr().err and not out.exists()


def test_the_reference_is_never_replaced(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    before = (photos / "more" / "a.png").read_bytes()
    assert makeup("a.png", "more/a.png", "--out", "./more/a.png", "--overwrite") == 2
    assert "--out ./more/a.png would replace REFERENCE more/a.png" in capsys.readouterr().err
    assert makeup("a.png", "more/a.png", "--out", "more", "--overwrite") == 2
    assert "--out more holds REFERENCE more/a.png" in capsys.readouterr().err
    assert (photos / "more" / "a.png").read_bytes() == before
    # Nor does the sheet replace anything.
    sheet = photos / "q.png.side-by-side.png"
    sheet.write_bytes(before)
    for source, reference, name in (("a.png", sheet.name, "REFERENCE"), (sheet.name, "a.png", "SOURCE")):
        assert makeup(source, reference, "--out", "q.png", "--side-by-side", "--overwrite") == 2
        assert f"would replace {name} {sheet.name}" in capsys.readouterr().err
    assert sheet.read_bytes() == before


def test_results_that_a_link_leads_to_are_no_sources(photos, look, tmp_path):
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "direct").symlink_to("photos/more/out")
    for out in ("link/more/out", "link/more/out", "direct"):
        assert makeup(photos / "more", look, "--out", tmp_path / out) == 0
    assert [row["out"] for row in rows_of(photos / "more" / "out")] == ["a.png"]


def test_overwriting_after_a_kill(photos, look, tmp_path):
    out = tmp_path / "out"
    assert makeup(photos / "a.png", look, "--out", out) == 0
    with (out / "makeup.jsonl").open("a") as file:
        file.write('{"path": "b.j')
    assert makeup(photos / "a.png", look, "--out", out, "--overwrite") == 0
    assert sorted(path.name for path in out.iterdir() if path.suffix == ".png") == ["a.png"]


def test_what_is_odd_about_a_reference_is_said(portrait, red_lips):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        look_of(red_lips)
    two = Image.new("RGB", (600, 300), "navy")
    two.paste(portrait, (20, 30))
    two.paste(portrait.resize((150, 180)), (400, 60))
    with pytest.warns(UserWarning, match="^here.jpg has 2 faces: the makeup is that of the largest"):
        look_of(two, "here.jpg")
    with pytest.warns(UserWarning, match="cuts the face off"):
        look_of(portrait.crop((60, 20, 130, 200)).resize((210, 540)))
    with pytest.warns(UserWarning, match="the reference has no colours: neither will the makeup"):
        grey = red_lips.convert("L").convert("RGB")
        grey.putpixel((0, 0), (255, 0, 0))  # such as of a date
        look_of(grey)


def test_a_journal_cannot_name_files_elsewhere(photos, look, tmp_path):
    out = tmp_path / "out"
    assert makeup(photos / "a.png", look, "--out", out) == 0
    (tmp_path / "mine.png").write_bytes(b"mine")
    journal = out / "makeup.jsonl"
    row, beside = journal.read_text(), tmp_path / "out.side-by-side.png"
    beside.write_bytes(b"mine")
    for name in ("../mine.png", "", "."):
        journal.write_text(row.replace('"out": "a.png"', f'"out": "{name}"'))
        assert makeup(photos / "a.png", look, "--out", out, "--overwrite") == 0
        assert (tmp_path / "mine.png").read_bytes() == beside.read_bytes() == b"mine"


def test_two_photos_of_one_name(photos, portrait, look, tmp_path):
    portrait.rotate(5).save(photos / "a.jpg", quality=90)
    assert makeup(photos / "a.*", look, "--out", tmp_path / "one", "--side-by-side") == 0
    assert len([*(tmp_path / "one").glob("*.side-by-side.png")]) == 2
    assert makeup(photos / "**" / "a.png", look, "--out", tmp_path / "two") == 0
    assert [row["out"] for row in rows_of(tmp_path / "two")] == ["a.png"] * 2  # equal files need no second one


def test_one_photo_to_a_file(photos, look, tmp_path, capsys):
    out = tmp_path / "painted.jpg"
    assert makeup(photos / "a.png", look, "--out", out) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {"path": str(photos / "a.png"), "out": "painted.jpg", "status": "ok", "found": 1, "painted": 1}
    assert Image.open(out).format == "JPEG"
    assert makeup(photos / "a.png", look, "--out", out) == 2
    assert "painted.jpg exists: pass --overwrite" in capsys.readouterr().err
    copy = tmp_path / "copy.jpg"
    assert makeup(photos / "b.jpg", look, "--out", copy, "--shade", "0") == 0
    assert copy.read_bytes() == (photos / "b.jpg").read_bytes()
    assert makeup(photos / "b.jpg", look, "--out", copy, "--parts", "lips", "--lips", "0", "--overwrite") == 0
    assert copy.read_bytes() == (photos / "b.jpg").read_bytes()


def test_an_archive_and_a_pattern(photos, look, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(photos / "a.png", "in/a.png")
        file.write(photos / "b.jpg", "b.jpg")
        file.writestr("../evil.png", b"")
    assert makeup(archive, look, "--out", tmp_path / "one") == 0
    statuses = {row["path"].rpartition("!")[2]: (row["status"], row["out"]) for row in rows_of(tmp_path / "one")}
    assert statuses == {
        "in/a.png": ("ok", "photos.zip/in/a.png"),
        "b.jpg": ("ok", "photos.zip/b.jpg"),
        "../evil.png": ("unsafe_name", None),
    }
    assert makeup(photos / "*.jpg", look, "--out", tmp_path / "two") == 0
    assert [row["out"] for row in rows_of(tmp_path / "two")] == ["b.jpg"]


def test_shade_parts_and_faces(photos, look, tmp_path):
    def changed(name, *options):
        assert makeup(photos / name, look, "--out", tmp_path / "x.png", "--overwrite", *options) == 0
        before, after = (
            np.asarray(Image.open(path).convert("RGB"), int) for path in (photos / name, tmp_path / "x.png")
        )
        return np.abs(after - before).sum(axis=-1)

    whole = changed("a.png")
    assert not changed("a.png", "--shade", "0").any()
    half = changed("a.png", "--shade", "0.5")
    assert 0.3 < half.sum() / whole.sum() < 0.7
    lips = changed("a.png", "--parts", "lips")
    assert 0 < (lips > 0).sum() < 0.2 * (whole > 0).sum()
    assert changed("a.png", "--parts", "lips", "--lips", "0.5").sum() < 0.7 * lips.sum()
    one, both = changed("two.webp"), changed("two.webp", "--faces", "all")
    assert not one[:, 350:].any() and both[:, 350:].any() and (both[:, :350] > 0).sum() == (one[:, :350] > 0).sum()
    assert changed("a.png", "--no-keep-skin-tone", "--parts", "skin").sum() != changed("a.png", "--parts", "skin").sum()


def test_side_by_side_and_a_saved_look(photos, red_lips, tmp_path, capsys):
    red_lips.save(tmp_path / "reference.png")
    saved = tmp_path / "saved.npz"
    arguments = ("--side-by-side", "--save-look", saved)
    assert makeup(photos / "a.png", tmp_path / "reference.png", "--out", tmp_path / "one", *arguments) == 0
    sheet = Image.open(tmp_path / "one" / "a.png.side-by-side.png")
    assert sheet.size == (200 + 240 + 200, 240)
    np.testing.assert_array_equal(np.asarray(sheet)[:, :200], np.asarray(Image.open(photos / "a.png")))
    np.testing.assert_array_equal(np.asarray(sheet)[:, 440:], np.asarray(Image.open(tmp_path / "one" / "a.png")))
    assert makeup(photos / "a.png", saved, "--out", tmp_path / "two") == 0
    one, two = (np.asarray(Image.open(tmp_path / name / "a.png"), int) for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    # The same look, so the run goes on.
    assert makeup(photos / "a.png", saved, "--out", tmp_path / "one", "--side-by-side") == 0
    assert makeup(photos / "a.png", tmp_path / "reference.png", "--out", tmp_path / "one", *arguments) == 0
    (tmp_path / "reference.png").write_bytes((photos / "a.png").read_bytes())
    assert makeup(photos / "a.png", tmp_path / "reference.png", "--out", tmp_path / "three", *arguments) == 2
    assert f"{saved} exists: pass --overwrite to replace it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "source, reference, options, status, words",
    [
        ("a.png", "cat.png", [], 2, "reference 'cat.png': no face: no face was found"),
        ("a.png", "tiny.png", [], 2, "reference 'tiny.png': too small: its face is"),
        ("a.png", "more", [], 2, "reference 'more' is a folder: pass one photo, or an .npz file"),
        ("a.png", "empty.png", [], 2, "reference 'empty.png': empty"),
        ("a.png", "none.png", [], 2, "reference 'none.png': missing"),
        ("a.png", "none.npz", [], 2, "look 'none.npz': no such file"),
        ("a.png", "a.png", ["--frames", "--faces", "all"], 2, "--frames follows the largest face"),
        ("a.png", "a.png", ["--save-look", "evening"], 2, "--save-look evening: pass a name that ends in .npz"),
        ("a.png", "a.png", ["--save-look", "no/evening.npz"], 2, "there is no folder no"),
        ("a.png", "a.png", ["--out", "o.mp4"], 2, "--out o.mp4: pass a folder, or a file that ends in .jpg"),
        ("more", "a.png", ["--out", "o.jpg"], 2, "--out o.jpg: pass a folder\n"),
        ("a.png", "a.png", ["--shade", "1.5"], 2, "shade 1.5: pass a share from 0 to 1"),
        ("a.png", "a.png", ["--eyes", "-1"], 2, "eyes -1.0: pass a share from 0 to 1"),
        ("*.tif", "a.png", [], 2, "no file matches '*.tif'"),
        ("none.png", "a.png", [], 2, "SOURCE 'none.png': no such file or folder"),
        ("cat.png", "a.png", [], 1, "cat.png: no photo was made up: no face"),
    ],
)
def test_one_line_for_what_does_not_fit(source, reference, options, status, words, photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    assert makeup(source, reference, "--out", "out", *options) == status
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == (
        1 if status == 2 else 3
    )  # a row that is not ok, the counts and the error
    if status == 2:
        assert not (photos / "out").exists()


def test_turned_away():
    """A profile, as the canonical face seen from the side: more of it is hidden than shown."""
    for degrees, refused in ((20, False), (75, True)):
        angle = np.radians(degrees)
        x, y, z = (POINTS * (1, -1, -1)).T
        turned = np.column_stack([np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x])
        face = Face(turned * 20, 1.0)
        if refused:
            with pytest.raises(Unsuitable, match="of its face is turned to the camera: 60% is needed") as error:
                check(face)
            assert error.value.status == "turned_away"
        else:
            check(face)


def test_a_still_face_jitters_half_as_much(portrait):
    rng = np.random.default_rng(0)
    pixels = np.asarray(portrait, float)
    track, raw, steady = Track(), [], []
    for _ in range(12):
        frame = Image.fromarray(np.clip(pixels + rng.normal(0, 0.02 * 255, pixels.shape), 0, 255).astype("uint8"))
        raw.append(find_faces(frame, small=False)[0].points[:, :2])
        steady.append(track(frame)[0].points[:, :2])
    jitter = [np.abs(np.diff(points[4:], axis=0)).mean() for points in (raw, steady)]
    assert jitter[1] < 0.5 * jitter[0]


def test_a_moving_face_is_followed_and_one_that_leaves_is_lost(portrait):
    track = Track()
    for step in range(6):
        frame = Image.new("RGB", (400, 300), "grey")
        frame.paste(portrait, (10 + 15 * step, 30))
        (face,) = track(frame)
        (found,) = find_faces(frame, small=False)
        assert np.abs(face.points - found.points)[:, :2].mean() < 1.5
    assert track(Image.new("RGB", (400, 300), "grey")) == [] and track.face is None


def test_frames(portrait, look, tmp_path):
    """The points are steadied, and they are in a run that was stopped as in one that was not."""
    folder, out, stopped = tmp_path / "film", tmp_path / "out", tmp_path / "stopped"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for step in range(4):
        frame = np.full((300, 300, 3), 128.0)
        frame[30:270, 20:220] = np.asarray(portrait)
        frame += rng.normal(0, 8, frame.shape)
        Image.fromarray(np.clip(frame, 0, 255).astype("uint8")).save(folder / f"{step:03}.png")
    for place in (out, stopped):
        assert makeup(folder, look, "--out", place, "--frames") == 0
    assert [row["status"] for row in rows_of(out)] == ["ok"] * 4
    lines = (stopped / "makeup.jsonl").read_text().splitlines(keepends=True)
    (stopped / "makeup.jsonl").write_text("".join(lines[:2]))
    for name in ("002.png", "003.png"):
        (stopped / name).unlink()
    assert makeup(folder, look, "--out", stopped, "--frames") == 0
    for step in range(4):
        assert (stopped / f"{step:03}.png").read_bytes() == (out / f"{step:03}.png").read_bytes()
    assert makeup(folder, look, "--out", tmp_path / "photos") == 0
    assert (tmp_path / "photos" / "003.png").read_bytes() != (out / "003.png").read_bytes()


def test_transfer_photo(portrait, red_lips, look):
    painted = kgan.makeup.transfer_photo(portrait, red_lips, parts={"lips": 1})
    assert painted.size == portrait.size and painted.mode == "RGB"
    assert kgan.makeup.transfer_photo(portrait, red_lips, shade=0).tobytes() == portrait.tobytes()
    loaded = kgan.makeup.transfer_photo(portrait, kgan.makeup.load_look(look), parts="lips")
    assert loaded.tobytes() == painted.tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(io.BytesIO(encode(portrait.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)))
    upright = kgan.makeup.transfer_photo(lying, red_lips, parts="lips")
    assert upright.tobytes() == painted.tobytes() and "exif" not in upright.info
    for options, words in (({"shade": 2}, "shade 2"), ({"parts": ["nose"]}, "part 'nose'"), ({"faces": 1}, "faces=1")):
        with pytest.raises(ValueError, match=words):
            kgan.makeup.transfer_photo(portrait, red_lips, **options)
    with pytest.raises(Unsuitable, match="no face was found"):
        kgan.makeup.transfer_photo(Image.new("RGB", (90, 90)), red_lips)
    with pytest.raises(ValueError, match=r"source is a ndarray: pass a PIL.Image.Image"):
        kgan.makeup.transfer_photo(np.asarray(portrait), red_lips)
    with pytest.raises(ValueError, match=r"reference is a str: pass a PIL.Image.Image, or a look from load_look"):
        kgan.makeup.transfer_photo(portrait, "b.jpg")


class BluePainter:
    """In place of a `MakeupGAN`: blue lips, whatever the reference."""

    uv_size, image_space, uv_layout = 64, False, MEDIAPIPE.layout

    def transfer(self, source, reference, shade=1.0, parts=None):
        assert source.shape == reference.shape == (1, 64, 64, 3) and abs(source).max() <= 1
        lips = region("lips", 64)[..., None] * dict(parts).get("lips", 0)
        return source * (1 - lips) + np.array([-1, -1, 1]) * lips


def test_transfer_photo_with_a_network(portrait, red_lips, look):
    painted = kgan.makeup.transfer_photo(portrait, red_lips, model=BluePainter(), parts="lips")
    coloured = kgan.makeup.transfer_photo(portrait, red_lips, parts="lips")
    before, blue, red = (np.asarray(image, int) for image in (portrait, painted, coloured))
    lips = (abs(red - before).max(axis=-1) > 10) & (abs(blue - before).max(axis=-1) > 10)
    assert lips.sum() > 100 and (blue - before)[lips, 2].mean() > 20 and (blue - before)[lips, 0].mean() < -60
    assert np.all(blue[:20] == before[:20]), "far from the lips nothing changes"
    half = np.asarray(kgan.makeup.transfer_photo(portrait, red_lips, 0.5, "lips", model=BluePainter()), int)
    assert 0.3 < abs(half - before)[lips].mean() / abs(blue - before)[lips].mean() < 0.7
    same = kgan.makeup.transfer_photo(portrait, kgan.makeup.load_look(look), model=BluePainter(), parts="lips")
    assert same.tobytes() == painted.tobytes()
    other = BluePainter()
    other.image_space = True
    for model, kind in ((other, "BluePainter"), ("model.keras", "str")):
        with pytest.raises(ValueError, match=f"model is a {kind}: pass a kgan.MakeupGAN that paints textures in the"):
            kgan.makeup.transfer_photo(portrait, red_lips, model=model)


def test_outside(face):
    assert outside(face, (512, 512)) == 0 < CUT < outside(face, (230, 512))


def test_a_broken_photo_in_memory(look, tmp_path, portrait):
    data = io.BytesIO()
    portrait.save(data, "PNG")
    (tmp_path / "cut.png").write_bytes(data.getvalue()[:4000])
    assert makeup(tmp_path / "cut.png", look, "--out", tmp_path / "out") == 1
    assert rows_of(tmp_path / "out")[0]["status"] == "truncated"
