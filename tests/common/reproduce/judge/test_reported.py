import math

import pytest

from common.reproduce.declare.spec import Quantity
from common.reproduce.declare.tolerances import (
    at_least,
    at_most,
    between,
    within_absolute,
    within_relative,
)
from common.reproduce.files import format_csv
from common.reproduce.judge.notes import COLUMNS as NOTE_COLUMNS
from common.reproduce.judge.notes import load_notes
from common.reproduce.judge.reported import COLUMNS, load_reported
from common.reproduce.judge.soundness import (
    problems,
    reported_claims,
    source_problems,
    untrained_value,
)
from tests.common.reproduce.declare.test_spec import claim, experiment, paper

ROW = {
    "id": "one",
    "arxiv": "1912.00001v2",
    "location": "Table 1, row a",
    "url": "https://arxiv.org/abs/1912.00001v2",
    "metric": "mse",
    "variant": "a",
    "value": "7e-3",
    "statistic": "one run",
    "unit": "s",
    "note": "x, y",
}


def write(path, *rows):
    path.write_text(format_csv(COLUMNS, [{**ROW, **row} for row in rows]))
    return path


def test_reported_rows(tmp_path):
    path = write(tmp_path / "reported.csv", {"deviation": "0.001", "n": "3"})
    reported = load_reported(path)
    one = reported["one"]
    assert (one.value, one.deviation, one.n, one.note) == (0.007, 0.001, 3, "x, y")
    assert reported_claims(paper(claims=(claim(kind="ordering"),)), tmp_path) == reported


def test_a_statement_stands_where_there_is_no_number(tmp_path):
    path = write(tmp_path / "reported.csv", {"value": "", "statement": "a is below b"})
    assert load_reported(path)["one"].value is None


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"value": "much"}], "value is 'much'"),
        ([{"value": "nan"}], "value is 'nan'"),
        ([{"deviation": "inf"}], "deviation is 'inf'"),
        ([{"n": "2.5"}], "n is '2.5'"),
        ([{"value": "", "statement": " "}], "value and statement"),
        ([{"url": ""}], "url is ''"),
        ([{"statistic": ""}], "statistic is ''"),
        ([{}, {}], "comes twice"),
        ([{"id": ""}], "id is ''"),
    ],
)
def test_bad_reported_rows_are_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        load_reported(write(tmp_path / "reported.csv", *rows))


def test_a_claim_needs_its_reported_row(tmp_path):
    write(tmp_path / "reported.csv", {"id": "other"})
    with pytest.raises(ValueError, match=r"claims \['one'\] have no row"):
        reported_claims(paper(), tmp_path)


LEARNED = {"kind": "ordering", "accept": at_most(0.5)}
OF_B = {"relative_to": Quantity("b", "mse"), "accept": at_most(0.5)}


def found(tmp_path, row=None, untrained=None, experiments=None, **changes):
    """The problems of a claim on an error whose untrained value is 1, beside sound ones."""
    untrained = {"mse": 1.0, "mae": 0.0} if untrained is None else untrained
    others = (
        claim(id="learned", **LEARNED),
        claim(id="b-learned", quantity=Quantity("b", "mse"), **LEARNED),
        claim(id="elsewhere", experiment="other", **LEARNED),
        claim(id="b-elsewhere", experiment="other", quantity=Quantity("b", "mse"), **LEARNED),
    )
    one = paper(
        experiments=experiments
        or (experiment(untrained=untrained), experiment(name="other", untrained=untrained)),
        claims=(claim(**{"kind": "ordering", **changes}), *others),
    )
    rows = [{"id": other.id} for other in others]
    found = problems(one, load_reported(write(tmp_path / "reported.csv", row or {}, *rows)))
    if found:
        with pytest.raises(ValueError, match="Paper 'tiny': "):
            reported_claims(one, tmp_path)
    return found


@pytest.mark.parametrize(
    "row, changes, message",
    [
        ({}, {"accept": at_most(2.0)}, "'a' fails where it learned nothing, whose 1 satisfies"),
        ({}, {"accept": at_least(0.9)}, "learned nothing, whose 1 satisfies"),
        ({}, {"accept": at_most(2.0), "controls": ("b-learned",)}, "one that 'a' fails"),
        ({}, {**OF_B, "controls": ("learned",)}, "those of a ratio: one that 'b' fails"),
        ({}, {**OF_B, "controls": ("b-learned",)}, "those of a ratio: one that 'a' fails"),
        ({}, {**OF_B, "controls": ("learned", "b-elsewhere")}, "one that 'b' fails"),
        ({}, {"aggregate": "best", "accept": at_most(0.5)}, "'best of 3', it is 'one run'"),
        (
            {"statistic": "best of 3"},
            {"aggregate": "best", "accept": at_most(2.0), "controls": ("learned",)},
            "the seed that learned least, expected 'each'",
        ),
        ({"statistic": "best of 2"}, {"aggregate": "best"}, "'best of 3', it is 'best of 2'"),
        (
            {"value": "", "statement": "s"},
            {"kind": "number", "accept": at_most(0.5)},
            "expected 'ordering'",
        ),
        ({"value": "", "statement": "s"}, {}, "expected bounds"),
        ({"value": "", "statement": "s"}, {"accept": within_absolute(1.0)}, "expected bounds"),
        ({}, {"quantity": Quantity("a", "mae"), "accept": at_most(9.0)}, "whose 0 satisfies"),
    ],
)
def test_claims_that_cannot_mean_what_they_say_are_named(tmp_path, row, changes, message):
    (problem,) = found(tmp_path, row, **changes)
    assert message in problem


def test_a_ratio_needs_controls_of_both_sides(tmp_path):
    first, second = found(tmp_path, **OF_B)
    assert "one that 'a' fails" in first and "one that 'b' fails" in second
    assert found(tmp_path, **OF_B, controls=("learned", "b-learned")) == []
    both = {"relative_to": Quantity("a", "mae"), "accept": at_most(0.5)}
    (problem,) = found(tmp_path, untrained={"mse": 1.0, "mae": 4.0}, **both)
    assert "one that 'a' fails" in problem
    assert found(tmp_path, **both, untrained={"mse": 1.0, "mae": 1.0}) == []


# An untrained model has no value here, and none that satisfies a claim there.
NEVER = (
    experiment(untrained={"mse": math.nan}),
    experiment(name="other", untrained={"mse": 9.0}),
)


@pytest.mark.parametrize(
    "row, accept",
    [
        ({"value": "0.5"}, at_most()),
        ({"value": "0.5"}, at_most(0.6)),
        ({"value": "0.94"}, at_least(0.9)),
        ({"value": "94", "unit": "%"}, at_least(90.0)),
        ({"value": "0.97", "unit": "%"}, at_least(0.9)),
        ({"value": "20"}, at_least(20.0)),
        ({"value": "1"}, at_most(0.9)),
    ],
)
def test_a_number_with_one_bound_is_named(tmp_path, row, accept):
    (problem,) = found(tmp_path, row, kind="number", accept=accept, experiments=NEVER)
    assert "expected two bounds of a number" in problem


@pytest.mark.parametrize(
    "row, accept",
    [
        ({"value": "0.5"}, within_absolute(0.1)),
        ({"value": "0.5"}, within_relative(0.1)),
        ({"value": "0.5"}, between(0.0, 0.6)),
        ({"value": "0.95"}, at_least(0.9)),
        ({"value": "95", "unit": "%"}, at_least(90.0)),
        ({"value": "1"}, at_least()),
    ],
)
def test_a_number_has_two_bounds_or_nothing_above_it(tmp_path, row, accept):
    assert found(tmp_path, row, kind="number", accept=accept, experiments=NEVER) == []


@pytest.mark.parametrize("kind, seeds", [("timing", (0, 1, 2, 3, 4)), ("static", (0,))])
def test_what_trains_nothing_has_no_top(kind, seeds, tmp_path):
    one = paper(
        experiments=(experiment(kind=kind, seeds=seeds),), claims=(claim(accept=at_least(0.9)),)
    )
    rows = load_reported(write(tmp_path / "reported.csv", {"value": "1"}))
    (problem,) = problems(one, rows)
    assert "expected two bounds of a number" in problem


def test_a_ratio_has_no_top(tmp_path):
    ratio = {"relative_to": Quantity("b", "mse"), "controls": ("learned", "b-learned")}
    (problem,) = found(tmp_path, {"value": "1"}, kind="number", accept=at_least(0.9), **ratio)
    assert "expected two bounds of a number" in problem


def test_sound_claims_have_no_problems(tmp_path):
    assert found(tmp_path, accept=at_most(0.5)) == []
    for control in ("learned", "elsewhere"):
        assert found(tmp_path, accept=at_most(2.0), controls=(control,)) == []
    assert found(tmp_path, {"statistic": "best of 3"}, aggregate="best") == []
    statement = {"value": "", "statement": "s"}
    assert found(tmp_path, statement, accept=at_most(0.5)) == []


def test_what_an_untrained_model_gets_must_be_said(tmp_path):
    for problem in found(tmp_path, untrained={"mae": 1.0}):
        assert "lacks ['mse'] in untrained" in problem


def test_untrained_value_of_a_ratio():
    ratio = claim(relative_to=Quantity("b", "mae"))
    one = paper(experiments=(experiment(untrained={"mse": 1.0, "mae": 4.0}),), claims=(ratio,))
    assert untrained_value(one, ratio) == 0.25
    one = paper(experiments=(experiment(untrained={"mse": 1.0, "mae": 0.0}),), claims=(ratio,))
    assert math.isnan(untrained_value(one, ratio))


@pytest.mark.parametrize(
    "row, message",
    [
        ({"note": "stored text id 7"}, "says 'stored text'"),
        ({"note": "ten is ours"}, "says 'is ours'"),
        ({"statement": "Derived from b"}, "says 'derived'"),
        ({"arxiv": "2312.00752"}, "arxiv is '2312.00752'"),
        ({"url": "arxiv.org"}, "url is 'arxiv.org'"),
    ],
)
def test_sources_that_nobody_can_look_up_are_named(tmp_path, row, message):
    path = tmp_path / "reported.csv"
    assert source_problems(load_reported(write(path, {}))) == []
    (problem,) = source_problems(load_reported(write(path, row)))
    assert message in problem
    with pytest.raises(ValueError, match="id 'one'"):
        reported_claims(paper(claims=(claim(**LEARNED),)), tmp_path)


def test_the_newest_note_counts(tmp_path):
    rows = [
        {"claim": "one", "preset": "cpu", "date": date, "text": text}
        for date, text in (("2026-01-02", "b"), ("2026-01-03", "c"), ("2026-01-01", "a"))
    ]
    (tmp_path / "notes.csv").write_text(format_csv(NOTE_COLUMNS, rows))
    notes = load_notes(paper(), tmp_path)
    assert {key: note.text for key, note in notes.items()} == {("one", "cpu"): "c"}


@pytest.mark.parametrize(
    "row, message",
    [
        ({"claim": "two"}, "expected a claim of the paper"),
        ({"preset": "big"}, "preset is 'big'"),
        ({"text": ""}, "text is ''"),
    ],
)
def test_bad_notes_are_named(tmp_path, row, message):
    good = {"claim": "one", "preset": "cpu", "date": "2026-01-02", "text": "b"}
    (tmp_path / "notes.csv").write_text(format_csv(NOTE_COLUMNS, [{**good, **row}]))
    with pytest.raises(ValueError, match=message):
        load_notes(paper(), tmp_path)
