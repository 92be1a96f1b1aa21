import json
from dataclasses import asdict, replace

import pytest

from benchmarks.compare import shared_cells, slowdowns
from benchmarks.rows import Row, read_rows, write_row
from common.reproduce.files import FileError

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


@pytest.mark.parametrize(
    "change, said",
    [
        ({"median_ms": "fast"}, "row 2: median_ms is 'fast', expected a positive number"),
        ({"median_ms": 0}, "row 2: median_ms is 0, expected a positive number"),
        ({"median_ms": float("nan")}, "row 2: median_ms is nan, expected a positive number"),
        ({"median_ms": -1.0}, "row 2: median_ms is -1.0, expected a positive number"),
        ({"median_ms": None}, "row 2: median_ms is None, expected a positive number"),
        ({"length": "256"}, "row 2: length is '256', expected an integer >= 1"),
        ({"layer": None}, "row 2: layer is None, expected text"),
    ],
)
def test_damaged_numbers_are_refused_with_their_row(tmp_path, change, said):
    path = tmp_path / "before.jsonl"
    rows = [asdict(ROW), {**asdict(ROW), **change}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(FileError, match=said):
        read_rows(path)
    path.write_text(json.dumps(rows))
    with pytest.raises(FileError, match=said):
        read_rows(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "before.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="before.jsonl: byte 0 is no UTF-8"):
        read_rows(path)
