"""`kgan export`."""

import os

from kgan.export import QUANTISATIONS, export_text_filter

SUMMARY = "convert a trained student of the text filter to SavedModel and LiteRT"
MORE = """
A JSON file next to the model (student.json for student.keras) may provide "thresholds", "licence", "data_card" and
"measured", what these thresholds did on photographs, for the LiteRT files. Missing thresholds are measured on generated
scenes.

Exit status: 0 success; 1 LiteRT lacks an operator, or a converted file changes more than 0.5 % of the decisions by more
than chance explains, so that nothing is written; 2 invalid command.
"""


def add_arguments(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help=".keras file of a student, saved with any backend")
    add("--out", metavar="DIR", required=True, help="folder for the files and the report that compares them")
    quantisation = "LiteRT files to write (default: all)"
    add("--quantisation", nargs="+", choices=QUANTISATIONS, default=QUANTISATIONS, help=quantisation)
    images = "folder or zip archive of typical photos for int8 calibration (default: generated scenes)"
    add("--images", metavar="PATH", help=images)
    add("--calibration", type=int, default=400, metavar="N", help="number of these photos (default: %(default)s)")


def execute(options):
    report = export_text_filter(
        options.model, options.out, options.quantisation, images=options.images, calibration=options.calibration
    )
    for found in report["files"].values():
        changed = max(found["changed"].values())
        path = os.path.join(options.out, found["name"])
        print(f"{path}: {changed:.2%} of decisions changed, scores differ by at most {found['max_difference']:.2g}")
