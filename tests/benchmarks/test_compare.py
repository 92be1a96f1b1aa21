import gzip
import json
from dataclasses import asdict, replace

import pytest

from benchmarks.compare import shared_cells, slowdowns
from benchmarks.rows import FILE, Row, append_row, pack_rows, read_rows
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
    rows = [ROW, replace(ROW, length=512)]
    for row in rows:
        append_row(tmp_path, row)
    size = (tmp_path / FILE).stat().st_size
    assert read_rows(tmp_path, "--compare") == read_rows(tmp_path / FILE, "--compare") == rows
    pack_rows(tmp_path)
    assert read_rows(tmp_path, "--compare") == rows
    assert (tmp_path / FILE).stat().st_size < size
    append_row(tmp_path, replace(ROW, length=1024))
    assert read_rows(tmp_path, "--compare") == [*rows, replace(ROW, length=1024)]


def test_rows_come_as_plain_text_too(tmp_path):
    rows = [ROW, replace(ROW, length=512)]
    for name, text in (
        ("rows.jsonl", "\n".join(json.dumps(asdict(row)) for row in rows)),
        ("rows.json", json.dumps([asdict(row) for row in rows])),
    ):
        (tmp_path / name).write_text(text)
        assert read_rows(tmp_path / name, "--compare") == rows


def test_nothing_to_pack_is_no_error(tmp_path):
    pack_rows(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", '{"name": 1}', "[1]"])
@pytest.mark.parametrize("name", ["other.json", "other.jsonl.gz"])
def test_a_file_of_something_else_is_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    with pytest.raises(ValueError, match=f"--compare is .*{name}, expected rows"):
        read_rows(path, "--compare")


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path, cut):
    append_row(tmp_path, ROW)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(b"x" + content if cut == 0 else content[:cut])
    with pytest.raises(FileError, match=f"--report is .*{FILE}, expected rows"):
        read_rows(tmp_path, "--report")


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
        read_rows(path, "--compare")
    path.write_text(json.dumps(rows))
    with pytest.raises(FileError, match=said):
        read_rows(path, "--compare")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "before.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="before.jsonl: byte 0 is no UTF-8"):
        read_rows(path, "--compare")
