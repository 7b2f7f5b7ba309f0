"""What a model file says about its thresholds: how many labelled photographs passed, by kind of photograph."""

PREVALENCE = 0.10  # text is in 10 to 15 % of the images that people filter (Zhao et al., 2019)
MOST_KINDS, MOST_LETTERS, MOST_IMAGES = 100, 200, 10**9


def named(thresholds):
    """Returns the thresholds of a model file by name: `{"best_f": 0.5, "recall 0.97": 0.3, "share 0.1": 0.7}`."""
    found = {"best_f": thresholds["best_f"]}
    for kind in ("recall", "share"):
        found |= {f"{kind} {key}": threshold for key, threshold in thresholds.get(kind, {}).items()}
    return found


def check(measured):
    """Raises a ValueError that says what is wrong with the counts of a model file.

    Args:
        measured: as for `measured_table`, or None.
    """
    if measured is None:
        return
    if not 0 < len(measured["kinds"]) <= MOST_KINDS:
        raise ValueError(f"counts of {len(measured['kinds'])} kinds")
    for name in (measured["on"], *measured["kinds"]):
        if not name.isprintable() or len(name) > MOST_LETTERS:
            raise ValueError(f"the name {name[:20]!r} of counts is too long or cannot be printed")
    for counts in measured["kinds"].values():
        totals = counts["text"], counts["no_text"]
        for passed in (totals, *counts["passed"].values()):
            if any(type(n) is not int or not 0 <= n <= most for n, most in zip(passed, totals, strict=True)):
                raise ValueError(f"{passed!r:.40} passed of {totals!r:.40}")
        if max(totals) > MOST_IMAGES:
            raise ValueError("counts of more than a billion images")


def measured_table(measured, name):
    """Returns how a threshold did on the photographs that a model was measured on, as a few lines of text.

    Args:
        measured: dict with `on`, a description of the photographs, and `kinds`. This is a dict from a kind, such as
            `"all"`, to the numbers of photographs with `text` and `no_text` and to `passed`, a dict from the name of a
            threshold to the numbers of both that passed.
        name: of the threshold, as `named` gives it.

    Returns:
        A str, empty if the threshold was not measured. The share that passes and the precision are those of a
        collection in which one image in ten has text.

    Example:

    >>> counts = {"all": {"text": 4, "no_text": 8, "passed": {"recall 0.97": [3, 1]}}}
    >>> print(measured_table({"on": "12 photographs", "kinds": counts}, "recall 0.97").splitlines()[-1])
    all      4     75.0        8      12.5      18.8         40.0
    """
    rows = [("kind", "text", "found %", "no text", "alarms %", "passed %", "precision %")]
    for kind, counts in measured["kinds"].items():
        if name not in counts["passed"]:
            return ""
        (hits, alarms), text, none = counts["passed"][name], counts["text"], counts["no_text"]
        recall, alarm = hits / text if text else None, alarms / none if none else None
        passed = precision = None
        if text and none:
            passed = PREVALENCE * recall + (1 - PREVALENCE) * alarm
            precision = PREVALENCE * recall / passed if passed else None
        rows.append((kind, text, _percent(recall), none, _percent(alarm), _percent(passed), _percent(precision)))
    widest = max(len(kind) for kind, *_ in rows)
    lines = [
        f"{kind:{widest}}{text:>6}{found:>9}{none:>9}{alarms:>10}{passed:>10}{precision:>13}"
        for kind, text, found, none, alarms, passed, precision in rows
    ]
    title = "the best F" if name == "best_f" else name
    where = "passed and precision if one in ten has text"
    return "\n".join([f"The threshold for {title} on {measured['on']}; {where}:", *lines])


def _percent(share):
    return "-" if share is None else f"{100 * share:.1f}"
