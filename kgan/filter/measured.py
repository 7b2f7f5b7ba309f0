"""What a model file says about its thresholds: how many labelled photographs passed, by kind of photograph."""


def check(measured):
    """Raises a ValueError unless the counts of a model file are sound, or None."""
    if measured is None:
        return
    if not measured["on"].isprintable():
        raise ValueError("characters that cannot be printed")
    for kind, counts in measured["kinds"].items():
        numbers = [counts["text"], counts["no_text"], *(n for pair in counts["passed"].values() for n in pair)]
        pairs = all(len(pair) == 2 for pair in counts["passed"].values())
        if not kind.isprintable() or not pairs or any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("counts out of range")


def measured_table(measured, name):
    """Returns how a threshold did on the photographs that a model was measured on, as a few lines of text.

    Args:
        measured: dict with `on`, a description of the photographs, and `kinds`. This is a dict from a kind, such as
            `"all"`, to the numbers of photographs with `text` and `no_text` and to `passed`, a dict from the name of a
            threshold to the numbers of both that passed.
        name: of the threshold: `"best_f"`, or such as `"recall 0.97"`.

    Returns:
        A str, empty if the threshold was not measured.

    Example:

    >>> counts = {"all": {"text": 4, "no_text": 8, "passed": {"recall 0.97": [3, 1]}}}
    >>> print(measured_table({"on": "12 photographs", "kinds": counts}, "recall 0.97").splitlines()[-1])
    all     4     75.0        8      12.5         75.0
    """
    rows = [("kind", "text", "found %", "no text", "passed %", "precision %")]
    for kind, counts in measured["kinds"].items():
        if name not in counts["passed"]:
            return ""
        hits, alarms = counts["passed"][name]
        shares = _percent(hits, counts["text"]), _percent(alarms, counts["no_text"]), _percent(hits, hits + alarms)
        rows.append((kind, counts["text"], shares[0], counts["no_text"], shares[1], shares[2]))
    widest = max(len(kind) for kind, *_ in rows)
    lines = [
        f"{kind:{widest}}{text:>6}{found:>9}{no_text:>9}{passed:>10}{precision:>13}"
        for kind, text, found, no_text, passed, precision in rows
    ]
    title = "best F" if name == "best_f" else name
    return "\n".join([f"The threshold for {title}, on {measured['on']}:", *lines])


def _percent(count, total):
    return f"{100 * count / total:.1f}" if total else "-"
