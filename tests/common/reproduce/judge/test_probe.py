"""Recorded runs, then other code: `--probe` tells whether it computes the same."""

import importlib

import pytest

from common.reproduce import provenance
from common.reproduce.execute import code
from common.reproduce.execute.results import load_results
from common.reproduce.judge import upkeep
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.probes import load_probes


@pytest.fixture
def edit(tree, run_tiny):
    """Changes the tiny paper's trial, as if in a new process; returns the paper."""

    def edit(old, new):
        path = tree.tiny / "experiments.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        for cached in (code._closure_hash, code._read):
            cached.cache_clear()
        run_tiny("--list")
        return importlib.import_module("papers.tiny.paper").PAPER

    return edit


def test_probes_of_changed_code(tree, run_tiny, edit, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda directory: ("c" * 40, False))
    paper = edit("import time", "import time")
    upkeep.declare_claims(paper, tree.tiny)
    exit_code, _, _ = run_tiny("--preset", "paper", "--variant", "wide", "--record")
    rows = load_results(tree.tiny / "results.csv")
    assert [len(row.probe) for row in rows] == [3, 3]

    def judged(paper):
        return Book(paper, tree.tiny).verdict("line", "paper")

    assert exit_code == 0 and judged(paper).reason == ""

    paper = edit("run.log(width=width)", "run.log(width=width, more=1)")
    assert "no probe tells" in judged(paper).reason
    upkeep.take_probes(paper, tree.tiny)
    upkeep.take_probes(paper, tree.tiny)  # nothing is lacking now
    (taken,) = load_probes(tree.tiny)
    assert (taken.variant, taken.seed, taken.code) != ("wide", 0, rows[0].code)
    assert taken.losses == pytest.approx(rows[0].probe, rel=1e-4)
    assert judged(paper).reason == ""

    paper = edit("Dropout(0.2)", "Dropout(0.5)")
    upkeep.take_probes(paper, tree.tiny)
    assert "computes something else" in judged(paper).reason
    assert len(load_probes(tree.tiny)) == 2


def test_no_probe_of_a_tree_that_no_commit_names(tree, run_tiny, edit, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda directory: ("c" * 40, False))
    run_tiny("--preset", "paper", "--variant", "wide", "--record")
    paper = edit("run.log(width=width)", "run.log(width=width, more=1)")
    monkeypatch.setattr(provenance, "commit", lambda directory: ("c" * 40, True))
    with pytest.raises(ValueError, match="the tree has changes"):
        upkeep.take_probes(paper, tree.tiny)
    assert not load_probes(tree.tiny)
