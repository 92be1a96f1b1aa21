"""From the files of a paper to its verdicts."""

import json
import math

import pytest

from common.reproduce.declare.spec import Quantity
from common.reproduce.declare.tolerances import at_least, at_most, between
from common.reproduce.execute.results import read_row, record
from common.reproduce.files import format_csv
from common.reproduce.judge import tables
from common.reproduce.judge.declared import claim_digest, declare, declared_dates, load_declared
from common.reproduce.judge.ledger import Book, judge_runs
from common.reproduce.judge.notes import COLUMNS as NOTES
from common.reproduce.judge.probes import Probe, add_probe, load_probes
from common.reproduce.judge.words import word
from tests.common.reproduce.declare.test_spec import claim, experiment, paper, preset
from tests.common.reproduce.execute.test_results import row as given
from tests.common.reproduce.judge.test_reported import write

PRESENT = "present"
EARLY, LATE = "2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def present_code(monkeypatch):
    monkeypatch.setattr("common.reproduce.judge.behaviour.code_hash", lambda *arguments: PRESENT)


def make(kind="training", **changes):
    presets = {name: preset(scale="reduced", reduces="Less.") for name in ("smoke", "cpu")}
    seeds = (0, 1, 2, 3, 4) if kind == "timing" else (0, 1)
    one = experiment(kind=kind, seeds=seeds, presets={**presets, "paper": preset()})
    return paper(experiments=(one,), claims=(claim(accept=between(0.0, 2.0), **changes),))


def fill(directory, of, name="cpu", values=(1.0, 1.01), **changes):
    """Records a run a seed, of the present code and settings."""
    mark = of.experiments[0].fingerprint(name, changes.get("variant", "a"))
    for seed, value in enumerate(values):
        one = {"preset": name, "seed": seed, "metrics": {"mse": value}, "fingerprint": mark}
        one |= {"code": PRESENT, "commit": "c1", "date": "2026-02-01T00:00:00+00:00"}
        record(directory / "results.csv", given(**{**one, **changes}))


def declared(directory, of, date=EARLY):
    declare(of, directory, "c0", date)
    write(directory / "reported.csv", {})


def words(of, directory):
    return [(one.preset, one.word) for one in Book(of, directory).verdicts()]


def test_every_preset_is_judged_at_its_present_settings(tmp_path):
    one = make()
    declared(tmp_path, one)
    assert words(one, tmp_path) == [("", "not run")]
    fill(tmp_path, one, "paper", fingerprint="older")
    assert words(one, tmp_path) == [("", "not run")]
    assert Book(one, tmp_path).stale() == 2
    fill(tmp_path, one)
    assert words(one, tmp_path) == [("cpu", "reproduced at reduced scale")]
    fill(tmp_path, one, "paper", (3.0, 3.01))
    expected = [("paper", "not reproduced"), ("cpu", "reproduced at reduced scale")]
    assert words(one, tmp_path) == expected


def test_a_seed_without_a_value_is_null_in_json(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, values=(1.0, math.nan))
    (found,) = json.loads(tables.to_json([Book(one, tmp_path)]))
    (row,) = found["claims"]
    assert (row["verdict"], row["measured"], row["hold"]) == ("not reproduced", None, None)
    assert (row["reported"], row["tolerance"]) == (0.007, "0 to 2")


def test_a_claim_is_declared_once(tmp_path):
    one = make()
    assert declare(one, tmp_path, "c0", LATE) == ["one"]
    assert declare(one, tmp_path, "c1", LATE) == []
    other = make(quantity=Quantity("b", "mse"))
    assert declare(other, tmp_path, "c2", LATE) == ["one"]
    assert [row.commit for row in load_declared(tmp_path)] == ["c0", "c2"]
    assert declared_dates(one, tmp_path) == {"one": LATE}
    assert declared_dates(make(quantity=Quantity("b", "mae")), tmp_path) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"experiment": "other"},
        {"quantity": Quantity("b", "mse")},
        {"quantity": Quantity("a", "mae")},
        {"relative_to": Quantity("b", "mse")},
        {"accept": at_most(1.0)},
        {"accept": at_least()},
    ],
)
def test_the_digest_follows_what_a_claim_says(changes):
    assert claim_digest(claim(**changes)) != claim_digest(claim())


def test_the_digest_follows_nothing_else():
    assert claim_digest(claim(reason="Other.", kind="ordering")) == claim_digest(claim())


def test_runs_before_the_declaration(tmp_path):
    one = make()
    declared(tmp_path, one, LATE)
    fill(tmp_path, one)
    (found,) = Book(one, tmp_path).verdicts()
    assert (found.word, found.post_hoc) == ("undecided", True)


def probe(losses, code=PRESENT, commit="c9", seed=0, **changes):
    return Probe("fit", "cpu", "a", seed, commit, code, LATE, losses, "cpu")


OLD = {"code": "old", "probe": [3.0, 2.0, 1.0]}


def test_code_that_computes_the_same_by_its_probe(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, **OLD)
    assert words(one, tmp_path) == [("cpu", "undecided")]
    (needed,) = Book(one, tmp_path).probes_lacking()
    assert needed[1:] == ("cpu", "a", 0)
    add_probe(tmp_path, probe((3.0, 2.0, 1.00001)))
    assert words(one, tmp_path) == [("cpu", "reproduced at reduced scale")]
    assert Book(one, tmp_path).probes_lacking() == []


def test_code_that_computes_something_else(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, **OLD)
    add_probe(tmp_path, probe((3.0, 2.0, 1.001)))
    (found,) = Book(one, tmp_path).verdicts()
    assert found.word == "undecided" and "computes something else" in found.reason


@pytest.mark.parametrize(
    "entry",
    [
        probe((3.0, 2.0, 1.0), seed=1),  # no run of that seed and code has a probe
        probe((3.0, 2.0, 1.0), code="third"),
        probe(()),
    ],
)
def test_probes_that_tell_nothing(tmp_path, entry):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, values=(1.0,), **OLD)
    fill(tmp_path, one, values=(1.0, 1.01), **{**OLD, "probe": [], "process": "later"})
    add_probe(tmp_path, entry)
    (found,) = Book(one, tmp_path).verdicts()
    assert found.word == "undecided" and "no probe tells" in found.reason


def test_an_old_run_is_known_by_the_probe_of_its_commit(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, code="", commit="c1")
    add_probe(tmp_path, probe((3.0, 2.0, 1.0), code="", commit="c1"))
    assert words(one, tmp_path) == [("cpu", "undecided")]
    add_probe(tmp_path, probe((3.0, 2.0, 1.0)))
    assert words(one, tmp_path) == [("cpu", "reproduced at reduced scale")]
    text = (tmp_path / "probes.csv").read_text()
    add_probe(tmp_path, probe((4.0, 2.0, 1.0)))
    assert (tmp_path / "probes.csv").read_text().startswith(text)
    assert words(one, tmp_path) == [("cpu", "undecided")]  # the newest probe counts
    assert len(load_probes(tmp_path)) == 3


def test_a_later_run_is_a_probe_of_the_present_code(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, **OLD)
    fill(tmp_path, one, values=(1.0,), probe=OLD["probe"], process="later")
    assert words(one, tmp_path) == [("cpu", "reproduced at reduced scale")]


def test_a_run_of_other_settings_is_no_probe(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, **OLD)
    fill(tmp_path, one, values=(1.0,), probe=[9.0, 9.0, 9.0], fingerprint="older")
    assert words(one, tmp_path) == [("cpu", "undecided")]
    (found,) = Book(one, tmp_path).verdicts()
    assert "no probe tells" in found.reason


@pytest.mark.parametrize("kind", ["timing", "static"])
def test_what_trains_nothing_is_known_by_its_code_alone(tmp_path, kind):
    one = make(kind)
    declared(tmp_path, one)
    values = [1.0, 1.01, 1.0, 1.01, 1.0][: len(one.experiments[0].seeds)]
    fill(tmp_path, one, values=values, **OLD)
    add_probe(tmp_path, probe((3.0, 2.0, 1.0)))
    (found,) = Book(one, tmp_path).verdicts()
    assert (found.word, found.reason) == ("undecided", "the code has changed: run again")
    assert Book(one, tmp_path).probes_lacking() == []
    fill(tmp_path, one, values=values, process="later")
    assert words(one, tmp_path) == [("cpu", "reproduced at reduced scale")]


@pytest.mark.parametrize(
    "value, changes, word",
    [
        (1.1, {}, "reproduced at reduced scale"),  # a tenth above the greatest of the others
        (0.91, {}, "reproduced at reduced scale"),
        (1.12, {}, "undecided"),
        (0.89, {}, "undecided"),
        (math.nan, {}, "undecided"),
        (1.0, {"hardware": "another"}, "undecided"),
        (1.0, {"dirty": True}, "undecided"),
        (1.0, {"preset": "paper"}, "undecided"),
    ],
)
def test_one_process_of_the_present_code_keeps_a_timing(tmp_path, value, changes, word):
    one = make("timing")
    declared(tmp_path, one)
    fill(tmp_path, one, values=(1.0, 1.01, 1.0, 1.01, 1.0), **{**OLD, "probe": []})
    fill(tmp_path, one, values=(value,), process="later", **changes)
    found = {v.preset: v.word for v in Book(one, tmp_path).verdicts()}
    assert found["cpu"] == word


def test_a_timing_without_a_hash_is_of_other_code(tmp_path):
    one = make("timing")
    declared(tmp_path, one)
    fill(tmp_path, one, values=(1.0, 1.01, 1.0, 1.01, 1.0), code="")
    fill(tmp_path, one, values=(1.0,), process="later")
    assert words(one, tmp_path) == [("cpu", "undecided")]


def test_a_probe_that_cannot_be_read_is_named(tmp_path):
    add_probe(tmp_path, probe((1.0,)))
    path = tmp_path / "probes.csv"
    path.write_text(path.read_text().replace("[1.0]", "[one]"))
    with pytest.raises(ValueError, match="probes.csv, row 1"):
        load_probes(tmp_path)


def test_controls_are_judged_at_the_same_preset(tmp_path):
    control = claim(id="learned", accept=between(0.0, 0.5), quantity=Quantity("b", "mse"))
    rests = claim(accept=between(0.0, 2.0), controls=("learned",))
    one = paper(experiments=make().experiments, claims=(rests, control))
    declare(one, tmp_path, "c0", EARLY)
    write(tmp_path / "reported.csv", {}, {"id": "learned"})
    fill(tmp_path, one)
    fill(tmp_path, one, "paper")
    fill(tmp_path, one, "paper", (0.1, 0.11), variant="b")
    found = [(v.claim.id, v.preset, v.word) for v in Book(one, tmp_path).verdicts()]
    assert found == [
        ("one", "paper", "reproduced"),
        ("one", "cpu", "undecided"),
        ("learned", "paper", "reproduced"),
    ]


def test_notes_grow_stale(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one)
    for date, stale in (("2026-02-01T00:00:00+00:00", False), (EARLY, True)):
        row = {"claim": "one", "preset": "cpu", "date": date, "text": "Why."}
        (tmp_path / "notes.csv").write_text(format_csv(NOTES, [row]))
        (found,) = Book(one, tmp_path).verdicts()
        assert (found.note.text, found.stale) == ("Why.", stale)


@pytest.mark.parametrize(
    "ids, accepts, word",
    [
        ((), (2.0, 2.0), "not attempted"),
        (("one", "two"), (2.0, 2.0), "yes"),
        (("one", "two"), (2.0, 0.5), "partly"),
        (("two",), (2.0, 0.5), "no"),
        (("two", "three"), (2.0, 0.5), "undecided"),
    ],
)
def test_headlines(tmp_path, ids, accepts, word):
    claims = (
        claim(accept=between(0.0, accepts[0])),
        claim(id="two", accept=between(0.0, accepts[1])),
        claim(id="three", quantity=Quantity("b", "mae"), accept=between(0.0, 1.0)),
    )
    one = paper(experiments=make().experiments, claims=claims, headline_claims=ids)
    declare(one, tmp_path, "c0", EARLY)
    write(tmp_path / "reported.csv", {}, {"id": "two"}, {"id": "three"})
    fill(tmp_path, one)
    assert Book(one, tmp_path).headline == word


def headline(directory, claims, date=EARLY):
    """Of a paper with runs of a, 1.0 and 1.01 in mse; the first claim is declared early."""
    one = paper(
        experiments=make().experiments,
        claims=claims,
        headline_claims=tuple(one.id for one in claims),
    )
    first = paper(experiments=one.experiments, claims=claims[:1])
    declare(first, directory, "c0", EARLY)
    declare(one, directory, "c0", date)
    write(directory / "reported.csv", *({"id": one.id} for one in claims))
    fill(directory, one)
    return Book(one, directory).headline


@pytest.mark.parametrize("bound, word", [(2.0, "undecided"), (0.5, "no")])
def test_what_is_static_makes_no_headline(tmp_path, bound, word):
    static = claim(kind="static", accept=between(0.0, bound))
    assert headline(tmp_path, (static,)) == word


@pytest.mark.parametrize("kind, word", [("static", "partly"), ("ordering", "yes")])
def test_a_static_claim_beside_one_that_says_something(tmp_path, kind, word):
    claims = (claim(accept=between(0.0, 2.0)), claim(id="two", kind=kind, accept=between(0.0, 3.0)))
    assert headline(tmp_path, claims) == word


def test_what_is_post_hoc_makes_no_headline(tmp_path):
    late = claim(id="two", kind="ordering", accept=between(0.0, 3.0))
    assert headline(tmp_path, (claim(accept=between(0.0, 2.0)), late), LATE) == "partly"
    one = paper(experiments=make().experiments, claims=(late,), headline_claims=("two",))
    (found,) = Book(one, tmp_path).verdicts()
    assert (found.word, found.post_hoc) == ("agrees", True)
    assert Book(one, tmp_path).headline == "undecided"


def test_runs_of_earlier_settings_are_told(tmp_path):
    one = make()
    declared(tmp_path, one)
    fill(tmp_path, one, "paper", fingerprint="older")

    def told():
        return [word(found) for found in Book(one, tmp_path).verdicts()]

    assert told() == ["not run; 1 earlier setting"]
    fill(tmp_path, one)
    assert told() == ["reproduced at reduced scale; 1 earlier setting"]
    fill(tmp_path, one, fingerprint="oldest")
    fill(tmp_path, one, variant="b", fingerprint="another")
    assert told() == ["reproduced at reduced scale; 2 earlier settings"]
    fill(tmp_path, one, "paper")
    assert told() == [
        "reproduced; 1 earlier setting",
        "reproduced at reduced scale; 1 earlier setting",
    ]
    book = Book(one, tmp_path)
    assert "; 1 earlier setting |" in tables.ledger_markdown([book])
    assert [row["earlier_settings"] for row in json.loads(tables.to_json([book]))[0]["claims"]] == [
        1,
        1,
    ]


def test_every_column_of_the_summary_has_a_name(tmp_path):
    one = make()
    declared(tmp_path, one)
    header = tables.summary_markdown([Book(one, tmp_path)], "{}").splitlines()[0]
    assert all(cell.strip() for cell in header.strip("|").split("|"))


def test_runs_just_made_are_judged_in_place_of_the_recorded(tmp_path):
    one = make()
    write(tmp_path / "reported.csv", {})
    fill(tmp_path, one)

    def made(name, *values, **changes):
        return [
            read_row(
                given(preset=name, seed=seed, metrics={"mse": value}, dirty=True, code=PRESENT)
                | {"fingerprint": one.experiments[0].fingerprint(name, "a"), **changes}
            )
            for seed, value in enumerate(values)
        ]

    def judged(name, runs):
        (found,) = judge_runs(one, tmp_path, one.experiments[0], name, runs)
        return found.word

    assert judged("cpu", made("cpu", 3.0, 3.01)) == "not reproduced"
    assert judged("cpu", made("cpu", 1.0, 1.01)) == "reproduced at reduced scale"
    assert judged("cpu", made("cpu", 1.0)) == "undecided"
    assert judged("cpu", made("cpu", 1.0, 1.01, code="old", probe=[])) == "undecided"
    assert judged("smoke", made("smoke", 1.0)) == ""
