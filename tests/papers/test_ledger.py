"""The ledger as the repository records it."""

import io
import itertools
import math
from pathlib import Path

import pytest
from rich.console import Console

from common.reproduce.declare.spec import EXPERIMENT_KINDS
from common.reproduce.execute.code import code_hash
from common.reproduce.execute.results import GIVEN, load_results, read_row, verify
from common.reproduce.judge import terminal
from common.reproduce.judge.declared import declared_dates
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.reported import load_reported
from common.reproduce.judge.soundness import problems, source_problems
from common.reproduce.judge.verdict import (
    NOT_REPRODUCED,
    POSITIVE,
    REDUCED,
    REPRODUCED,
    SAME,
    Evidence,
    judge,
)
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
    results = ROOT / name / "results.csv"
    if not results.exists():
        pytest.skip("nothing is recorded yet")
    text = results.read_text()
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
    console = Console(file=text, width=160, force_terminal=True, color_system=None)
    terminal.print_claims(console, Book(get_paper(name), ROOT / name))
    assert max(map(len, text.getvalue().splitlines())) <= 80


BASE = dict.fromkeys(GIVEN, "") | {"probe": [], "settings": {}, "dirty": False, "seconds": 1.0}


def runs(experiment, preset, variant, metrics, status="ok", **changes):
    """A run a seed, all with the same metrics."""
    row = {"experiment": experiment.name, "preset": preset, "variant": variant}
    row |= {"status": status, "metrics": metrics, **changes}
    return [read_row(BASE | row | {"seed": seed}) for seed in experiment.seeds]


def words(paper, metrics, status, kinds):
    """(claim, preset) to its word, where all variants of these kinds have the same metrics."""
    made = []
    for experiment in paper.experiments:
        for preset in ("cpu", "paper") if experiment.kind in kinds else ():
            for variant in experiment.variants:
                present = {
                    "fingerprint": experiment.fingerprint(preset, variant),
                    "code": code_hash(experiment, preset, variant),
                }
                made += runs(experiment, preset, variant, metrics(experiment), status, **present)
    book = Book(paper, ROOT / paper.name, made)
    return {
        (claim.id, preset): book.verdict(claim.id, preset).word
        for claim in paper.claims
        if paper.experiment(claim.experiment).kind in kinds
        for preset in ("cpu", "paper")
    }


def test_untrained_models_reproduce_nothing(name):
    def guessing(experiment):
        return {metric: experiment.untrained.get(metric, math.nan) for metric in experiment.metrics}

    found = words(get_paper(name), guessing, "ok", ("training",))
    assert {key: word for key, word in found.items() if word in POSITIVE} == {}


def test_diverged_models_reproduce_nothing(name):
    paper = get_paper(name)
    found = words(paper, lambda experiment: {"diverged_at": 7}, "diverged", EXPERIMENT_KINDS)
    assert len(found) == 2 * len(paper.claims)
    assert set(found.values()) <= {NOT_REPRODUCED}


def judged(paper, reported, id, preset, values):
    """The word on a claim where (experiment, variant, metric) has the same value in all seeds."""
    claim = paper.claim(id)
    experiment = paper.experiment(claim.experiment)
    read = {
        variant: {
            one[2]: value for one, value in values.items() if one[:2] == (experiment.name, variant)
        }
        for variant in {quantity.variant for quantity in claim.quantities}
    }
    evidence = Evidence(
        rows={variant: runs(experiment, preset, variant, of) for variant, of in read.items()},
        behaviour=lambda row: SAME,
        declared="",
        control=lambda control: judged(paper, reported, control, preset, values),
    )
    return judge(paper, claim, reported[id], preset, evidence)


def within(low, high):
    """A value well inside an interval, as a bound times a value need not give the bound again."""
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return 1.1 * low if math.isfinite(low) else 0.5 * high if math.isfinite(high) else 1.0


def worlds(paper, reported, claim, untrained=()):
    """Values of all that a claim and its controls read.

    The variants in `untrained` have those without training, in all experiments, and the others
    what the claim and its controls accept.
    """
    read = [claim, *(paper.claim(id) for id in paper.all_controls(claim))]
    fixed: dict = {}
    limits: dict = {}
    ratios: list = []
    for one in read:
        experiment = paper.experiment(one.experiment)
        low, high = one.accept.interval(reported[one.id].value)
        keys = [(experiment.name, side.variant, side.metric) for side in one.quantities]
        for key in keys:
            if key[1] in untrained:
                fixed[key] = experiment.untrained[key[2]]
            elif len(keys) == 1:
                least, most = limits.get(key, (-math.inf, math.inf))
                limits[key] = max(low, least), min(high, most)
            else:
                limits.setdefault(key, (-math.inf, math.inf))
        if len(keys) == 2:
            ratios.append((*keys, within(low, high)))
    choices = {key: [value] for key, value in fixed.items()}
    for key, ends in limits.items():
        choices[key] = [end for end in (*ends, within(*ends)) if math.isfinite(end)]
    for above, below, ratio in ratios * 2:  # twice: from what is fixed or bounded to the rest
        for key, other, factor in ((above, below, ratio), (below, above, 1 / ratio)):
            if key in limits:
                low, high = limits[key]
                wanted = [factor * value for value in choices[other]]
                choices[key] += [value for value in wanted if low <= value <= high]
    for chosen in itertools.product(*(dict.fromkeys(some) for some in choices.values())):
        yield dict(zip(choices, chosen, strict=True))


def training_claims(paper):
    reported = load_reported(ROOT / paper.name / "reported.csv")
    kinds = {one.name: one.kind for one in paper.experiments}
    return [(one, reported) for one in paper.claims if kinds[one.experiment] == "training"]


def test_a_model_that_learned_nothing_reproduces_nothing_beside_others_that_did(name):
    paper = get_paper(name)
    wrong = []
    for claim, reported in training_claims(paper):
        for variant in {quantity.variant for quantity in claim.quantities}:
            for values in worlds(paper, reported, claim, (variant,)):
                for preset in ("cpu", "paper"):
                    found = judged(paper, reported, claim.id, preset, values)
                    if found.word in POSITIVE:
                        wrong.append((claim.id, preset, variant, values))
    assert wrong == []


def test_models_that_pass_reproduce_what_they_should(name):
    """Else the test above would say nothing."""
    paper = get_paper(name)
    for claim, reported in training_claims(paper):
        medians = [paper.claim(id).aggregate for id in (claim.id, *paper.all_controls(claim))]
        if "median" not in medians:  # which so few seeds do not decide
            words = {
                judged(paper, reported, claim.id, "paper", values).word
                for values in worlds(paper, reported, claim)
            }
            assert words & set(POSITIVE), claim.id
