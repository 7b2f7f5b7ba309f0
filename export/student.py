"""Makes the model files that the package ships from a trained student.

    python export/student.py runs/textfilter_student/student.keras

Beside the model lies `student.json` with its licence and data card: `{"licence": "...", "data_card": "..."}`. The files
go to kgan/filter, and what they differ from Keras in to the screen. Exit status 1, and nothing is
changed, when a file decides otherwise than Keras on more than 0.5 % of the images, or when they have more than 500 kB
together.
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
        # In the target's own file system, so that files can be renamed into place.
        with tempfile.TemporaryDirectory(prefix=".student-", dir=options.target) as folder:
            export_text_filter(options.model, folder, tuple(options.kinds), images=options.images)
            made = [Path(folder, f"student-{kind}.tflite") for kind in options.kinds]
            if missing := [path.name for path in made if not path.exists()]:
                raise ValueError(f"no {', '.join(missing)}: the model's name is not 'student'")
            size = sum(path.stat().st_size for path in made)
            if size > MOST_BYTES:
                raise RuntimeError(f"{size} bytes together, {MOST_BYTES} allowed")
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
