"""Makes the packaged model files from a trained student.

    python export/student.py runs/textfilter_student/student.keras

The model's folder also holds `student.json` with the licence and data card:
`{"licence": "...", "data_card": "..."}`, and with what else `kgan export` reads there. The script writes the files to
kgan/filter and prints their deviation from Keras. It changes nothing and exits with status 1 if the decisions of a file
differ from those of Keras on more than 0.5 % of the images by more than chance explains, or if the files together
exceed 500 kB.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from kgan.export import export_text_filter, read_card
from kgan.filter.text_filter import SHIPPED

KINDS = ("float32", "int8")
MOST_BYTES = 500_000


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help=".keras file of a trained TextStudent")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="which files to make (default: both)")
    parser.add_argument("--images", metavar="PATH", help="folder or zip of photos to measure int8's ranges on")
    parser.add_argument("--target", type=Path, default=SHIPPED.parent, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if not {"licence", "data_card"} <= set(read_card(options.model.with_suffix(".json"))):
            raise ValueError(f"{options.model.with_suffix('.json')} must state licence and data_card")
        # A folder in the target's file system allows the files to be renamed into place.
        with tempfile.TemporaryDirectory(prefix=".student-", dir=options.target) as folder:
            export_text_filter(options.model, folder, tuple(options.kinds), images=options.images)
            made = [Path(folder, f"student-{kind}.tflite") for kind in options.kinds]
            if missing := [path.name for path in made if not path.exists()]:
                raise ValueError(f"no {', '.join(missing)}: the model's name must be 'student'")
            size = sum(path.stat().st_size for path in made)
            if size > MOST_BYTES:
                raise RuntimeError(f"the files have {size} bytes together, more than the limit of {MOST_BYTES}")
            print(Path(folder, "report.md").read_text())
            for path in made:
                os.replace(path, options.target / path.name)
    except (ValueError, FileNotFoundError) as error:
        print(f"student.py: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"student.py: {error}", file=sys.stderr)
        return 1
    print(f"{size} bytes together")
    return 0


if __name__ == "__main__":
    sys.exit(main())
