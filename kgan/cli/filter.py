"""`kgan filter`."""

import importlib
import os
import sys
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

from kgan.cli.rows import FIRST, STATUSES, check_limits, check_run, check_threshold, listed, run_all, run_arguments
from kgan.filter import cluster
from kgan.filter.labels import match, read_labels
from kgan.filter.run import COLUMNS, REGIONS, run
from kgan.filter.text_filter import TextFilter
from kgan.runtime.litert import quiet
from kgan.runtime.remote import is_remote

SUMMARY = "find the images that contain text"
MORE = (
    "Each image gives one row with its path, score (0 to 1), decision (text or no_text) and status:\n"
    + STATUSES.format(ok="the image was scored", more="", none="", several=FIRST)
)


def add_arguments(parser):
    run_arguments(parser)
    add = parser.add_argument
    add("--regions", action="store_true", help="add the scores of the 34 image regions to the rows")
    add("--copy-to", metavar="DIR", help="copy images with text to this folder; existing files are kept")
    add("--overlay", metavar="DIR", help="write a heat map of each image to this folder")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--recall", type=float, help="use the threshold for this recall (default: best F-measure)")
    level.add_argument(
        "--share", type=float, help="use the threshold that passes this share of images, where one in ten has text"
    )
    level.add_argument("--threshold", type=float, metavar="SCORE", help="lowest score of an image with text, 0 to 1")
    add("--model", metavar="FILE", help="a .tflite file from `kgan export` (default: the included model)")
    labels = (
        "CSV file with the columns file and label (text or no_text): print how good the filter is on these images, and "
        "the threshold to take; with --out, also write the curve of precision and recall, a .png file beside it"
    )
    add("--evaluate", metavar="FILE", help=labels)
    where = (
        "use the Ray cluster at this address, or all processors of this machine; PATHs and --out may be URIs such as "
        "s3://bucket/photos, and --out is a folder of Parquet files"
    )
    add("--ray", nargs="?", const="local", metavar="ADDRESS", help=where)


def execute(options):
    filter_on_ray(options) if options.ray else filter_here(options)


def filter_here(options):
    for place in (*options.paths, options.out or ""):
        if is_remote(place):
            raise ValueError(f"{place} is a URI: pass --ray, which reads and writes them")
    if options.evaluate:
        try:
            with quiet():
                importlib.import_module("kgan.metrics.evaluation")
        except ModuleNotFoundError as error:
            raise ImportError(f"--evaluate needs all of kgan, and {error.name} is missing: pip install kgan") from None
        labels = read_labels(options.evaluate)
    options.paths = [path.removeprefix("file://") for path in options.paths]
    curve = options.evaluate and options.out and Path(options.out).with_suffix(".evaluation.png")
    paths, limits = check_run(options)
    text_filter = TextFilter.load(options.model)
    threshold = chosen_threshold(text_filter, options)
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


def chosen_threshold(text_filter, options):
    """Returns the threshold of a run, and says how a stored one that was asked for did where it was measured."""
    if options.threshold is not None:
        return options.threshold
    stored = {"recall": options.recall, "share": options.share}
    threshold = text_filter.threshold(**stored)
    if any(share is not None for share in stored.values()) and (table := text_filter.measured(**stored)):
        print(table, file=sys.stderr)
    return threshold


def filter_on_ray(options):
    """Runs a job on a cluster, and shows its progress."""
    limits = check_limits(options)
    check_threshold(options)
    for name in ("copy_to", "overlay", "evaluate"):
        if getattr(options, name):
            raise ValueError(f"--{name.replace('_', '-')} does not go with --ray")
    if not options.out:
        raise ValueError("--ray writes a file for each part of the images: pass a folder as --out")
    if options.paths.count("-") > 1:
        raise ValueError("standard input can be read only once: pass - once")
    text_filter = TextFilter.load(options.model)
    threshold = chosen_threshold(text_filter, options)
    totals = dict.fromkeys(("images", "text", "failed"), 0)
    started = time.perf_counter()
    counts = cluster.run(
        text_filter,
        options.paths,
        options.out,
        listed() if "-" in options.paths else (),
        address=options.ray,
        threshold=threshold,
        regions=options.regions,
        limits=limits,
        processes=options.processes,
        overwrite=options.overwrite,
    )
    parts = next(counts)
    with tqdm(counts, total=parts["units"], initial=parts["done"], unit=" parts", file=sys.stderr, disable=None) as bar:
        for count in bar:
            for name in totals:
                totals[name] += count[name]
            bar.set_postfix_str(f"{totals['images']} images")
    images, rate = totals["images"], totals["images"] / (time.perf_counter() - started)
    earlier = f"; {parts['done']} of {parts['units']} parts were there already" if parts["done"] else ""
    if parts["done"]:
        earlier += ". Images added since the job was started are not in it: for these, pass another --out"
    print(
        f"{images} images in this run: {totals['text']} with text, {totals['failed']} not ok; {rate:.1f} images/s"
        f"{earlier}",
        file=sys.stderr,
    )


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
