"""The ledger as the repository records it."""

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from common.reproduce import report
from common.reproduce.code import code_hash
from common.reproduce.declared import declared_dates
from common.reproduce.ledger import Book
from common.reproduce.reported import load_reported, problems, source_problems
from common.reproduce.results import GIVEN, load_results, read_row, verify
from common.reproduce.verdict import NOT_REPRODUCED, POSITIVE, REDUCED, REPRODUCED
from papers import get_paper, list_papers

ROOT = Path(__file__).parents[2] / "papers"

pytestmark = pytest.mark.parametrize("name", list_papers())


def test_claims_mean_what_they_say_and_numbers_can_be_looked_up(name):
    paper = get_paper(name)
    rows = load_reported(ROOT / name / "reported.csv")
    assert [*problems(paper, rows), *source_problems(rows)] == []


def test_every_claim_is_declared(name):
    """`python -m papers --declare` adds those that are new."""
    paper = get_paper(name)
    claims = {claim.id for claim in paper.claims}
    assert claims - set(declared_dates(paper, ROOT / name)) == set()


def test_the_chain_of_results_holds(name):
    verify(ROOT / name / "results.csv")


def test_a_changed_character_of_the_results_is_found(name, tmp_path):
    text = (ROOT / name / "results.csv").read_text()
    path = tmp_path / name / "results.csv"
    path.parent.mkdir()
    path.write_text(text)
    verify(path)
    last = len(text) - text[:-1].rindex("\n") - 2
    for position in (0, 9, text.index("\n") + 1, len(text) // 2, len(text) - last, len(text) - 2):
        other = "7" if text[position] != "7" else "8"
        path.write_text(text[:position] + other + text[position + 1 :])
        with pytest.raises(ValueError, match="results.csv"):
            verify(path)


def test_what_is_not_reproduced_is_explained(name):
    verdicts = Book(get_paper(name), ROOT / name).verdicts()
    assert [one.claim.id for one in verdicts if one.word == NOT_REPRODUCED and not one.note] == []


def test_reproduced_is_a_number_with_its_seeds_its_controls_and_runs_after_it(name):
    book = Book(get_paper(name), ROOT / name)
    for one in book.verdicts():
        if one.word in (REPRODUCED, REDUCED):
            experiment = book.paper.experiment(one.claim.experiment)
            assert one.claim.kind == "number" and not one.post_hoc
            assert one.measured.seeds == len(experiment.seeds)
            at_paper_scale = experiment.presets[one.preset].scale == "paper"
            exact = at_paper_scale and experiment.kind != "timing"
            assert (one.word == REPRODUCED) == exact
            controls = [book.verdict(id, one.preset) for id in one.claim.controls]
            assert all(control.word in POSITIVE for control in controls)


def test_results_have_every_attempt_once(name):
    rows = load_results(ROOT / name / "results.csv")
    assert len({row.digest for row in rows}) == len(rows)
    assert all(row.metrics for row in rows if row.status == "ok")


def test_the_claims_fit_80_columns(name):
    text = io.StringIO()
    report.print_claims(Console(file=text, width=160), Book(get_paper(name), ROOT / name))
    assert max(map(len, text.getvalue().splitlines())) <= 80


def runs(paper, metrics, status="ok"):
    """Runs of every training experiment at both presets, with the same metrics for all seeds."""
    base = dict.fromkeys(GIVEN, "") | {"probe": [], "settings": {}, "dirty": False, "seconds": 1.0}
    return [
        read_row(
            base
            | {
                "experiment": experiment.name,
                "preset": preset,
                "variant": variant,
                "seed": seed,
                "status": status,
                "metrics": metrics(experiment),
                "fingerprint": experiment.fingerprint(preset, variant),
                "code": code_hash(paper.name, experiment, preset, variant),
            }
        )
        for experiment in paper.experiments
        if experiment.kind == "training"
        for preset in ("cpu", "paper")
        for variant in experiment.variants
        for seed in experiment.seeds
    ]


def words(paper, made):
    book = Book(paper, ROOT / paper.name, made)
    return {
        (claim.id, preset): book.verdict(claim.id, preset).word
        for claim in paper.claims
        if paper.experiment(claim.experiment).kind == "training"
        for preset in ("cpu", "paper")
    }


def test_untrained_models_reproduce_nothing(name):
    paper = get_paper(name)

    def guessing(experiment):
        return {metric: experiment.untrained.get(metric, math.nan) for metric in experiment.metrics}

    found = words(paper, runs(paper, guessing))
    assert {key: word for key, word in found.items() if word in POSITIVE} == {}


def test_diverged_models_reproduce_nothing(name):
    paper = get_paper(name)
    found = words(paper, runs(paper, lambda experiment: {"diverged_at": 7}, "diverged"))
    assert set(found.values()) <= {NOT_REPRODUCED}
