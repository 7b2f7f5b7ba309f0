"""`kgan export`."""

import os

from kgan.export import FLOATS, MODELS, QUANTISATIONS, export_generator, export_text_filter
from kgan.runtime.keras_files import class_of

SUMMARY = "convert a trained student of the text filter, or a generator of images, to SavedModel and LiteRT"
MORE = f"""
A student: a JSON file next to the model (student.json for student.keras) may provide "thresholds", "licence",
"data_card" and "measured", what these thresholds did on photographs, for the LiteRT files. Missing thresholds are
measured on generated scenes.

A generator ({", ".join(MODELS[:5])},
{", ".join(MODELS[5:])}): that file may provide "class_names", "licence" and
"data_card"; a preset has them itself. The files are float32 and float16; parity.png shows what each draws.

Exit status: 0 success; 1 LiteRT lacks an operator, or a converted file changes more than 0.5 % of a student's decisions
by more than chance explains, or 0.5 % of a generator's values by more than a grey level, so that nothing is written; 2
invalid command.
"""


def add_arguments(parser):
    add = parser.add_argument
    model = ".keras file of a student or generator, saved with any backend; or a preset: name in the package, or folder"
    add("model", metavar="MODEL|PRESET", help=model)
    add("--out", metavar="DIR", required=True, help="folder for the files and the report that compares them")
    quantisation = "LiteRT files to write (default: all; a generator has no int8)"
    add("--quantisation", nargs="+", choices=QUANTISATIONS, help=quantisation)
    images = "folder or zip archive of typical photos for a student's int8 calibration (default: generated scenes)"
    add("--images", metavar="PATH", help=images)
    add("--calibration", type=int, metavar="N", help="number of these photos (default: 400)")


def execute(options):
    if of_generator(options.model):
        for name in ("images", "calibration"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} is for students of the text filter: leave it out")
        report = export_generator(options.model, options.out, options.quantisation or FLOATS)
        for file in report["files"].values():
            for name, found in file["signatures"].items():
                changed = f"{found['changed']:.2%} of values changed, by at most {found['max_difference']:.2g}"
                print(f"{os.path.join(options.out, file['name'])}, {name}: {changed}")
        return
    calibration = 400 if options.calibration is None else options.calibration
    report = export_text_filter(
        options.model,
        options.out,
        options.quantisation or QUANTISATIONS,
        images=options.images,
        calibration=calibration,
    )
    for found in report["files"].values():
        changed = max(found["changed"].values())
        path = os.path.join(options.out, found["name"])
        print(f"{path}: {changed:.2%} of decisions changed, scores differ by at most {found['max_difference']:.2g}")


def of_generator(model):
    """Whether a file holds a generator. Of one that cannot be read, the export of a student says what is wrong."""
    if not model.endswith(".keras"):
        return True  # or else no preset, of which the export of a generator says so
    try:
        return class_of(model).removeprefix("kgan>") in MODELS
    except ValueError:
        return False
