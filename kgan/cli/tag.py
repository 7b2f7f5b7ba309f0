"""`kgan tag`."""

from functools import partial

from kgan.cli.rows import FIRST, STATUSES, check_run, run_all, run_arguments

SUMMARY = "name what is in images, with a multi-label classifier of your own"
MORE = """
Each image gives one row with its path, its labels (the most probable first, separated by semicolons), a score from 0
to 1 for each class, and its status:
""" + STATUSES.format(ok="the image was tagged", more="", none="", several=FIRST)


def add_arguments(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help=".keras file of a kgan.soft_pseudo_labels.MultiLabelClassifier")
    run_arguments(parser)
    level = "probability above which a class is a label, 0 to 1 (default: those that are saved with the model)"
    add("--threshold", type=float, metavar="SCORE", help=level)
    most = "the K most probable classes; with --threshold, those of them that are above it"
    add("--top-k", type=int, metavar="K", help=most)


def execute(options):
    paths, limits = check_run(options)
    from kgan.models.soft_pseudo_labels.tagger import Tagger  # imports Keras, which the filter does without

    tagger = Tagger(options.model, options.threshold, options.top_k)
    asked = {"model": tagger.digest, "threshold": options.threshold, "top-k": options.top_k}
    rows = partial(tagger.rows, paths, processes=options.processes, limits=limits)
    run_all(options, tagger.columns, asked, rows, lambda row: bool(row["labels"]), "with labels")
