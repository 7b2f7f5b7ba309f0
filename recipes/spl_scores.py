"""What `spl_multilabel.py` measures, and its table."""

from functools import partial

import common
import numpy as np
from scipy import stats

from kgan import metrics

# mAP, F1-C, F1-O of "All" on COCO (Table 3).
REPORTED = {
    "baseline": (71.9, 65.8, 71.8),
    "random/dcgan": (70.8, 65.2, 71.1),
    "random/wgan_gp": (70.6, 65.0, 71.0),
    "pseudo/dcgan": (70.4, 64.7, 71.0),
    "pseudo/wgan_gp": (70.2, 64.5, 70.9),
    "smooth/dcgan": (73.2, 67.3, 72.6),
    "smooth/wgan_gp": (72.8, 67.0, 72.4),
    "spl/dcgan": (73.4, 67.6, 72.8),
    "spl/wgan_gp": (73.5, 67.8, 72.9),
}


def measured(labels, scores, thresholds):
    """In per cent: the columns of Tables 1 to 3, with the tuned thresholds beside .5, and the calibration error.

    Args:
        labels, scores: `(n, classes)`.
        thresholds: as the scores, or one for each class.
    """
    everything = metrics.multilabel_metrics(labels, scores)
    tuned = metrics.multilabel_metrics(labels, scores - thresholds, thresholds=0.0)
    three = metrics.multilabel_metrics(labels, scores, top_k=min(3, labels.shape[1]), thresholds=None)
    numbers = {name: everything[name] for name in ("mAP", "f1_c_mean", "f1_o")}
    numbers |= {f"tuned_{name}": tuned[name] for name in ("f1_c_mean", "f1_o")}
    numbers |= {f"top3_{name}": three[name] for name in ("f1_c_mean", "f1_o")}
    numbers["calibration_error"] = metrics.calibration_error(labels, scores)
    return {name: 100 * value for name, value in numbers.items()} | {"ap": (100 * everything["ap"]).tolist()}


def pooled(by_seed, key, out, splits, classes):
    """Results of a row's folds as if they were of one run: their scores, measured together over some classes."""
    row, _, gan = key.partition("/")
    labels, scores, thresholds = [], [], []
    for fold, (_, test) in splits.items():
        with np.load(out / f"seed{fold}" / gan / row / "scores.npz") as saved:
            labels.append(test[1])
            scores.append(saved["scores"])
            thresholds.append(np.broadcast_to(saved["thresholds"], saved["scores"].shape))
    numbers = measured(*(np.concatenate(parts)[:, classes] for parts in (labels, scores, thresholds)))
    means = ("validation_mAP", "frechet_distance", "coverage") if gan else ("validation_mAP",)
    return {"pooled": numbers | {name: np.mean([run[name] for run in by_seed.values()]) for name in means}}


def results_table(results, titles, options):
    """The table of a run.

    Args:
        results: `{row: {seed: numbers}}`, the baseline first.
        titles: of the rows.
    """
    ours = partial(common.spreads, results, digits=1)
    reported = [REPORTED.get(key, ("-", "-", "-")) for key in results]
    columns = {
        "row": titles,
        "mAP, reported (COCO)": [numbers[0] for numbers in reported],
        "mAP": ours("mAP"),
        "gain": [gain(by_seed, results["baseline"]) for by_seed in results.values()],
        "gain on validation": [gain(by_seed, results["baseline"], "validation_mAP") for by_seed in results.values()],
        "F1-C, reported": [numbers[1] for numbers in reported],
        "F1-C": ours("f1_c_mean"),
        "F1-O, reported": [numbers[2] for numbers in reported],
        "F1-O": ours("f1_o"),
        "F1-C, tuned": ours("tuned_f1_c_mean"),
        "F1-O, tuned": ours("tuned_f1_o"),
        "F1-O, top 3": ours("top3_f1_o"),
        "calibration error": ours("calibration_error"),
    }
    for column in ("Frechet distance", "coverage"):
        columns[column] = [
            common.spread([run[column.lower().replace(" ", "_")] for run in by_seed.values()], 1) if "/" in key else "-"
            for key, by_seed in results.items()
        ]
    pooling = f"{options.folds} folds, scores pooled, with the seeds named. " if options.folds else ""
    return (
        f"# Generated images beside real ones, after Tables 1 to 3 of SPL\n\n{common.table(columns)}\n"
        "In per cent but for the Frechet distance. Gain: of mAP over the baseline of the same seed, mean and 95 % "
        "interval over seeds. Frechet distance and coverage: to the validation images, which also choose the GAN's "
        f"epoch. {pooling}"
        f"{common.provenance(options)}"
    )


def gain(by_seed, baseline, what="mAP"):
    """What a row's seeds gain over the same seeds of the baseline, with a 95 % interval where there are several."""
    if by_seed is baseline:
        return "-"
    differences = [numbers[what] - baseline[seed][what] for seed, numbers in by_seed.items()]
    if len(differences) < 2:
        return f"{differences[0]:+.1f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return f"{np.mean(differences):+.1f} ± {half:.1f}"
