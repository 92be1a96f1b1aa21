"""What macOS and Windows lack is not needed: their missing calls and modules, simulated."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.reproduce.execute import results
from tests.common.reproduce import tiny

ROOT = Path(__file__).parents[1]

_MACOS = ("sched_getaffinity", "sched_setaffinity")
_WINDOWS = (*_MACOS, "getloadavg", "getuid", "geteuid", "killpg", "setsid")
MISSING = {"macos": (_MACOS, ()), "windows": (_WINDOWS, ("fcntl", "resource", "pwd", "grp"))}

RUN = """
import os, runpy, sys
from pathlib import Path

for name in {calls!r}:
    delattr(os, name)
for name in {modules!r}:
    sys.modules[name] = None
from common.reproduce import provenance

provenance.CPU_INFO = Path("nowhere")
sys.argv = {arguments!r}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture(params=MISSING)
def run(request):
    """Runs a command of ours on a system that lacks what this one lacks."""
    calls, modules = MISSING[request.param]

    def run(*arguments, **options):
        code = RUN.format(calls=calls, modules=modules, arguments=list(arguments))
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, timeout=120, **options)

    return run


def test_the_ledger(run):
    # Of a pipe on Windows, which lacks some of the tables' characters.
    done = run("papers", "--all", cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\u2265" in done.stdout.decode()


def test_a_smoke_run(run, tmp_path):
    tree = tiny.make_tree(tmp_path)
    command = ("papers.tiny", "--preset", "smoke", "--variant", "narrow")
    done = run(*command, cwd=tree.root, env=tree.environment())
    assert done.returncode == 0, done.stderr
    summary = json.loads(next(tree.root.glob("runs/**/summary.json")).read_text())
    assert re.search(r"\w+ \(\d+ cores\)", summary["provenance"]["hardware"])


def test_recorded_lines_end_as_everywhere(monkeypatch, tmp_path):
    """Windows writes one character more at a line's end unless the file is opened as binary."""
    binary, real, flags_given = 1 << 15, os.open, []

    def spy(path, flags, mode=0o777):
        flags_given.append(flags)
        return real(path, flags & ~binary, mode)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", spy)
    results._append_text(tmp_path / "results.csv", "a\n")
    assert [flags & binary for flags in flags_given] == [binary]
    assert (tmp_path / "results.csv").read_bytes() == b"a\n"


def test_file_names_are_legal_on_windows():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0")[:-1]
    if not names:
        pytest.skip("outside of a Git repository")
    assert [name for name in names if re.search(r'[<>:"\\|?*]|[ .](/|$)', name)] == []
    assert len({name.lower() for name in names}) == len(names)
