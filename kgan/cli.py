"""The `kgan` command: `kgan filter`, `kgan tag`, `kgan makeup` and `kgan export`."""

import argparse
import codecs
import contextlib
import importlib
import itertools
import json
import os
import re
import sys
import time
import warnings
from functools import partial
from pathlib import Path

from tqdm import tqdm

from kgan.export import QUANTISATIONS, export_text_filter
from kgan.faces import PARTS
from kgan.filter.labels import match, read_labels
from kgan.filter.run import COLUMNS, REGIONS, run
from kgan.filter.text_filter import TextFilter
from kgan.runtime.files import Limits
from kgan.runtime.inputs import TAR, ZIP, expand
from kgan.runtime.journal import Journal
from kgan.runtime.litert import quiet

STATUSES = """
  ok            {ok}{more}
  empty         the file has no bytes
  not_an_image  the file does not start like any known image format
  unsupported   an image of another format or kind (12-bit JPEG), or an unsupported compression method in an archive
  needs_pillow_heif  a HEIC photo: pip install pillow-heif
  truncated     the file ends before its last pixel
  damaged       the image or the archive is corrupt
  too_large     the image exceeds --max-megapixels or --max-megabytes, or decoding runs out of memory
  missing       the file does not exist
  unreadable    access is denied, the archive member is encrypted, or reading failed
  not_a_file    a pipe, socket or device; in an archive also a link
  unsafe_name   the name of an archive member leads outside the archive
  crashed       decoding crashed or took longer than --max-seconds

The formats JPEG, PNG, WebP, AVIF, TIFF, JPEG 2000, GIF and BMP are recognised by content, not by file name, as is HEIC,
which needs the package pillow-heif.{several}
Hidden files in folders are skipped, and archives in folders are not opened.

To continue a stopped run with --out, repeat the command. Every image gets exactly one row.

Exit status: 0 success, even if some images could not be read; 1 input or output error, such as a full disk{none}; 2
invalid command; 130 stopped with Ctrl-C.
"""

FIRST = " Of several pictures in a file, such as pages, the first counts."


def run_arguments(parser):
    """Adds the arguments of commands that give a row for each image."""
    add = parser.add_argument
    images = (
        'image, folder, zip or tar archive, or pattern such as "photos/**/*.jpg"; - reads paths from standard input, '
        "separated by line ends or NUL"
    )
    add("paths", nargs="+", metavar="PATH", help=images)
    add(
        "--out",
        metavar="FILE",
        help=".jsonl, .csv or .parquet file for the rows (default: JSON lines on standard output)",
    )
    add("--overwrite", action="store_true", help="replace the file of --out instead of continuing it")
    limit_arguments(parser)


def limit_arguments(parser):
    """Adds the arguments of commands that read many files."""
    add = parser.add_argument
    add("--processes", type=int, metavar="N", help="number of worker processes (default: one per processor)")
    add("--max-megapixels", type=float, default=100, metavar="N", help="largest image to decode (default: %(default)s)")
    add("--max-megabytes", type=float, default=64, metavar="N", help="largest file to read (default: %(default)s)")
    add("--max-seconds", type=float, default=60, metavar="N", help="processor time per image (default: %(default)s)")


def check_limits(options):
    """Returns the `Limits` of a run, or raises ValueError."""
    for name in ("processes", "max_megapixels", "max_megabytes", "max_seconds"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 1e9:
            raise ValueError(f"--{name.replace('_', '-')} {value}: pass a number above 0")
    return Limits(int(options.max_megapixels * 1e6), int(options.max_megabytes * 1e6), options.max_seconds)


def check_run(options):
    """Returns the paths and the `Limits` of a run that gives rows, or raises ValueError."""
    limits = check_limits(options)
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise ValueError(f"--threshold {options.threshold}: pass a score from 0 to 1")
    if not options.out and getattr(sys.stdout, "name", None) == os.devnull:
        raise ValueError("there is no standard output: pass --out")
    if options.paths.count("-") > 1:
        raise ValueError("standard input can be read only once: pass - once")
    paths = itertools.chain.from_iterable([listed() if path == "-" else expand(path) for path in options.paths])
    return paths, limits


def run_all(options, columns, asked, rows, is_found, found, shown=True):
    """Writes the rows of a run, shows its progress, and says at its end what was found.

    Args:
        columns: of the rows, as for `Journal`.
        asked: dict of what the rows depend on, the limits aside.
        rows: function of a `Journal`, or None, that yields `(row, whether it is of an earlier run)`.
        is_found: function of a row that says whether to count it.
        found: what is counted, such as "with text".
        shown: whether rows are printed where there is no --out.

    Returns:
        Set of the statuses of all rows.
    """
    asked |= {name: getattr(options, name.replace("-", "_")) for name in LIMITS}
    # A progress bar would break up rows printed to a terminal.
    hide = True if not options.out and sys.stdout.isatty() else None
    images = hits = failures = new = 0
    statuses = set()
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(options.out, columns, asked, options.overwrite)) if options.out else None
        bar = stack.enter_context(tqdm(unit=" images", disable=hide, file=sys.stderr, smoothing=0.05))
        for row, old in rows(journal):
            images += 1
            hits += is_found(row)
            failures += row["status"] not in ("ok", "partial")
            statuses.add(row["status"])
            if not old:
                new += 1
                bar.update()
                if journal is None and shown:
                    print(json.dumps(row), flush=True)
        if journal:
            journal.finish()
    rate = new / (time.perf_counter() - started)
    plural = "" if images == 1 else "s"
    summary = f"{images} image{plural}: {hits} {found}, {failures} not ok; {new} in this run, {rate:.1f} images/s"
    print(summary, file=sys.stderr)
    return statuses


LIMITS = ("max-megapixels", "max-megabytes", "max-seconds")
FILTER = "find the images that contain text"
FILTER_MORE = (
    "Each image gives one row with its path, score (0 to 1), decision (text or no_text) and status:\n"
    + STATUSES.format(ok="the image was scored", more="", none="", several=FIRST)
)


def filter_arguments(parser):
    run_arguments(parser)
    add = parser.add_argument
    add("--regions", action="store_true", help="add the scores of the 34 image regions to the rows")
    add("--copy-to", metavar="DIR", help="copy images with text to this folder; existing files are kept")
    add("--overlay", metavar="DIR", help="write a heat map of each image to this folder")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--recall", type=float, help="use the threshold for this recall (default: best F-measure)")
    level.add_argument("--threshold", type=float, metavar="SCORE", help="lowest score of an image with text, 0 to 1")
    add("--model", metavar="FILE", help="a .tflite file from `kgan export` (default: the included model)")
    labels = (
        "CSV file with the columns file and label (text or no_text): print how good the filter is on these images, and "
        "the threshold to take; with --out, also write the curve of precision and recall, a .png file beside it"
    )
    add("--evaluate", metavar="FILE", help=labels)


def filter_images(options):
    if options.evaluate:
        with quiet():
            importlib.import_module("kgan.metrics.evaluation")  # needs Keras: say so before the run
        labels = read_labels(options.evaluate)
    curve = options.evaluate and options.out and Path(options.out).with_suffix(".evaluation.png")
    paths, limits = check_run(options)
    text_filter = TextFilter.load(options.model)
    threshold = text_filter.threshold(options.recall) if options.threshold is None else options.threshold
    asked = {
        "model": text_filter.metadata["digest"],
        "threshold": threshold,
        "regions": options.regions,
        "copy-to": options.copy_to,
        "overlay": options.overlay,
    }
    rows = partial(
        run,
        text_filter,
        paths,
        threshold=threshold,
        regions=options.regions,
        copy_to=options.copy_to,
        overlay=options.overlay,
        processes=options.processes,
        limits=limits,
        ours=[curve] if curve else [],
    )
    columns = COLUMNS | REGIONS if options.regions else COLUMNS
    kept = []

    def all_rows(journal):
        for row, old in rows(journal):
            if options.evaluate:
                kept.append({key: row[key] for key in ("path", "score", "status")})
            yield row, old

    is_text, shown = lambda row: row["decision"] == "text", not options.evaluate
    run_all(options, columns, asked, all_rows, is_text, "with text", shown)
    if options.evaluate:
        folders = [os.path.dirname(options.evaluate) or ".", *filter(os.path.isdir, options.paths)]
        evaluate(match(labels, kept, folders), threshold, curve)


def evaluate(found, threshold, curve):
    """Prints what a filter did to labelled images, and writes the curve to a file, if it is not None."""
    from kgan.metrics.evaluation import evaluation_curve, evaluation_table

    for what, names in (
        ("in the label file, but not among the images", found.missing),
        ("not scored", [f"{name} ({status})" for name, status in found.unscored]),
        ("of one label, left out; write their paths in the label file", found.shared),
        ("without a label, left out", found.unlabelled),
    ):
        if names:
            more = ", ..." if len(names) > 3 else ""
            print(f"kgan filter: {len(names)} {what}: {', '.join(names[:3])}{more}", file=sys.stderr)
    if found.text.all() or not found.text.any():
        counts = f"{found.text.sum()} images with text and {(~found.text).sum()} without"
        raise ValueError(f"--evaluate: the label file fits {counts}, of those that were scored: both kinds are needed")
    print(evaluation_table(found.text, found.scores, threshold))
    if curve:
        evaluation_curve(curve, found.text, found.scores)
        print(f"\n{curve}")


TAG = "name what is in images, with a multi-label classifier of your own"
TAG_MORE = """
Each image gives one row with its path, its labels (the most probable first, separated by semicolons), a score from 0
to 1 for each class, and its status:
""" + STATUSES.format(ok="the image was tagged", more="", none="", several=FIRST)


def tag_arguments(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help=".keras file of a kgan.soft_pseudo_labels.MultiLabelClassifier")
    run_arguments(parser)
    level = "probability above which a class is a label, 0 to 1 (default: those that are saved with the model)"
    add("--threshold", type=float, metavar="SCORE", help=level)
    most = "the K most probable classes; with --threshold, those of them that are above it"
    add("--top-k", type=int, metavar="K", help=most)


def tag_images(options):
    paths, limits = check_run(options)
    from kgan.models.soft_pseudo_labels.tagger import Tagger  # imports Keras, which the filter does without

    tagger = Tagger(options.model, options.threshold, options.top_k)
    asked = {"model": tagger.digest, "threshold": options.threshold, "top-k": options.top_k}
    rows = partial(tagger.rows, paths, processes=options.processes, limits=limits)
    run_all(options, tagger.columns, asked, rows, lambda row: bool(row["labels"]), "with labels")


def listed():
    """Yields the paths on standard input, one per line, or separated by NUL as `find -print0` writes them."""
    stream = sys.stdin.buffer
    part = stream.read(4)
    utf16 = None
    if part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes files
        utf16 = codecs.getincrementaldecoder("utf-16")()
    elif b"\0" in (part[:1], part[1:2]) and b"\0" in (part[2:3], part[3:4]):
        raise ValueError("standard input is UTF-16 without a byte order mark: pass the list in UTF-8")
    part = part.removeprefix(codecs.BOM_UTF8)
    rest, separator = b"", None
    while part:
        rest += utf16.decode(part).encode("utf-8", "surrogatepass") if utf16 else part
        if separator is None and (found := re.search(rb"[\n\0]", rest)):
            separator = found[0]
        if separator:
            *paths, rest = rest.split(separator)
            yield from map(os.fsdecode, filter(None, (path.removesuffix(b"\r") for path in paths)))
        part = stream.read1(2**16)
    if rest:
        yield os.fsdecode(rest)


MAKEUP = "transfer the makeup of a reference photo to other photos"
MAKEUP_MORE = """
If SOURCE is one photo, OUT may be a file or a folder, and its row is printed if it is a file. Otherwise OUT is a
folder, and OUT/makeup.jsonl has a row for each photo: path, the file written, status, and how many faces were found
and painted. In OUT, a file that is in the way is kept, and the new one is numbered: a-2.jpg.

Pixels outside the face are not painted. Format, size, transparency, EXIF data and colour profile are kept; JPEG and
lossy WebP files change a little wherever they are written again, and 16 bits become 8.
""" + STATUSES.format(
    ok="the face was made up",
    more="""
  partial       the same, of a face that is cut off by the edge of the photo
  no_face       no face was found
  too_small     the face is smaller than 24 pixels
  turned_away   less than 60 % of the face is turned to the camera""",
    none=", or no photo was made up",
    several="",
).replace("(12-bit JPEG)", "(12-bit JPEG, animation, several pages)")


def makeup_arguments(parser):
    add = parser.add_argument
    source = 'photo, folder, zip or tar archive, or pattern in quotes, such as "photos/*.jpg"'
    add("source", metavar="SOURCE", help=source)
    add("reference", metavar="REFERENCE", help="photo with the makeup, or an .npz file from --save-look")
    add("--out", metavar="OUT", required=True, help="folder for the photos; for one photo also a file")
    overwrite = "start again, and first remove what the earlier run wrote to OUT; replace files of that name"
    add("--overwrite", action="store_true", help=overwrite)
    add("--shade", type=float, default=1.0, metavar="S", help="strength of the makeup, 0 to 1 (default: %(default)s)")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to make up (default: all)")
    for part, what in zip(PARTS, ("the lips", "the eyelids", "the skin, such as blush"), strict=True):
        add(f"--{part}", type=float, default=1.0, metavar="S", help=f"strength on {what} (default: %(default)s)")
    keep = "keep the skin tone of the source (default), or use that of the reference"
    add("--keep-skin-tone", action=argparse.BooleanOptionalAction, default=True, help=keep)
    add("--faces", choices=("largest", "all"), default="largest", help="faces to make up (default: %(default)s)")
    add("--side-by-side", action="store_true", help="also write NAME.side-by-side.png: source, reference and result")
    add("--save-look", metavar="FILE", help="also write the makeup of the reference to this .npz file, to use again")
    add("--frames", action="store_true", help="the photos are frames of a film, by name: follow the largest face")
    limit_arguments(parser)


def check_places(options, paths, suffixes):
    """Returns whether --out is a file; raises a ValueError for a SOURCE, --out or --save-look that cannot be used."""
    source, out, look = options.source, options.out, options.save_look
    if paths == [source] and not os.path.lexists(source):
        raise ValueError(f"SOURCE {source!r}: no such file or folder")
    suffix = os.path.splitext(out)[1].lower()
    single = os.path.isfile(source) and not source.lower().endswith(ZIP + TAR)
    to_file = single and suffix in suffixes and not os.path.isdir(out)
    if not to_file and not os.path.isdir(out):
        if os.path.exists(out) or suffix in (*suffixes, ".mp4", ".mov"):
            files = "a folder" + (f", or a file that ends in {', '.join(suffixes)}" if single else "")
            raise ValueError(f"--out {out}: pass {files}")
    # Of a pattern such as "photos/**/*.jpg", what an earlier run wrote would be sources, too.
    if any(Path(path).resolve().is_relative_to(Path(out).resolve()) for path in paths):
        raise ValueError(f"--out {out} is or holds a source: pass another name")
    if to_file and os.path.exists(out) and not options.overwrite:
        raise ValueError(f"{out} exists: pass --overwrite to replace it, or another --out")
    if look:
        if not look.lower().endswith(".npz"):
            raise ValueError(f"--save-look {look}: pass a name that ends in .npz")
        if not os.path.isdir(os.path.dirname(look) or "."):
            raise ValueError(f"--save-look {look}: there is no folder {os.path.dirname(look)}")
        if os.path.exists(look) and not options.overwrite:
            raise ValueError(f"{look} exists: pass --overwrite to replace it, or another --save-look")
    return to_file


def make_up_photos(options):
    from kgan.faces import makeup  # needs SciPy, which the filter does without
    from kgan.faces.look import save_look
    from kgan.faces.photo import SUFFIXES

    limits = check_limits(options)
    strengths = {part: getattr(options, part) for part in options.parts}
    every = options.faces == "all"
    makeup.check_strengths(options.shade, strengths)
    wish = makeup.Wish(options.shade, strengths, options.keep_skin_tone, every, options.side_by_side)
    if options.frames and every:
        raise ValueError("--frames follows the largest face: leave out --faces all")
    paths, out = expand(options.source), options.out
    to_file = check_places(options, paths, SUFFIXES)
    look, reference = makeup.read_reference(options.reference, limits)
    if options.save_look:
        save_look(options.save_look, look)
    options.out = None if to_file else os.path.join(out, makeup.JOURNAL)
    if not to_file:
        os.makedirs(out, exist_ok=True)
        if options.overwrite:
            makeup.remove_earlier(out)
    asked = {name: getattr(options, name.replace("-", "_")) for name in makeup.OPTIONS}
    asked |= {"parts": [*options.parts], "reference": makeup.digest(look)}
    rows = partial(
        makeup.run,
        paths,
        out=out,
        suffix=os.path.splitext(out)[1] if to_file else None,
        look=look,
        reference=reference,
        wish=wish,
        frames=options.frames,
        processes=options.processes,
        limits=limits,
    )
    statuses = run_all(options, makeup.COLUMNS, asked, rows, lambda row: row["painted"] > 0, "made up")
    if not statuses:
        raise RuntimeError(f"{options.source} holds no photos")
    if not statuses & {"ok", "partial"}:
        raise RuntimeError(f"{options.source}: no photo was made up: {', '.join(sorted(statuses)).replace('_', ' ')}")


EXPORT = "convert a trained student of the text filter to SavedModel and LiteRT"
EXPORT_MORE = """
A JSON file next to the model (student.json for student.keras) may provide "thresholds", "licence" and "data_card" for
the LiteRT files. Missing thresholds are measured on generated scenes.

Exit status: 0 success; 1 LiteRT lacks an operator, or a converted file changes more than 0.5 % of the decisions, so
that nothing is written; 2 invalid command.
"""


def export_arguments(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help=".keras file of a student, saved with any backend")
    add("--out", metavar="DIR", required=True, help="folder for the files and the report that compares them")
    quantisation = "LiteRT files to write (default: all)"
    add("--quantisation", nargs="+", choices=QUANTISATIONS, default=QUANTISATIONS, help=quantisation)
    images = "folder or zip archive of typical photos for int8 calibration (default: generated scenes)"
    add("--images", metavar="PATH", help=images)
    add("--calibration", type=int, default=400, metavar="N", help="number of these photos (default: %(default)s)")


def export_model(options):
    report = export_text_filter(
        options.model, options.out, options.quantisation, images=options.images, calibration=options.calibration
    )
    for found in report["files"].values():
        changed = max(found["changed"].values())
        path = os.path.join(options.out, found["name"])
        print(f"{path}: {changed:.2%} of decisions changed, scores differ by at most {found['max_difference']:.2g}")


# Name: summary, epilog of the help, function that adds the arguments to a parser, function that runs the command.
COMMANDS = {
    "filter": (FILTER, FILTER_MORE, filter_arguments, filter_images),
    "tag": (TAG, TAG_MORE, tag_arguments, tag_images),
    "makeup": (MAKEUP, MAKEUP_MORE, makeup_arguments, make_up_photos),
    "export": (EXPORT, EXPORT_MORE, export_arguments, export_model),
}


def main(arguments=None):
    """Runs one of the `COMMANDS`.

    Args:
        arguments: list of str; None for `sys.argv[1:]`.

    Returns:
        Exit status; the help of each command lists the values.

    Example:

    ```python
    main(["filter", "photos", "--out", "rows.jsonl"])
    ```
    """
    open_standard_streams()
    parser = argparse.ArgumentParser("kgan", description="Command-line tools of kgan.")
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
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: tqdm.write(f"kgan {options.command}: {message}", sys.stderr)
            COMMANDS[options.command][-1](options)
    except KeyboardInterrupt:
        print(f"kgan {options.command}: stopped; run again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the rows has closed the pipe. Without this, Python reports it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def open_standard_streams():
    """Opens the null device in place of the standard streams that are closed, as those of a daemon may be.

    Else the next file that is opened takes the number of such a stream, and gets what libraries write to it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)


if __name__ == "__main__":
    sys.exit(main())
