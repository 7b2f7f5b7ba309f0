"""Model files: what they hold, and those that are refused."""

import hashlib

import pytest
import tiny_filter

from kgan.filter.text_filter import TextFilter

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "it contains no kgan.json"),
        (lambda: tiny_filter.model_bytes(), "it contains no kgan.json"),
        (lambda: tiny_filter.model_file(members={"other.json": "{}"}), "it contains no kgan.json"),
        (lambda: tiny_filter.model_file(members={"kgan.json": "{"}), "its kgan.json is damaged"),
        (
            lambda: tiny_filter.model_file(members={"kgan.json": "[1]"}),
            "format None; this version of kgan reads",
        ),
        (lambda: with_metadata(format=2), "format 2; this version of kgan reads format 1"),
        (lambda: with_metadata(digest="0" * 64), "the model does not match the digest in kgan.json"),
        (lambda: with_metadata(digest=None), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 0.5}), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 1.5, "recall": {}}), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 0.5, "recall": {"high": 0.3}}), "its kgan.json is damaged"),
        (
            lambda: with_metadata(thresholds={"best_f": 0.5, "recall": {}, "share": {"0.1": -1}}),
            "its kgan.json is damaged",
        ),
        (lambda: with_metadata(thresholds={"best_f": 0.5, "recall": {"0.97": "0.3"}}), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 0.5, "recall": {"0.97": 10**400}}), "its kgan.json is damaged"),
        (lambda: with_metadata(measured=[]), "its kgan.json is damaged .TypeError"),
        (lambda: with_metadata(measured={"on": "nothing", "kinds": {}}), "counts of 0 kinds"),
        (lambda: with_metadata(measured=counted(text=1.5)), r"\(1.5, 1\) passed of \(1.5, 1\)"),
        (lambda: with_metadata(measured=counted(no_text=-1)), r"\(1, -1\) passed of"),
        (lambda: with_metadata(measured=counted(text=10**10)), "more than a billion"),
        (lambda: with_metadata(measured=counted(passed={"best_f": [1]})), "its kgan.json is damaged .ValueError: zip"),
        (lambda: with_metadata(measured=counted(passed={"best_f": [2, 0]})), r"\[2, 0\] passed of \(1, 1\)"),
        (lambda: with_metadata(measured=counted(passed={"best_f": [10**400, 0]})), "passed of"),
        (lambda: with_metadata(measured=counted("\x1b[2J")), "cannot be printed"),
        (lambda: with_metadata(measured=counted(on="\x1b[2J")), "cannot be printed"),
        (lambda: with_metadata(measured=counted("a" * 400)), "too long"),
        (lambda: with_metadata(buckets=[]), "its kgan.json is damaged"),
        (lambda: with_metadata(buckets=[[240]]), "its kgan.json is damaged"),
        (lambda: with_metadata(buckets=[[120, 120]]), "no signature 120x120"),
        (
            lambda: with_metadata(resize="nearest"),
            "resize 'nearest'; kgan supports only 'bilinear, antialiased'",
        ),
        (lambda: with_metadata(normalisation="outside"), "asks for normalisation 'outside'"),
        (lambda: tiny_filter.model_file(b"no model at all"), "not a valid Flatbuffer"),
        (lambda: b"x" + tiny_filter.model_file(), "the model does not match the digest in kgan.json"),
        (lambda: tiny_filter.model_file()[:-30], "it contains no kgan.json"),
        (lambda: tiny_filter.model_file(members={"kgan.json": "[" * 5000}), "its kgan.json is damaged"),
        (lambda: tiny_filter.model_file(members={"kgan.json": " " * (2**20 + 1)}), "its kgan.json is larger than 1 MB"),
    ],
)
def test_damaged_model_files_are_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(make())
    with pytest.raises(ValueError, match=message) as caught:
        TextFilter.load(path)
    assert str(caught.value).startswith(f"{path} is not a model file of the text filter: ")
    assert "\n" not in str(caught.value)


def counted(kind="all", on="2 pictures", **changes):
    return {"on": on, "kinds": {kind: {"text": 1, "no_text": 1, "passed": {"best_f": [1, 0]}} | changes}}


def with_metadata(**changes):
    model = tiny_filter.model_bytes()
    return tiny_filter.model_file(model, tiny_filter.metadata(model, **changes))


def test_a_missing_model_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file '.*none.tflite'"):
        TextFilter.load(tmp_path / "none.tflite")


def test_metadata_and_thresholds(text_filter):
    model = tiny_filter.model_bytes()
    assert text_filter.metadata == tiny_filter.metadata(model)
    assert text_filter.metadata["digest"] == hashlib.sha256(model).hexdigest()
    assert text_filter.thresholds == {"best_f": 0.5, "recall": {"0.94": 0.41, "0.97": 0.3}, "share": {"0.1": 0.9}}
    assert [text_filter.threshold(recall) for recall in (None, 0.94, 0.97)] == [0.5, 0.41, 0.3]
    with pytest.raises(ValueError, match="no threshold is stored for recall 0.9; stored: 0.94, 0.97"):
        text_filter.threshold(0.9)


def test_a_file_without_shares_and_counts(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(thresholds={"best_f": 0.5, "recall": {"0.97": 0.3}}, measured=None))
    text_filter = TextFilter.load(path)
    assert text_filter.measured() == text_filter.measured(recall=0.97) == ""
    with pytest.raises(ValueError, match="no threshold is stored for share 0.1; stored: none"):
        text_filter.threshold(share=0.1)


def test_what_a_threshold_did(text_filter):
    assert text_filter.threshold(share=0.1) == 0.9
    with pytest.raises(ValueError, match="not both"):
        text_filter.threshold(recall=0.97, share=0.1)
    assert text_filter.measured(recall=0.97).splitlines() == [
        "The threshold for recall 0.97 on 9 pictures; passed and precision if one in ten has text:",
        "kind    text  found %  no text  alarms %  passed %  precision %",
        "all        4    100.0        5      20.0      28.0         35.7",
        "bright     0        -        1       0.0         -            -",
    ]
    assert text_filter.measured().splitlines()[2].split() == ["all", "4", "50.0", "5", "0.0", "5.0", "100.0"]
    assert text_filter.measured(share=0.1).startswith("The threshold for share 0.1 on")
    assert text_filter.measured(recall=0.94) == ""  # which was not measured
    with pytest.raises(ValueError, match="no threshold is stored for recall 0.5"):
        text_filter.measured(recall=0.5)


def test_recalls_are_found_however_they_are_written(tmp_path):
    path = tmp_path / "model.tflite"
    counts = counted(passed={"recall 1": [1, 0]})
    path.write_bytes(with_metadata(thresholds={"best_f": 0.5, "recall": {"1": 0.3}}, measured=counts))
    text_filter = TextFilter.load(path)
    assert text_filter.threshold(recall=1.0) == 0.3
    assert text_filter.measured(recall=1.0).splitlines()[-1].split()[:3] == ["all", "1", "100.0"]
