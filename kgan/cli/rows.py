"""What the commands share that give a row for each image: arguments, limits, progress and the help on statuses."""

import codecs
import collections
import contextlib
import itertools
import json
import os
import re
import sys
import time

from tqdm import tqdm

from kgan.runtime.files import Limits
from kgan.runtime.inputs import expand
from kgan.runtime.journal import Journal

LIMITS = ("max-megapixels", "max-megabytes", "max-seconds")
STATUSES = """
  ok            {ok}{more}
  empty         the file has no bytes
  not_an_image  the file does not start like any known image format
  unsupported   an image of another format or kind (12-bit JPEG), or an unsupported compression method in an archive
  needs_pillow_heif  a HEIC photo: pip install pillow-heif
  truncated     the file ends before its last pixel
  damaged       the image or the archive is corrupt
  too_large     the image exceeds --max-megapixels (JPEG 2000: a quarter of them) or --max-megabytes, or decoding runs
                out of memory
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
        'image, folder, zip or tar archive, Parquet file with images, or pattern such as "photos/**/*.jpg"; '
        "- reads paths from standard input, separated by line ends or NUL"
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


def check_threshold(options):
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise ValueError(f"--threshold {options.threshold}: pass a score from 0 to 1")


def check_run(options):
    """Returns the paths and the `Limits` of a run that gives rows, or raises ValueError."""
    limits = check_limits(options)
    check_threshold(options)
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
    images = hits = new = 0
    statuses = collections.Counter()
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(options.out, columns, asked, options.overwrite)) if options.out else None
        bar = stack.enter_context(tqdm(unit=" images", disable=hide, file=sys.stderr, smoothing=0.05))
        for row, old in rows(journal):
            images += 1
            hits += is_found(row)
            statuses[row["status"]] += 1
            if not old:
                new += 1
                bar.update()
                if journal is None and shown:
                    print(json.dumps(row), flush=True)
        if journal:
            journal.finish()
    failed = {status: count for status, count in statuses.most_common() if status not in ("ok", "partial")}
    if failed:
        print("not ok: " + ", ".join(f"{count} {status}" for status, count in failed.items()), file=sys.stderr)
    rate = new / (time.perf_counter() - started)
    plural = "" if images == 1 else "s"
    counts = f"{images} image{plural}: {hits} {found}, {sum(failed.values())} not ok"
    print(f"{counts}; {new} in this run, {rate:.1f} images/s", file=sys.stderr)
    return set(statuses)


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
