"""Rows on disk; `tests/test_cli.py` has what a run does with them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgan.filter.run import COLUMNS
from kgan.runtime.journal import Journal

pytestmark = pytest.mark.backend_free


@settings(max_examples=30)
@given(st.data())
def test_half_a_row_is_cut_off(tmp_path_factory, data):
    rows = [{"path": f"{i}ä\n", "score": None, "decision": None, "status": "empty"} for i in range(4)]
    out = tmp_path_factory.mktemp("journal") / "rows.jsonl"
    with Journal(out, COLUMNS, {}) as journal:
        for row in rows:
            journal.append(row)
    whole = out.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    out.write_bytes(whole[:cut])
    with Journal(out, COLUMNS, {}) as journal:
        kept = list(journal.rows())
        assert kept == rows[: whole[:cut].count(b"\n")]
        for row in rows[len(kept) :]:
            journal.append(row)
    assert out.read_bytes() == whole
