"""Every guard of a verdict, by rows made by hand."""

import math

import pytest

from common.reproduce.declare.spec import Quantity
from common.reproduce.declare.tolerances import at_least, at_most, between, within_absolute
from common.reproduce.execute.results import read_row
from common.reproduce.judge.measure import measure
from common.reproduce.judge.reported import Reported
from common.reproduce.judge.verdict import (
    CHANGED,
    SAME,
    UNKNOWN,
    Evidence,
    judge,
)
from tests.common.reproduce.declare.test_spec import claim, experiment, paper, preset
from tests.common.reproduce.execute.test_results import row as given

DAYS = [f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 29)]
DECLARED = DAYS[0]


def reported(value=2.0, deviation=None, n=None):
    return Reported(
        "one", "", "", "Table 1", "https://a.b", "mse", "a", value, deviation, n, "mean", "", "", ""
    )


def runs(*values, variant="a", metric="mse", date=DAYS[1], **changes):
    """A run a seed."""
    return [
        read_row(given(variant=variant, seed=seed, metrics={metric: value}, date=date, **changes))
        for seed, value in enumerate(values)
    ]


def verdict(
    *rows,
    name="paper",
    row=None,
    behaviour=lambda row: SAME,
    declared=DECLARED,
    controls=None,
    seeds=(0, 1, 2),
    **changes,
):
    """The verdict on a claim, by default mse of a <= 2, from rows in the order of their making."""
    presets = {one: preset() for one in ("smoke", "paper")}
    presets["cpu"] = preset(scale="reduced", reduces="Less.")
    experiments = (experiment(seeds=seeds, presets=presets),)
    others = tuple(claim(id=one) for one in controls or {})
    one = claim(controls=tuple(controls or {}), **changes)
    of_paper = paper(experiments=experiments, claims=(one, *others))
    by_variant = {}
    for made in rows:
        by_variant.setdefault(made.variant, []).append(made)

    def control(id):
        return judge(of_paper, claim(id=id), reported(), "paper", controls[id])

    evidence = Evidence(rows=by_variant, behaviour=behaviour, declared=declared, control=control)
    return judge(of_paper, one, row or reported(), name, evidence)


def evidence(*rows):
    return Evidence(
        rows={"a": rows}, behaviour=lambda row: SAME, declared=DECLARED, control=lambda id: None
    )


GOOD = runs(1.0, 1.1, 1.2)
BAD = runs(9.0, 9.1, 9.2)


@pytest.mark.parametrize(
    "kind, name, word, grade",
    [
        ("number", "paper", "reproduced", "exact"),
        ("number", "cpu", "reproduced at reduced scale", "reduced"),
        ("ordering", "paper", "agrees", "ordering"),
        ("ordering", "cpu", "agrees", "ordering"),
        ("static", "paper", "agrees", "static"),
    ],
)
def test_words_and_grades(kind, name, word, grade):
    good, bad = verdict(*GOOD, kind=kind, name=name), verdict(*BAD, kind=kind, name=name)
    assert (good.word, good.grade, good.reason) == (word, grade, "")
    assert (bad.word, bad.grade) == ("not reproduced", grade)


@pytest.mark.parametrize("name", ["cpu", "paper"])
def test_a_timing_is_never_exact(name):
    presets = {one: preset() for one in ("smoke", "cpu", "paper")}
    timing = experiment(kind="timing", seeds=(0, 1, 2, 3, 4), presets=presets)
    of_paper = paper(experiments=(timing,))
    rows = runs(1.0, 1.1, 1.2, 1.1, 1.0)
    found = judge(of_paper, of_paper.claims[0], reported(), name, evidence(*rows))
    assert (found.grade, found.word) == ("reduced", "reproduced at reduced scale")


def test_nothing_recorded():
    found = verdict()
    assert (found.word, found.measured, found.preset) == ("not run", None, "")


def test_smoke_decides_nothing():
    for rows in (GOOD, BAD):
        found = verdict(*rows, name="smoke")
        assert found.word == "" and found.measured is not None


def test_a_diverged_seed_fails_the_claim():
    rows = [*runs(1.0, 1.1), *runs(0, 0, 0, status="diverged")[2:]]
    lost = read_row(given(seed=2, status="diverged", metrics={"diverged_at": 1200}, date=DAYS[1]))
    for last in (rows[2], lost):
        for aggregate in ("mean", "median", "each", "best"):
            found = verdict(*rows[:2], last, aggregate=aggregate)
            assert found.word == "not reproduced", aggregate
    assert found.reason == "a seed 2 diverged at step 1,200"


def test_a_diverged_seed_of_the_other_side_fails_it_too():
    lost = read_row(given(variant="b", seed=2, status="diverged", metrics={"diverged_at": 7}))
    below = [*runs(9.0, 9.0, 9.0, variant="b")[:2], lost]
    ratio = Quantity("b", "mse")
    found = verdict(*GOOD, *below, relative_to=ratio, accept=at_most(0.5))
    assert (found.word, found.reason) == ("not reproduced", "b seed 2 diverged at step 7")


def test_a_seed_without_a_value_fails_it():
    found = verdict(*runs(1.0, math.nan, 1.2))
    assert (found.word, found.reason) == ("not reproduced", "a seed has no value")


@pytest.mark.parametrize("rows", [GOOD[:2], BAD[:2]])
def test_missing_seeds_decide_nothing(rows):
    found = verdict(*rows)
    assert (found.word, found.reason) == ("undecided", "2 of 3 seeds")
    assert found.measured.seeds == 2


def test_other_seeds_do_not_take_the_place_of_the_declared():
    found = verdict(*GOOD[:2], *runs(1, 1, 1, 1.0)[3:])
    assert (found.word, found.reason) == ("undecided", "2 of 3 seeds")


def test_missing_seeds_of_one_side_of_a_ratio():
    below = runs(9.0, 9.0, variant="b")
    found = verdict(*GOOD, *below, relative_to=Quantity("b", "mse"), accept=at_most(0.5))
    assert (found.word, found.reason) == ("undecided", "2 of 3 seeds of b")


def test_runs_of_a_dirty_tree_decide_nothing():
    for rows in (GOOD, BAD):
        dirty = runs(*[one.metrics["mse"] for one in rows], dirty=True)
        found = verdict(*rows[:2], dirty[2])
        assert (found.word, found.reason) == (
            "undecided",
            "runs of files that are in no commit, or that changed on the way",
        )


@pytest.mark.parametrize("what, said", [(CHANGED, "run again"), (UNKNOWN, "no probe tells")])
def test_runs_of_other_code_decide_nothing(what, said):
    for rows in (GOOD, BAD):
        found = verdict(*rows, behaviour=lambda row: what if row.seed == 1 else SAME)
        assert found.word == "undecided" and said in found.reason


@pytest.mark.parametrize("rows, word", [(BAD, "not reproduced"), ((), "not run")])
def test_a_claim_does_not_outlive_its_control(rows, word):
    found = verdict(*GOOD, controls={"learned": evidence(*rows)})
    assert (found.word, found.reason) == ("undecided", f"its control learned is {word}")
    assert verdict(*GOOD, controls={"learned": evidence(*GOOD)}).word == "reproduced"


def test_an_interval_over_the_bound_decides_nothing():
    # Mean 1.9, deviation 0.1: 1.65 to 2.15 at 95 %.
    found = verdict(*runs(1.8, 1.9, 2.0))
    assert found.word == "undecided"
    assert found.reason == "the 95 % interval 1.652 to 2.148 reaches over the bound"
    assert found.measured.interval == pytest.approx((1.6516, 2.1484), abs=1e-4)


def test_attempts_that_disagree_decide_nothing():
    for first, last in ((BAD, GOOD), (GOOD, BAD)):
        found = verdict(*first, *runs(*[one.metrics["mse"] for one in last], date=DAYS[2]))
        assert found.word == "undecided" and found.reason.startswith("attempts disagree")
    assert verdict(*GOOD, *GOOD).word == "reproduced"


def test_one_failed_attempt_of_one_seed_is_not_lost():
    found = verdict(BAD[1], *GOOD)
    assert found.word == "undecided" and found.reason.startswith("attempts disagree")
    lost = read_row(given(seed=2, status="diverged", metrics={"diverged_at": 7}))
    found = verdict(lost, *GOOD)
    assert found.word == "undecided" and found.reason.startswith("attempts disagree")


def test_attempts_of_other_code_do_not_disagree():
    old = runs(9.0, 9.1, 9.2, code="old")
    behaviour = {"old": CHANGED, "x": SAME}
    assert verdict(*old, *GOOD, behaviour=lambda row: behaviour[row.code]).word == "reproduced"


@pytest.mark.parametrize("declared", [DAYS[2], None])
def test_a_claim_that_is_younger_than_its_runs(declared):
    number = verdict(*GOOD, declared=declared)
    assert (number.word, number.post_hoc) == ("undecided", True)
    assert number.reason.startswith("post hoc")
    ordering = verdict(*GOOD, declared=declared, kind="ordering")
    assert (ordering.word, ordering.post_hoc) == ("agrees", True)
    failed = verdict(*BAD, declared=declared)
    assert (failed.word, failed.post_hoc) == ("not reproduced", True)
    assert not verdict(*GOOD).post_hoc


def test_one_older_run_makes_a_claim_post_hoc():
    found = verdict(*GOOD[:2], *runs(0, 0, 1.2, date=DAYS[1])[2:], declared=DAYS[1])
    assert not found.post_hoc
    found = verdict(*GOOD[:2], *runs(0, 0, 1.2, date=DAYS[0])[2:], declared=DAYS[1])
    assert found.post_hoc


def test_one_declared_seed_is_judged_by_its_value():
    assert verdict(*runs(1.99), seeds=(0,)).word == "reproduced"
    assert verdict(*runs(2.01), seeds=(0,)).word == "not reproduced"


@pytest.mark.parametrize(
    "values, word, hold",
    [
        ((1.0, 1.9, 1.99), "reproduced", 3),
        ((1.0, 1.9, 2.01), "undecided", 2),
        ((2.01, 9.0, 9.0), "not reproduced", 0),
    ],
)
def test_each_seed_alone(values, word, hold):
    found = verdict(*runs(*values), aggregate="each")
    assert (found.word, found.measured.hold) == (word, hold)
    if word == "undecided":
        assert found.reason == "2 of 3 seeds hold"


def test_each_seed_alone_of_a_ratio():
    below = runs(10.0, 1.0, 10.0, variant="b")
    found = verdict(
        *GOOD, *below, relative_to=Quantity("b", "mse"), accept=at_most(0.5), aggregate="each"
    )
    assert (found.word, found.measured.hold) == ("undecided", 2)


def test_the_best_seed():
    found = verdict(*runs(1.9, 9.0, 9.0), aggregate="best")
    assert (found.word, found.measured.value) == ("reproduced", 1.9)
    found = verdict(*runs(1.0, 1.0, 3.0), aggregate="best", accept=at_least(2.5))
    assert (found.word, found.measured.value) == ("reproduced", 3.0)


SIX = (0, 1, 2, 3, 4, 5)


def test_the_median_by_its_bootstrap():
    def found(*values):
        return verdict(*runs(*values), aggregate="median", seeds=SIX)

    assert found(1.0, 1.1, 1.2, 1.5, 1.6, 1.9).word == "reproduced"
    open_ = found(1.0, 1.1, 1.2, 1.8, 9.0, 9.0)
    assert (open_.word, open_.measured.value) == ("undecided", 1.5)
    assert open_.measured.interval[1] == 9.0
    assert found(2.1, 2.2, 2.3, 3.0, 9.0, 9.0).word == "not reproduced"


@pytest.mark.parametrize("values", [(1.0, 1.5, 1.9), (9.0, 9.1, 9.2), (1.0, 1.0, 1.0)])
def test_a_median_of_few_seeds_decides_nothing(values):
    for count in (1, 3, 5):
        few = (values * 2)[:count]
        found = verdict(*runs(*few), aggregate="median", seeds=SIX[:count])
        assert found.word == "undecided"
        assert found.reason == f"{count} seeds are too few for an interval of a median"
    below = runs(*(10.0 for _ in values), variant="b")
    ratio = {"relative_to": Quantity("b", "mse"), "accept": at_most(0.5)}
    found = verdict(*runs(*values), *below, aggregate="median", **ratio)
    assert found.reason == "3 seeds are too few for an interval of a median"


@pytest.mark.parametrize(
    "below, accept, word",
    [
        ((4.0, 4.1, 4.2), at_most(0.5), "reproduced"),
        ((2.2, 2.4, 2.0), at_most(0.5), "undecided"),
        ((1.0, 1.1, 1.2), at_most(0.5), "not reproduced"),
        ((4.0, 4.1, 4.2), at_least(0.5), "not reproduced"),
        ((4.0, 4.1, 4.2), between(0.2, 0.35), "reproduced"),
        ((4.0, 4.1, 4.2), between(0.2, 0.27), "undecided"),
        ((0.0, 0.0, 0.0), at_most(0.5), "not reproduced"),
        ((-4.0, -4.1, -4.2), at_most(0.5), "not reproduced"),
    ],
)
def test_ratios_are_tested_by_their_sides(below, accept, word):
    rows = (*GOOD, *runs(*below, variant="b"))
    assert verdict(*rows, relative_to=Quantity("b", "mse"), accept=accept).word == word


def test_a_published_deviation_widens_the_interval():
    accept = within_absolute(0.2)
    rows = runs(2.09, 2.10, 2.11)
    assert verdict(*rows, accept=accept).word == "reproduced"
    assert verdict(*rows, accept=accept, row=reported(2.0, 0.01, 3)).word == "reproduced"
    found = verdict(*rows, accept=accept, row=reported(2.0, 0.5, 3))
    assert found.word == "undecided"


def test_ratio_of_the_aggregates():
    ratio = claim(relative_to=Quantity("b", "mse"), accept=at_most(0.6))
    measured, _ = measure(ratio, reported(), [1.0, 3.0], [3.0, 5.0])
    assert (measured.value, measured.seeds) == (0.5, 2)
    assert measured.deviation == pytest.approx(0.5 * math.sqrt(0.5 + 0.125))
