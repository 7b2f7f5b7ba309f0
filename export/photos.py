"""Writes kgan/filter/photos.md, the photographs that the packaged student learned from, with authors and licences.

    python export/photos.py PHOTOS

PHOTOS is what `recipes/textfilter_student.py --photos` was given: a folder with an index.csv
(`kgan.data.text.photos.read_photos`).
"""

import argparse
import csv
import sys
from pathlib import Path

from kgan.data.text.photos import read_photos

TARGET = Path(__file__).parents[1] / "kgan" / "filter" / "photos.md"  # comes with the weights, as CC BY asks
HEAD = """# Photographs in the training data of the packaged student

Written by `python export/photos.py`. The student has learned random crops of these {number} photographs, {text} of them
with text. Drawn scenes lie on the others. Fonts are listed in the
model files (`TextFilter.load().metadata["data_card"]`).

Changes: the photographs are reduced, cropped, mirrored, recoloured, blurred and drawn over.

| file | author | licence | source |
|---|---|---|---|
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder with an index.csv")
    parser.add_argument("--target", type=Path, default=TARGET, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        # Text that nobody has outlined is not learned (kgan.data.text.crops.Photographs).
        images = [image for image in read_photos(options.photos, "train", free=True) if image.care != [False]]
        learned = {image.name: bool(image.polygons) for image in images}
        with open(options.photos / "index.csv", encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["file"] in learned]
        lines = [
            "| "
            + " | ".join(cell(row.get(name) or "not named") for name in ("file", "attribution", "licence", "origin"))
            + " |"
            for row in sorted(rows, key=lambda row: row["file"])
        ]
    except (ValueError, OSError) as error:
        print(f"photos.py: {error}", file=sys.stderr)
        return 2
    text = HEAD.format(number=len(rows), text=sum(learned[row["file"]] for row in rows)) + "\n".join(lines) + "\n"
    options.target.write_text(text, encoding="utf-8")
    print(f"{options.target}: {len(rows)} photographs")
    return 0


def cell(text):
    """A value as it may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
