"""The command `kgan`: `kgan filter PATH...` and `kgan export MODEL`."""

import argparse
import contextlib
import itertools
import json
import os
import sys
import time

from tqdm import tqdm

from kgan.export import QUANTISATIONS, export_text_filter
from kgan.filter.run import COLUMNS, REGIONS, run
from kgan.filter.text_filter import TextFilter
from kgan.runtime.files import Limits
from kgan.runtime.inputs import expand
from kgan.runtime.journal import Journal

FILTER = "list which photos hold text"
FILTER_MORE = """
Each image gives one row: path, score (0 to 1), decision (text or no_text), and status: ok, or why there is no score
(empty, not_an_image, unsupported, truncated, damaged, too_large, missing, unreadable, not_a_file, unsafe_name,
crashed). JPEG, PNG, WebP, GIF and BMP are read, told by content and not by name. In folders, hidden files are passed
over and archives are not opened.

A run with --out that was stopped is continued by the same command; each image gets exactly one row.

Exit status: 0 done, also where images could not be read; 1 reading or writing failed, such as on a full disk;
2 the command cannot be carried out; 130 stopped by Ctrl-C.
"""


def filter_arguments(parser):
    add = parser.add_argument
    images = 'image, folder, pattern such as "photos/**/*.jpg", zip or tar archive; or - for a list on standard input'
    add("paths", nargs="+", metavar="PATH", help=images)
    add("--out", metavar="FILE", help="rows: .jsonl, .csv or .parquet; without it JSON lines on standard output")
    add("--overwrite", action="store_true", help="begin --out anew instead of continuing it")
    add("--regions", action="store_true", help="add the scores of the 34 regions to the rows")
    add("--copy-to", metavar="DIR", help="copy the images with text there; no other file there is overwritten")
    add("--overlay", metavar="DIR", help="write a heat map of each image there")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--recall", type=float, help="take the model's threshold for this recall, not for the best F")
    level.add_argument("--threshold", type=float, help="score from 0 to 1 from which on an image holds text")
    add("--model", metavar="FILE", help="a .tflite file of `kgan export`; without it the one in the package")
    add("--processes", type=int, help="number of processes; without it one per processor")
    add("--max-megapixels", type=float, default=100, help="larger images are not decoded (%(default)s)")
    add("--max-megabytes", type=float, default=64, help="larger files are not read (%(default)s)")
    add("--max-seconds", type=float, default=60, help="processor time that one image may take (%(default)s)")


def filter_images(options):
    for name in ("processes", "max_megapixels", "max_megabytes", "max_seconds"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 1e9:
            raise ValueError(f"--{name.replace('_', '-')} {value}: pass a number above 0")
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise ValueError(f"--threshold {options.threshold}: pass a score from 0 to 1")
    if options.paths.count("-") > 1:
        raise ValueError("standard input can be read once: pass - once")
    paths = itertools.chain.from_iterable([listed() if path == "-" else expand(path) for path in options.paths])
    text_filter = TextFilter.load(options.model)
    threshold = text_filter.threshold(options.recall) if options.threshold is None else options.threshold
    asked = {
        "model": text_filter.metadata["digest"],
        "threshold": threshold,
        "regions": options.regions,
        "copy-to": options.copy_to,
        "overlay": options.overlay,
        "max-megapixels": options.max_megapixels,
        "max-megabytes": options.max_megabytes,
        "max-seconds": options.max_seconds,
    }
    limits = Limits(int(options.max_megapixels * 1e6), int(options.max_megabytes * 1e6), options.max_seconds)
    # Rows on the screen and a bar in between are no use to anyone.
    hide = True if not options.out and sys.stdout.isatty() else None
    images = texts = failures = new = 0
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        columns = COLUMNS | REGIONS if options.regions else COLUMNS
        journal = stack.enter_context(Journal(options.out, columns, asked, options.overwrite)) if options.out else None
        bar = stack.enter_context(tqdm(unit=" images", disable=hide, file=sys.stderr, smoothing=0.05))
        for row, old in run(
            text_filter,
            paths,
            journal,
            threshold=threshold,
            regions=options.regions,
            copy_to=options.copy_to,
            overlay=options.overlay,
            processes=options.processes,
            limits=limits,
        ):
            images += 1
            texts += row["decision"] == "text"
            failures += row["status"] != "ok"
            if not old:
                new += 1
                bar.update()
                if journal is None:
                    print(json.dumps(row), flush=True)
        if journal:
            journal.finish()
    rate = new / (time.perf_counter() - started)
    found = f"{images} images: {texts} with text, {failures} not ok; {new} in this run, {rate:.1f} images/s"
    print(found, file=sys.stderr)


def listed():
    """The paths on standard input, one in a line."""
    for line in sys.stdin.buffer:
        if path := line.rstrip(b"\r\n"):
            yield os.fsdecode(path)


EXPORT = "convert a trained student of the text filter to SavedModel and LiteRT"
EXPORT_MORE = """
A JSON file beside the model, student.json for student.keras, may hold "thresholds", "licence" and "data_card", which go
into the LiteRT files. Without thresholds there, they are measured on drawn scenes.

Exit status: 0 done; 1 an operator is not built into LiteRT, or a file decides otherwise than the model on more than
0.5 % of the images, and nothing is written; 2 the command cannot be carried out.
"""


def export_arguments(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help=".keras file of a student, saved on any backend")
    add("--out", metavar="DIR", required=True, help="folder for the files and the report of how they agree")
    quantisation = "which LiteRT files to make (all)"
    add("--quantisation", nargs="+", choices=QUANTISATIONS, default=QUANTISATIONS, help=quantisation)
    images = (
        "folder or zip archive of photos like those to be filtered, to measure the ranges of int8 on (drawn scenes)"
    )
    add("--images", metavar="PATH", help=images)
    add("--calibration", type=int, default=400, metavar="N", help="number of these images (%(default)s)")


def export_model(options):
    report = export_text_filter(
        options.model, options.out, options.quantisation, images=options.images, calibration=options.calibration
    )
    for found in report["files"].values():
        changed = max(found["changed"].values())
        path = os.path.join(options.out, found["name"])
        print(f"{path}: {changed:.2%} of decisions changed, scores by {found['max_difference']:.2g} at most")


# Name: what it does, function that adds its arguments to a parser, function of the parsed ones.
COMMANDS = {
    "filter": (FILTER, FILTER_MORE, filter_arguments, filter_images),
    "export": (EXPORT, EXPORT_MORE, export_arguments, export_model),
}


def main(arguments=None):
    """Runs a command of `COMMANDS`.

    Args:
        arguments: list of str; None for those of this process.

    Returns:
        Exit status.

    Example:

    ```python
    main(["filter", "photos", "--out", "rows.jsonl"])
    ```
    """
    parser = argparse.ArgumentParser("kgan", description="Tools of kgan.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (summary, more, add_arguments, _) in COMMANDS.items():
        add_arguments(
            commands.add_parser(
                name,
                help=summary,
                description=summary,
                epilog=more,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    options = parser.parse_args(arguments)
    try:
        COMMANDS[options.command][-1](options)
    except KeyboardInterrupt:
        print(f"kgan {options.command}: stopped; run again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the rows has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
