"""`kgan makeup`."""

import argparse
import os
from functools import partial
from pathlib import Path

from kgan.cli.rows import STATUSES, check_limits, limit_arguments, run_all
from kgan.faces import PARTS
from kgan.runtime.inputs import ARCHIVES, expand

SUMMARY = "transfer the makeup of a reference photo to other photos"
MORE = """
If SOURCE is one photo, OUT may be a file or a folder, and its row is printed if it is a file. Otherwise OUT is a
folder, and OUT/makeup.jsonl has a row for each photo: path, the file written, status, and how many faces were found
and painted. In OUT, a file that is in the way is kept, and the new one is numbered: a-2.jpg.

Pixels outside the face are not painted. Format, size, transparency, EXIF data and colour profile are kept; JPEG, lossy
WebP, AVIF, HEIC and GIF files change a little wherever they are written again, and 16 bits become 8.
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


def add_arguments(parser):
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
    frames = "the photos are frames of a film, in order of their names, or as in the archive: follow the largest face"
    add("--frames", action="store_true", help=frames)
    limit_arguments(parser)


def check_places(options, paths, suffixes, sheet):
    """Returns whether --out is a file; raises a ValueError for a SOURCE, --out or --save-look that cannot be used."""
    source, out, look = options.source, options.out, options.save_look
    if paths == [source] and not os.path.lexists(source):
        raise ValueError(f"SOURCE {source!r}: no such file or folder")
    suffix = os.path.splitext(out)[1].lower()
    single = os.path.isfile(source) and not source.lower().endswith(ARCHIVES)
    to_file = single and suffix in suffixes and not os.path.isdir(out)
    if not to_file and not os.path.isdir(out):
        if os.path.exists(out) or suffix in (*suffixes, ".mp4", ".mov"):
            files = "a folder" + (f", or a file that ends in {', '.join(suffixes)}" if single else "")
            raise ValueError(f"--out {out}: pass {files}")
    # Of a pattern such as "photos/**/*.jpg", what an earlier run wrote would be sources, too.
    if any(Path(path).resolve().is_relative_to(Path(out).resolve()) for path in paths):
        raise ValueError(f"--out {out} is or holds a source: pass another name")
    for place in [out, *[out + sheet] * options.side_by_side] if to_file else ():
        for name, other in ("SOURCE", source), ("REFERENCE", options.reference):
            if os.path.realpath(place) == os.path.realpath(other):
                raise ValueError(f"--out {out} would replace {name} {other}: pass another name")
        if os.path.exists(place) and not options.overwrite:
            raise ValueError(f"{place} exists: pass --overwrite to replace it, or another --out")
    if not to_file and options.overwrite and Path(options.reference).resolve().is_relative_to(Path(out).resolve()):
        raise ValueError(f"--out {out} holds REFERENCE {options.reference}, which --overwrite may remove: move it")
    if look:
        if not look.lower().endswith(".npz"):
            raise ValueError(f"--save-look {look}: pass a name that ends in .npz")
        if os.path.isdir(look):
            raise ValueError(f"--save-look {look} is a folder: pass another name")
        if not os.path.isdir(os.path.dirname(look) or "."):
            raise ValueError(f"--save-look {look}: there is no folder {os.path.dirname(look)}")
    return to_file


def keep_look(path, look, overwrite):
    """Writes a look, unless a file is in the way that holds another one: a continued run has written it before."""
    from kgan.faces.look import load_look, save_look
    from kgan.faces.makeup import digest

    if os.path.exists(path) and not overwrite:
        try:
            same = digest(load_look(path)) == digest(look)
        except ValueError:
            same = False
        if not same:
            raise ValueError(f"{path} exists: pass --overwrite to replace it, or another --save-look")
    save_look(path, look)


def execute(options):
    from kgan.faces import makeup  # needs SciPy, which the filter does without
    from kgan.faces.photo import SUFFIXES

    limits = check_limits(options)
    strengths = {part: getattr(options, part) for part in options.parts}
    every = options.faces == "all"
    makeup.check_strengths(options.shade, strengths)
    wish = makeup.Wish(options.shade, strengths, options.keep_skin_tone, every, options.side_by_side)
    if options.frames and every:
        raise ValueError("--frames follows the largest face: leave out --faces all")
    paths, out = expand(options.source), options.out
    to_file = check_places(options, paths, SUFFIXES, makeup.SHEET)
    look, reference = makeup.read_reference(options.reference, limits)
    if options.save_look:
        keep_look(options.save_look, look, options.overwrite)
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
