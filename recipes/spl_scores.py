"""What `spl_multilabel.py` measures, and its table."""

from functools import partial

import common
import numpy as np
from scipy import stats

from kgan import metrics

# On COCO (Table 3): mAP; F1-C, P-C, R-C, F1-O, P-O, R-O of all classes above .5; the same of the top 3.
REPORTED = {
    "baseline": (71.9, (65.8, 79.8, 58.6, 71.8, 81.9, 63.8), (62.2, 82.7, 53.4, 69.2, 85.9, 58.0)),
    "random/dcgan": (70.8, (65.2, 77.4, 59.1, 71.1, 80.2, 63.9), (61.7, 80.5, 53.7, 68.7, 84.3, 58.0)),
    "random/wgan_gp": (70.6, (65.0, 77.2, 59.0, 71.0, 80.3, 63.7), (61.6, 80.2, 53.7, 68.7, 84.5, 57.8)),
    "pseudo/dcgan": (70.4, (64.7, 77.5, 59.3, 71.0, 80.5, 63.4), (61.4, 80.8, 53.4, 68.5, 84.4, 57.5)),
    "pseudo/wgan_gp": (70.2, (64.5, 78.1, 57.6, 70.7, 80.9, 62.8), (61.1, 81.0, 52.6, 68.3, 84.8, 57.1)),
    "smooth/dcgan": (73.2, (67.3, 79.3, 61.0, 72.6, 81.7, 65.4), (63.8, 82.4, 55.5, 70.1, 85.8, 59.3)),
    "smooth/wgan_gp": (72.8, (67.0, 77.8, 60.6, 72.4, 81.5, 65.2), (63.5, 82.3, 55.1, 69.9, 85.7, 59.0)),
    "spl/dcgan": (73.4, (67.6, 77.8, 61.5, 72.8, 81.3, 66.0), (64.1, 82.5, 55.9, 70.3, 85.7, 59.7)),
    "spl/wgan_gp": (73.5, (67.8, 79.9, 61.3, 72.9, 82.1, 65.6), (64.4, 83.3, 55.8, 70.4, 86.4, 59.4)),
}
# Other papers' figures that Table 3 gives, of which only those of the top 3 are known.
OTHERS = {
    "WARP, reported only": (55.7, 59.3, 52.5, 60.7, 59.8, 61.4),
    "CNN-RNN, reported only": (60.4, 66.0, 55.6, 67.8, 69.2, 66.4),
}
UNKNOWN = "-", 6 * ("-",), 6 * ("-",)
SIX = {"f1_c_mean": "F1-C", "p_c": "P-C", "r_c": "R-C", "f1_o": "F1-O", "p_o": "P-O", "r_o": "R-O"}


def measured(labels, scores, thresholds):
    """In per cent: the columns of Tables 1 to 3, with the tuned thresholds beside .5, and the calibration error.

    Args:
        labels, scores: `(n, classes)`.
        thresholds: as the scores, or one for each class.
    """
    everything = metrics.multilabel_metrics(labels, scores)
    tuned = metrics.multilabel_metrics(labels, scores - thresholds, thresholds=0.0)
    three = min(3, labels.shape[1])
    above = metrics.multilabel_metrics(labels, scores, top_k=three)
    forced = metrics.multilabel_metrics(labels, scores, top_k=three, thresholds=None)
    numbers = {name: everything[name] for name in ("mAP", *SIX)}
    numbers |= {f"tuned_{name}": tuned[name] for name in ("f1_c_mean", "f1_o")}
    numbers |= {f"top3_{name}": above[name] for name in SIX} | {f"forced3_{name}": forced[name] for name in SIX}
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
    reported = [REPORTED.get(key, UNKNOWN) for key in results]
    columns = {
        "row": titles,
        "mAP, reported (COCO)": [numbers[0] for numbers in reported],
        "mAP": ours("mAP"),
        "gain": [gain(by_seed, results["baseline"]) for by_seed in results.values()],
        "gain on validation": [gain(by_seed, results["baseline"], "validation_mAP") for by_seed in results.values()],
        "F1-C, reported": [numbers[1][0] for numbers in reported],
        "F1-C": ours("f1_c_mean"),
        "F1-O, reported": [numbers[1][3] for numbers in reported],
        "F1-O": ours("f1_o"),
        "F1-C, tuned": ours("tuned_f1_c_mean"),
        "F1-O, tuned": ours("tuned_f1_o"),
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
        f"epoch. {pooling}\n\n{precision_and_recall(results, titles)}\n"
        f"{common.provenance(options)}"
    )


def precision_and_recall(results, titles):
    """The other columns of Tables 2 and 3, with the methods of which only these are known."""
    names = " / ".join(SIX.values())

    def reported(which):
        rows = [REPORTED.get(key, UNKNOWN)[which] for key in results]
        rows += OTHERS.values() if which == 2 else len(OTHERS) * [UNKNOWN[1]]
        return [" / ".join(map(str, row)) for row in rows]

    def ours(protocol):
        rows = zip(*(common.spreads(results, protocol + name, digits=1) for name in SIX), strict=True)
        return [" / ".join(row) for row in rows] + len(OTHERS) * ["-"]

    columns = {
        "row": [*titles, *OTHERS],
        "all above .5, reported (COCO)": reported(1),
        "all above .5": ours(""),
        "top 3, reported (COCO)": reported(2),
        "top 3, those above .5": ours("top3_"),
        "top 3": ours("forced3_"),
    }
    return (
        f"{common.table(columns)}\n{names}, in per cent. The paper does not say whether its top 3 must be above .5; on "
        "COCO, more precision than recall suggests it.\n"
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
