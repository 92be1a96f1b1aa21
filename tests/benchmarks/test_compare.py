from dataclasses import replace

import pytest

from benchmarks.compare import shared_cells, slowdowns
from benchmarks.rows import Row, read_rows, write_row

ROW = Row(
    layer="paper/layer",
    name="chunkwise",
    compiler="xla",
    mode="forward",
    batch=8,
    length=256,
    dtype="float32",
    device="cpu",
    backend="tensorflow",
    median_ms=10.0,
    p20_ms=9.0,
    p80_ms=11.0,
)


@pytest.mark.parametrize("median, slower", [(10.9, False), (11.1, True), (5.0, False)])
def test_a_slowdown_is_one_beyond_the_threshold(median, slower):
    found = slowdowns([replace(ROW, median_ms=median)], [ROW], threshold=0.1)
    assert [one.ratio for one in found] == ([pytest.approx(median / 10)] if slower else [])


def test_a_cell_that_stopped_working_is_slower():
    gone = replace(ROW, status="out of memory", median_ms=None, p20_ms=None)
    assert [one.ratio for one in slowdowns([gone], [ROW], 0.1)] == [float("inf")]


def test_other_cells_are_not_compared():
    other = replace(ROW, length=512, median_ms=99.0)
    assert slowdowns([other], [ROW], 0.1) == []
    assert shared_cells([other, ROW], [ROW]) == 1
    derived = replace(ROW, mode="backward", p20_ms=None)
    assert slowdowns([replace(derived, median_ms=99.0)], [derived], 0.1) == []


def test_the_worst_comes_first():
    rows = [replace(ROW, length=n, median_ms=m) for n, m in ((1, 12.0), (2, 30.0), (3, 20.0))]
    before = [replace(ROW, length=n) for n in (1, 2, 3)]
    assert [one.row.length for one in slowdowns(rows, before, 0.1)] == [2, 3, 1]


def test_rows_survive_the_file(tmp_path):
    path = tmp_path / "results.jsonl"
    with path.open("a") as file:
        write_row(file, ROW)
        write_row(file, replace(ROW, length=512))
    assert read_rows(path) == [ROW, replace(ROW, length=512)]
    listed = tmp_path / "rows.json"
    listed.write_text("[" + ",".join(path.read_text().splitlines()) + "]")
    assert read_rows(listed) == read_rows(path)


@pytest.mark.parametrize("text", ["{", '{"name": 1}', "[1]"])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="--compare is .*other.json, expected rows"):
        read_rows(path)
