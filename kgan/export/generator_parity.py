"""Compare what exported files draw with what the Keras model draws, and report differences and latency."""

import statistics
import time

import numpy as np

SHOWN = 10  # images in a row of the picture
# More than this a value must differ from Keras' to count as changed: a grey level, a hundredth of a style's deviation.
STEP = {"uint8": 1, "float32": 0.01}


class PicturesChanged(RuntimeError):
    """An exported file draws other pictures than the Keras model."""


def by_litert(model, inputs):
    """Run a LiteRT model on one thread, a row at a time.

    Args:
        model: its bytes.
        inputs: `{signature: {input: array of many rows}}`.

    Returns:
        `{signature: its output}`, and `{signature: milliseconds}`, the median of a row.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    found, milliseconds = {}, {}
    for name, arrays in inputs.items():
        run, seconds, outputs = interpreter.get_signature_runner(name), [], []
        for i in range(len(next(iter(arrays.values())))):
            row = {key: array[i : i + 1] for key, array in arrays.items()}
            start = time.perf_counter()
            (output,) = run(**row).values()
            seconds.append(time.perf_counter() - start)
            outputs.append(output)
        found[name] = np.concatenate(outputs)
        milliseconds[name] = round(1000 * statistics.median(seconds), 3)
    return found, milliseconds


def compare(found, truth):
    """Return how an output differs from Keras, in grey levels, and the share of values more than a `STEP` away."""
    difference = np.abs(found.astype("float64") - truth)
    return {
        "changed": float((~(difference <= STEP[str(found.dtype)])).mean()),  # NaN, too
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
    }


def compare_all(found, truth):
    """Return the same for each signature."""
    return {name: compare(found[name], truth[name]) for name in truth}


def refuse_changes(report, max_changed):
    worst = [
        f"{file['name']} differs from Keras in {compared['changed']:.2%} of the values of {name}"
        for file in report["files"].values()
        for name, compared in file["signatures"].items()
        if compared["changed"] > max_changed
    ]
    if worst:
        raise PicturesChanged(
            f"{'; '.join(worst)} ({max_changed:.2%} allowed); nothing was written: "
            "raise max_changed, or leave out this quantisation"
        )


def table(report):
    """Return the report as Markdown."""
    lines = [
        f"{report['model']}, compared with Keras on {report['images']} images: the share of values that differ by more "
        "than a grey level of 0 to 255 (of a style: more than 0.01), the greatest difference and the mean. "
        "Milliseconds: the median for an image on one thread.",
        "",
        "| file | bytes | signature | milliseconds | changed, % | greatest difference | mean |",
        "|---" * 7 + "|",
    ]
    for file in report["files"].values():
        for name, found in file["signatures"].items():
            lines.append(
                f"| {file['name']} | {file.get('bytes', '')} | {name} | {found.get('milliseconds', '')} "
                f"| {100 * found['changed']:.3f} | {found['max_difference']:.2g} | {found['mean_difference']:.2g} |"
            )
    for kind, file in report["files"].items():
        for name, found in file["signatures"].items():
            if "operators" in found:
                used = ", ".join(f"{operator} x {count}" for operator, count in found["operators"].items())
                lines += ["", f"Operators of {kind}, {name}, all built in: {used}."]
    return "\n".join(lines) + "\n"


def rows(outputs):
    """Return rows of `kgan.plots.labelled_rows`: for each signature with images those of Keras and of each file.

    Args:
        outputs: `{"Keras": {signature: output}, "float32": ...}`.
    """
    pictures = [name for name, found in outputs["Keras"].items() if found.dtype == np.uint8]
    return {
        label if len(pictures) == 1 else f"{name}: {label}": found[name][:SHOWN] / np.float32(127.5) - 1
        for name in pictures
        for label, found in outputs.items()
    }
