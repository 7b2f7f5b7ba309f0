"""Compare the decisions of exported files with those of the Keras model, and report differences and latency."""

import statistics
import time

import numpy as np

from kgan.filter.decoding import BUCKETS
from kgan.filter.measured import named

SIGNATURES = [f"{height}x{width}" for height, width in BUCKETS]
RUNS = 50  # the latency is the median of this many runs


class DecisionsChanged(RuntimeError):
    """An exported file and the Keras model disagree on more images than allowed."""


def by_image(batches):
    """Concatenate the named outputs of batches over all images, in float64."""
    batches = list(batches)
    return {name: np.concatenate([np.asarray(batch[name], "float64") for batch in batches]) for name in batches[0]}


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def by_saved_model(folder, validation):
    import tensorflow as tf

    call = tf.saved_model.load(str(folder)).signatures["serving_default"]
    parts = (part for images in validation.values() for part in np.array_split(images, -(-len(images) // 16)))
    return by_image(call(images=tf.constant(part)) for part in parts)


def by_litert(model, validation):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runs = {name: interpreter.get_signature_runner(name) for name in validation}
    return by_image(runs[name](images=image[None]) for name in validation for image in validation[name])


def compare(found, truth, thresholds):
    """Return how scores `(n, 1)` and regions `(n, 34)` differ from Keras, and the share of changed decisions.

    The shares have intervals (Wilson) that hold together with 95 %: one image of a small set may change by chance, and
    at one of several thresholds more easily than at one (Bonferroni).
    """
    from scipy.stats import binomtest  # the filter, whose command imports this module, does without SciPy

    scores, true_scores = found["score"], truth["score"]
    limits = {name.removeprefix("recall "): threshold for name, threshold in named(thresholds).items()}
    changed = {key: int(np.sum((scores >= t) != (true_scores >= t))) for key, t in limits.items()}
    level = 1 - 0.05 / len(limits)
    intervals = {key: [*binomtest(n, len(scores)).proportion_ci(level, "wilson")] for key, n in changed.items()}
    return {
        "changed": {key: count / len(scores) for key, count in changed.items()},
        "interval": intervals,
        "max_difference": float(np.abs(scores - true_scores).max()),
        "mean_difference": float(np.abs(scores - true_scores).mean()),
        "max_region_difference": float(np.abs(found["regions"] - truth["regions"]).max()),
    }


def refuse_changes(report, max_changed):
    worst = [
        f"{found['name']} disagrees with Keras on {found['changed'][key]:.2%} of the images at {threshold_name(key)}, "
        f"and on at least {low:.2%} of others like them"
        for found in report["files"].values()
        for key, (low, _) in found["interval"].items()
        if low > max_changed
    ]
    if worst:
        raise DecisionsChanged(
            f"{'; '.join(worst)} ({max_changed:.2%} allowed); nothing was written: "
            "raise max_changed, or leave out this quantisation"
        )


def threshold_name(key):
    return "the best F" if key == "best_f" else key if key.startswith("share") else f"recall {key}"


def table(report):
    """Return the report as Markdown."""
    files = report["files"]
    lines = [
        f"Compared with Keras on {report['images']} images, {report['text']} of them with text. The median of {RUNS} "
        "runs on one thread, in milliseconds; decisions changed at each threshold, in per cent, "
        "with intervals that hold together with 95 %.",
        "",
        "| file | bytes | "
        + " | ".join(SIGNATURES)
        + " | greatest difference | mean | "
        + " | ".join(map(threshold_name, report["files"]["saved_model"]["changed"]))
        + " |",
        "|---" * (len(SIGNATURES) + 4 + len(report["files"]["saved_model"]["changed"])) + "|",
    ]
    for found in files.values():
        changed = [
            f"{100 * found['changed'][key]:.2f} ({100 * low:.2f} to {100 * high:.2f})"
            for key, (low, high) in found["interval"].items()
        ]
        times = [f"{t:.2f}" for t in found.get("milliseconds", {}).values()] or [""] * len(SIGNATURES)
        lines.append(
            f"| {found['name']} | {found.get('bytes', '')} | {' | '.join(times)} | {found['max_difference']:.2g} "
            f"| {found['mean_difference']:.2g} | {' | '.join(changed)} |"
        )
    for kind, found in files.items():
        if "operators" in found:
            used = ", ".join(f"{name} x {count}" for name, count in found["operators"].items())
            lines += ["", f"Operators of {kind}, all built in, in each signature: {used}."]
    return "\n".join(lines) + "\n"


def latency(text_filter):
    """Return the median time for one image on one thread, in milliseconds, for each signature."""
    found = {}
    for name, bucket in zip(SIGNATURES, BUCKETS, strict=True):
        image = np.random.default_rng(0).integers(0, 256, (*bucket, 3), "uint8")
        text_filter.look([image])
        seconds = []
        for _ in range(RUNS):
            start = time.perf_counter()
            text_filter.look([image])
            seconds.append(time.perf_counter() - start)
        found[name] = round(1000 * statistics.median(seconds), 3)
    return found
