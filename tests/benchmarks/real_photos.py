"""Real photos with and without text, in two fixed halves: what the text filter is measured on.

    python tests/benchmarks/real_photos.py --data ../shared/data
    python tests/benchmarks/real_photos.py --write runs/real_photos    # for recipes: --data textdis:runs/real_photos

| set | text | pictures |
|---|---|---|
| `icdar2015_blurred` | yes | scenes of ICDAR 2015, 640x360, with an artificial motion blur |
| `plates` | yes | cars in streets and car parks, a number plate each |
| `plate_crops` | yes | number plates that fill the picture |
| `bsds500` | no | photos of 481x321, without those of `photos_with_text.txt` |
| `caltech101_subset` | no | objects on plain and natural backgrounds, shorter side 160, without those of the list |

The training half is for choosing thresholds and for experiments, the test half for figures. Pictures of one scene are
in one half: the half is drawn, by a hash, for a scene and not for a picture.
"""

import argparse
import collections
import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kgan.data.text.records import TextImage
from kgan.data.text.sets import read_boxes_json, read_crops, read_negatives

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / ".." / "shared" / "data"
HALVES = ("train", "test")


class Photo(NamedTuple):
    set: str
    image: TextImage
    text: bool


def real_photos(half=None, data=DATA):
    """Reads the sets.

    Args:
        half: `"train"` or `"test"`; None for both.
        data: folder with `icdar2015_blurred/icdar2015_blurred.zip` and so on.

    Returns:
        List of `Photo`: name of the set, `kgan.data.text.records.TextImage`, and whether there is text in it.
    """
    if half not in (None, *HALVES):
        raise ValueError(f"half={half!r}; choose from 'train', 'test' and None")
    data = Path(data)
    listed = set(re.findall(r"^[^#\n]+", (HERE / "photos_with_text.txt").read_text(), re.MULTILINE))
    photos = [
        *(
            Photo("icdar2015_blurred", i, True)
            for i in read_boxes_json(data / "icdar2015_blurred" / "icdar2015_blurred.zip")
        ),
        *(Photo("plates", i, True) for i in read_boxes_json(data / "plates" / "plates.zip")),
        *(Photo("plate_crops", i, True) for i in read_crops(data / "plates" / "plate_crops.zip")),
        *(Photo("bsds500", i, False) for i in read_negatives(data / "bsds500" / "bsds500_images.zip")),
        *(
            Photo("caltech101_subset", i, False)
            for i in read_negatives(data / "caltech101_subset" / "caltech101_subset.zip")
        ),
    ]
    if missing := listed - {f"{photo.set}/{photo.image.name}" for photo in photos}:
        raise ValueError(f"photos_with_text.txt names photos that are not there, such as {min(missing)}")
    photos = [photo for photo in photos if f"{photo.set}/{photo.image.name}" not in listed]
    return [photo for photo in photos if half in (None, half_of(photo))]


def half_of(photo):
    """The half that a photo belongs to."""
    return HALVES[hashlib.sha256(scene(photo.set, photo.image.name).encode()).digest()[0] % 2]


def scene(name_of_set, name):
    """A name that photos share which show the same place or thing."""
    path = PurePosixPath(name)
    if name_of_set == "caltech101_subset":
        # The class; `crocodile` and `crocodile_head`, and others like them, are cut from the same photos.
        return f"{name_of_set}/{path.parent.name.split('_')[0]}"
    if name_of_set == "bsds500":
        # The photo CD that it is from: the last three digits number the photos of one.
        return f"{name_of_set}/{path.stem[:-3]}"
    kind, number = re.fullmatch(r"([a-z]+)_?(\d+)", path.stem).groups()
    number = int(number)
    if name_of_set == "plate_crops":
        # The state. Two of these are cut from American photos of `plates`.
        return "plates/us photos" if kind in ("ca", "il") else f"{name_of_set}/{kind}"
    if kind == "us":
        # Two kinds of fixed cameras, which saw some cars twice.
        kerb = number in range(223, 236) or number in range(263, 268)
        return f"{name_of_set}/us {'kerb' if kerb else 'gates' if number >= 277 else 'photos'}"
    # Brazil: two car parks, in no order. Europe and ICDAR: a walk, whose neighbours overlap.
    return f"{name_of_set}/br" if kind == "br" else f"{name_of_set}/{kind} {number // 40}"


def write_textdis(photos, folder):
    """Writes photos as a TextDis folder: `train/text/SET_NAME.png` with a quadrilateral a line beside it, and so on."""
    for photo in photos:
        path = folder / half_of(photo) / ("text" if photo.text else "non-text")
        path /= f"{photo.set}_{photo.image.name}".replace("/", "_")
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.image.open().convert("RGB").save(path.with_suffix(".png"), compress_level=1)
        if photo.text:
            rows = [",".join(f"{value:.2f}" for value in polygon.ravel()) for polygon in photo.image.polygons]
            path.with_suffix(".txt").write_text("\n".join(rows) + "\n")


def main():
    parser = argparse.ArgumentParser(description="Prints how many photos there are of each set in each half.")
    parser.add_argument("--data", default=DATA, help="folder of the sets (default: ../shared/data)")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write them there in the layout of TextDis, too")
    options = parser.parse_args()
    photos = real_photos(data=options.data)
    if options.write:
        write_textdis(photos, options.write)
    count = collections.Counter((photo.set, half_of(photo)) for photo in photos)
    print("| set | text | train | test |\n|---|---|---|---|")
    for name in dict.fromkeys(photo.set for photo in photos):
        text = next(photo.text for photo in photos if photo.set == name)
        print(f"| {name} | {'yes' if text else 'no'} | {count[name, 'train']} | {count[name, 'test']} |")
    for text in (True, False):
        sums = [sum(photo.text == text and half_of(photo) == half for photo in photos) for half in HALVES]
        print(f"| together | {'yes' if text else 'no'} | {sums[0]} | {sums[1]} |")


if __name__ == "__main__":
    main()
