import csv
import io
import math
from dataclasses import replace

import pytest

from common.reproduce import report
from common.reproduce.ledger import ledger, stale
from common.reproduce.reported import Reported
from common.reproduce.results import record
from common.reproduce.spec import Quantity, at_most, within_relative
from common.reproduce.verdict import judge, measure
from tests.common.reproduce.test_results import row as made
from tests.common.reproduce.test_spec import claim, experiment, paper, preset

REPORTED = Reported(
    "one", "", "", "Table 1", "https://a.b", "mse", "a", 2.0, None, None, "one run", "%", "", ""
)


def verdict(values, name="paper", **changes):
    one = paper(claims=(claim(**changes),))
    return judge(one, one.claims[0], REPORTED, name, values)


@pytest.mark.parametrize(
    "aggregate, value", [("mean", 4.0), ("median", 2.0), ("best", 1.0), ("each", 9.0)]
)
def test_aggregates(aggregate, value):
    measured = measure(claim(aggregate=aggregate), {("a", "mse"): {0: 1.0, 1: 2.0, 2: 9.0}})
    assert (measured.value, measured.seeds) == (value, 3)
    assert measured.deviation == pytest.approx(math.sqrt(19.0))


def test_ratio_of_the_aggregates():
    values = {("a", "mse"): {0: 1.0, 1: 3.0}, ("b", "mse"): {0: 3.0, 1: 5.0}}
    measured = measure(claim(relative_to=Quantity("b", "mse")), values)
    assert measured.value == 0.5
    assert measured.deviation == pytest.approx(0.5 * math.sqrt(0.5 + 0.125))
    assert measured.seeds == 2


def test_ratio_to_zero_is_not_accepted():
    values = {("a", "mse"): {0: 0.0, 1: 0.0}, ("b", "mse"): {0: 0.0, 1: 0.0}}
    assert verdict(values, relative_to=Quantity("b", "mse")).word == "not reproduced"


def test_words():
    good, bad = {("a", "mse"): {0: 1.0}}, {("a", "mse"): {0: 3.0}}
    assert verdict(good).word == "reproduced"
    assert verdict(bad).word == "not reproduced"
    assert verdict({}).word == "not run"
    assert verdict(good, relative_to=Quantity("b", "mse")).word == "not run"
    assert verdict(good, "smoke").word == "smoke only"
    assert verdict(bad, "smoke").word == "smoke only"
    assert verdict({("a", "mse"): {0: 1.0, 1: math.nan}}, aggregate="best").word == "not reproduced"


def test_reduced_scale_is_said():
    presets = {name: preset() for name in ("smoke", "paper")}
    presets["cpu"] = preset(scale="reduced", reduces="Less.")
    one = paper(experiments=(experiment(presets=presets),))
    good, bad = {("a", "mse"): {0: 1.0}}, {("a", "mse"): {0: 3.0}}
    assert judge(one, one.claims[0], REPORTED, "cpu", good).word == "reproduced at reduced scale"
    assert judge(one, one.claims[0], REPORTED, "cpu", bad).word == "not reproduced"


def test_table_in_markdown_and_csv():
    values = {("a", "mse"): {0: 1.0, 1: 1.5}}
    rows = [verdict(values, accept=within_relative(0.5)), verdict({}, accept=at_most(3.0))]
    assert report.to_markdown(rows).splitlines()[2:] == [
        "| one | mse of a | 2 % | 1.25 ± 0.35 (2 of 3) | ± 50 % | paper | reproduced |",
        "| one | mse of a | 2 % | – | ≤ 3 | – | not run |",
    ]
    first, second = csv.DictReader(io.StringIO(report.to_csv(rows)))
    assert (first["measured"], first["seeds"], first["verdict"]) == ("1.25", "2", "reproduced")
    assert (second["measured"], second["verdict"]) == ("", "not run")


def test_what_is_not_reproduced_is_explained():
    good, bad = {("a", "mse"): {0: 1.0}}, {("a", "mse"): {0: 9.0}}
    rows = [
        replace(verdict(values, accept=at_most(3.0)), note="Hot.") for values in (good, bad, {})
    ]
    assert report.to_markdown(rows).splitlines()[-2:] == ["", "- `one`, `one`: Hot."]
    of_all = report.to_markdown(rows, papers=True)
    assert of_all.splitlines()[-1] == f"- {rows[1].paper}: `one`, `one`: Hot."
    explained = [row["explanation"] for row in csv.DictReader(io.StringIO(report.to_csv(rows)))]
    assert explained == ["", "Hot.", "Hot."]
    assert "Hot." not in report.to_markdown(rows[:1])


def test_table_goes_between_the_markers(tmp_path):
    path = tmp_path / "README.md"
    assert not report.replace_table(path, "| new |\n")
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.replace_table(path, "| \\1 |\n")
    assert path.read_text() == f"before\n{report.BEGIN}\n| \\1 |\n{report.END}\nafter\n"
    path.write_text("no markers\n")
    assert not report.replace_table(path, "| new |\n")
    assert path.read_text() == "no markers\n"


def test_ledger_judges_every_preset_at_its_present_settings(tmp_path):
    presets = {name: preset(scale="reduced", reduces="Less.") for name in ("smoke", "cpu")}
    one = paper(experiments=(experiment(presets={**presets, "paper": preset()}),))
    (tmp_path / "reported.csv").write_text(
        "id,paper,arxiv,location,url,metric,variant,value,deviation,n,statistic,unit,statement,"
        "note\none,,,T,https://a.b,mse,a,2,,,one run,,,\n"
    )

    def row(name, value, fingerprint=None):
        mark = fingerprint or one.experiments[0].fingerprint(name, "a")
        return made(preset=name, metrics={"mse": value}, fingerprint=mark)

    assert [entry.word for entry in ledger(one, tmp_path)] == ["not run"]
    path = tmp_path / "results.csv"
    record(path, row("paper", 1.0, "older"))
    assert [entry.word for entry in ledger(one, tmp_path)] == ["not run"]
    assert stale(one, tmp_path) == 1
    record(path, row("cpu", 1.0))
    assert [entry.word for entry in ledger(one, tmp_path)] == ["reproduced at reduced scale"]
    record(path, row("paper", 3.0))
    found = [(entry.preset, entry.word) for entry in ledger(one, tmp_path)]
    assert found == [("paper", "not reproduced"), ("cpu", "reproduced at reduced scale")]
    assert stale(one, tmp_path) == 1
