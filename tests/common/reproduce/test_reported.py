import math

import pytest

from common.reproduce.files import format_csv
from common.reproduce.notes import COLUMNS as NOTE_COLUMNS
from common.reproduce.notes import load_notes
from common.reproduce.reported import (
    COLUMNS,
    load_reported,
    problems,
    reported_claims,
    source_problems,
    untrained_value,
)
from common.reproduce.spec import Quantity, at_least, at_most, within_absolute
from tests.common.reproduce.test_spec import claim, experiment, paper

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
    assert reported_claims(paper(), tmp_path) == reported


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


def found(tmp_path, row=None, untrained=None, **changes):
    """The problems of a claim on an error whose untrained value is 1."""
    untrained = {"mse": 1.0, "mae": 0.0} if untrained is None else untrained
    one = paper(
        experiments=(experiment(untrained=untrained),),
        claims=(claim(**changes), claim(id="learned", accept=at_most(0.5))),
        headline="H",
    )
    path = write(tmp_path / "reported.csv", {**(row or {})}, {"id": "learned"})
    found = problems(one, load_reported(path))
    if found:
        with pytest.raises(ValueError, match="Paper 'tiny': "):
            reported_claims(one, tmp_path)
    return found


@pytest.mark.parametrize(
    "row, changes, message",
    [
        ({}, {"accept": at_most(2.0)}, "untrained model's 1 satisfies"),
        ({}, {"accept": at_least(0.9)}, "untrained model's 1 satisfies"),
        ({}, {"relative_to": Quantity("b", "mse"), "accept": at_most(0.5)}, "those of a ratio"),
        ({}, {"aggregate": "best", "accept": at_most(0.5)}, "'best of 3', it is 'one run'"),
        (
            {"statistic": "best of 3"},
            {"aggregate": "best", "accept": at_most(2.0), "controls": ("learned",)},
            "the seed that learned least, expected 'each'",
        ),
        ({"statistic": "best of 2"}, {"aggregate": "best"}, "'best of 3', it is 'best of 2'"),
        ({"value": "", "statement": "s"}, {"accept": at_most(0.5)}, "expected 'ordering'"),
        ({"value": "", "statement": "s"}, {}, "expected bounds"),
        ({"value": "", "statement": "s"}, {"accept": within_absolute(1.0)}, "expected bounds"),
        ({}, {"quantity": Quantity("a", "mae"), "accept": at_most(9.0)}, "0 satisfies"),
    ],
)
def test_claims_that_cannot_mean_what_they_say_are_named(tmp_path, row, changes, message):
    (problem,) = found(tmp_path, row, **changes)
    assert message in problem


def test_sound_claims_have_no_problems(tmp_path):
    assert found(tmp_path) == []
    assert found(tmp_path, accept=at_most(2.0), controls=("learned",)) == []
    ratio = {"relative_to": Quantity("b", "mse"), "accept": at_most(0.5), "controls": ("learned",)}
    assert found(tmp_path, **ratio) == []
    assert found(tmp_path, {"statistic": "best of 3"}, aggregate="best") == []
    statement = {"value": "", "statement": "s"}
    assert found(tmp_path, statement, kind="ordering", accept=at_most(0.5)) == []


def test_what_an_untrained_model_gets_must_be_said(tmp_path):
    first, second = found(tmp_path, untrained={"mae": 1.0})
    assert "lacks ['mse'] in untrained" in first and "lacks ['mse'] in untrained" in second


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
        reported_claims(paper(), tmp_path)


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
