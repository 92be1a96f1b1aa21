"""What recorded runs were evaluated on is named in `checksums.csv`, and drawn as it was then."""

import importlib
from types import SimpleNamespace

import pytest

from common.reproduce.execute.trial import arguments
from common.tasks.checksums import recorded
from tests.helpers.evaluation_sets import INEXACT, TRIALS, EvaluationSet, recorded_runs

SMALL = 4 * 2**20


@pytest.fixture(scope="module")
def sets():
    from tests.helpers.evaluation_sets import recorded_sets

    return recorded_sets()


def test_all_of_them_are_named(sets):
    assert set(recorded()) == set(sets), "python -m tests.helpers.evaluation_sets"


def test_the_small_ones_are_drawn_as_they_were(sets):
    small = {key: one for key, one in sets.items() if one.bytes <= SMALL}
    assert len(small) > 100
    assert {key: one.digest() for key, one in small.items()} == {
        key: recorded()[key] for key in small
    }


@pytest.mark.slow
def test_the_large_ones_are_drawn_as_they_were(sets):
    large = {key: one for key, one in sets.items() if one.bytes > SMALL}
    assert {key: one.digest() for key, one in large.items()} == {
        key: recorded()[key] for key in large
    }


class Asked(Exception):
    """A trial has asked for its first set."""


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_asks_for_what_is_named(name, monkeypatch, tmp_path):
    module, _, function = name.partition(":")
    module = importlib.import_module(module)

    def evaluation_set(task, split, size=None, seed=0, data_dir=None):
        assert data_dir == tmp_path
        raise Asked(EvaluationSet(task, split, size, seed))

    monkeypatch.setattr(module, "evaluation_set", evaluation_set)
    recorded = [(settings, seed) for trial, settings, seed in recorded_runs() if trial == name]
    if not recorded:
        pytest.skip("nothing is recorded yet")
    settings, seed = recorded[0]
    run = SimpleNamespace(seed=seed, data_dir=tmp_path)
    with pytest.raises(Asked) as asked:
        getattr(module, function)(run, **settings)
    settings = arguments(getattr(module, function), settings)
    assert asked.value.args[0] == next(iter(TRIALS[name](seed, **settings)))


def test_every_other_recorded_trial_evaluates_on_no_task_or_an_inexact_one():
    others = {trial for trial, _, _ in recorded_runs()} - set(TRIALS)
    assert {trial for trial in others if _imports_a_task(trial)} == {
        "papers.lmu.experiments:capacity",
        "papers.lmu.experiments:lstm_capacity",
        "papers.lmu.experiments:mackey_glass",
    }


def _imports_a_task(trial: str) -> bool:
    module, _, function = trial.partition(":")
    code = getattr(importlib.import_module(module), function).__code__
    return "evaluation_set" in code.co_names or any(
        "evaluation_set" in const.co_names for const in code.co_consts if hasattr(const, "co_names")
    )


def test_what_is_left_out_says_so():
    from common.tasks import datasets

    assert all(hasattr(datasets, name) for name in INEXACT)
    assert not any("white_noise" in name or "mackey" in name for name, _, _ in recorded())
