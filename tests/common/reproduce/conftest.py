import importlib
import sys

import pytest

import papers
from common.reproduce import main
from tests.common.reproduce import tiny


@pytest.fixture
def tree(tmp_path):
    """A fresh repository with the tiny paper."""
    return tiny.make_tree(tmp_path)


@pytest.fixture
def run_tiny(tree, monkeypatch, capsys):
    """Runs `python -m papers.tiny` in this process: exit code, output, errors."""
    monkeypatch.chdir(tree.root)
    monkeypatch.setattr(papers, "__path__", [str(tree.root / "papers")])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # It is for the rest of the process, and this one goes on with other tests.
    monkeypatch.setattr("common.reproduce.execute.attempt.keep_freed_memory", lambda: False)

    def forget():
        for name in [name for name in sys.modules if name.startswith("papers.tiny")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def run(*arguments):
        forget()
        monkeypatch.setattr(sys, "argv", ["papers.tiny", *arguments])
        capsys.readouterr()
        try:
            code = main(importlib.import_module("papers.tiny.paper").PAPER)
        except SystemExit as error:
            code = error.code
        output = capsys.readouterr()
        return code, output.out, output.err

    yield run
    forget()
