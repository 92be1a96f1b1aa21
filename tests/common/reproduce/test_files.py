"""Files and locks: whole or absent, named where they are damaged, safe under many processes."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.reproduce import files
from common.reproduce.execute import plots
from common.reproduce.files import FileError, locked, read_csv, read_json, write_bytes


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "line 1: Expecting value, expected JSON"),
        (b'{"a": 1', "line 1: Expecting"),
        (b"[1]", "holds a list, expected a JSON object"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
    ],
)
def test_damaged_json_is_named(tmp_path, content, said):
    path = tmp_path / "one.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"a,b\n1,2\n3\n", "line 3: 1 values, expected 2"),
        (b"a,c\n", "expected \\['a', 'b'\\]"),
        (b"a,b\n1,\xff\n", "is no UTF-8"),
        (b'a,b\n1,"2\n', "unexpected end of data"),
    ],
)
def test_damaged_csv_is_named(tmp_path, content, said):
    path = tmp_path / "one.csv"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said) as caught:
        read_csv(path, ("a", "b"))
    assert str(path) in str(caught.value)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "one"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_for_one(tmp_path):
    held = pytest.raises(BlockingIOError, match="held by another process")
    with locked(tmp_path), held, locked(tmp_path, wait=False):
        pass
    with locked(tmp_path, wait=False):
        pass


def test_a_killed_process_drops_its_lock(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from common.reproduce.files import locked\n"
        "with locked(Path(sys.argv[1])): print(1, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            pass
        process.kill()
        process.wait()
    with locked(tmp_path, wait=False):
        pass


def test_curves_drawn_at_once_do_not_collide(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.csv").write_text("phase,step,loss\ntrain,1,2.0\ntrain,2,1.0\n")
    calls = 24
    barrier = threading.Barrier(calls)

    def save(figure, target, **options):
        barrier.wait()  # all of them write now
        (target if hasattr(target, "write") else target.open("wb")).write(b"\x89PNG")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    path = tmp_path / "curves.png"

    def draw(_):
        return plots.learning_curves({"a": [run]}, ("loss",), path)

    with ThreadPoolExecutor(calls) as pool:
        assert list(pool.map(draw, range(calls))) == [True] * calls
    assert {one.name for one in tmp_path.iterdir()} == {"run", "curves.png"}


def test_a_damaged_curve_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text("phase,step,loss\ntrain,1,2.0\ntrain,2,low\n")
    with pytest.raises(FileError, match="metrics.csv, line 3: step '2' and loss 'low'"):
        plots.learning_curves({"a": [tmp_path]}, ("loss",), tmp_path / "a.png")


def test_the_ledger_runs_where_there_is_no_fcntl():
    """As on Windows."""
    code = (
        "import sys; sys.modules['fcntl'] = None; sys.argv = ['papers', '--help']\n"
        "import runpy; runpy.run_module('papers', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--csv" in done.stdout


def test_locks_without_fcntl(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from pathlib import Path; from common.reproduce.files import locked\n"
        "with locked(Path(sys.argv[1])): print(1)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
