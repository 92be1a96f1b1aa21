"""What every paper in the tree must keep, found by walking `papers`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.reproduce import main
from common.reproduce.execute.results import load_results, of_fingerprint
from common.reproduce.judge.soundness import reported_claims
from papers import get_paper, list_papers

ROOT = Path(__file__).parents[3] / "papers"


def run(code):
    """Runs code in a process of its own, where nothing is imported yet."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True
    )


def test_declarations_import_neither_keras_nor_tensorflow():
    code = (
        "import sys, papers, papers.__main__, common.reproduce.cli\n"
        "for name in papers.list_papers(): papers.get_paper(name)\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_the_ledger_takes_a_million_calls():
    """Under two seconds on a laptop: calls are counted, as a test does not measure time."""
    code = (
        "import sys, papers.__main__ as command\n"
        "calls = 0\n"
        "def count(frame, event, argument):\n"
        "    global calls\n"
        "    calls += event == 'call'\n"
        "sys.argv = ['papers']\n"
        "sys.setprofile(count)\n"
        "code = command.main()\n"
        "sys.setprofile(None)\n"
        "heavy = {'keras', 'tensorflow', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or f'{calls} calls, imported {sorted(heavy)}')\n"
    )
    done = run(code)
    calls, _, heavy = done.stderr.strip().partition(" calls, imported ")
    assert heavy == "[]", done.stderr
    assert 100_000 < int(calls) < 1_000_000


def test_an_unknown_paper_is_named():
    with pytest.raises(ValueError, match="name is 'nothing'"):
        get_paper("nothing")


@pytest.mark.parametrize("name", list_papers())
def test_claims_are_reported_and_results_are_read(name):
    paper = get_paper(name)
    assert set(reported_claims(paper, ROOT / name)) == {claim.id for claim in paper.claims}
    rows = load_results(ROOT / name / "results.csv")
    assert "smoke" not in {row.preset for row in rows}


@pytest.mark.parametrize("name", list_papers())
def test_runs_recorded_under_other_names_of_settings_are_the_experiments_own(name):
    rows = load_results(ROOT / name / "results.csv")
    for experiment in get_paper(name).experiments:
        recorded = {(row.preset, row.variant) for row in rows if row.experiment == experiment.name}
        for preset, variant in recorded:
            if experiment.recorded_as and variant in experiment.variants:
                assert of_fingerprint(rows, experiment, preset, variant), (preset, variant)


@pytest.mark.parametrize("name", list_papers())
def test_trials_take_the_settings_of_every_preset(name, tmp_path):
    from common.reproduce.execute.plan import Plan
    from common.reproduce.execute.trial import load_trial

    paper = get_paper(name)
    for experiment in paper.experiments:
        for preset in experiment.presets:
            plan = Plan(
                paper=paper,
                directory=ROOT / name,
                experiment=experiment,
                preset=preset,
                variants=experiment.preset_variants(preset),
                seeds=experiment.seeds,
                runs_dir=tmp_path,
            )
            assert callable(load_trial(plan))


@pytest.mark.parametrize("name", list_papers())
def test_every_experiment_shows_its_settings_and_takes_others(name, monkeypatch, capsys):
    paper = get_paper(name)
    for experiment in paper.experiments:
        variant = experiment.preset_variants("cpu")[0]
        settings = experiment.settings("cpu", variant)
        command = ["--experiment", experiment.name, "--variant", variant, "--show"]
        for key, value in [("", None), *settings.items()]:
            given = ["--set", f"{key}={json.dumps(value)}"] if key else []
            monkeypatch.setattr(sys, "argv", [name, *command, *given])
            assert main(paper) == 0
            written = capsys.readouterr()
            assert written.err == ""
            lines = written.out.splitlines()
            for one, default in settings.items():
                mark = "  (--set)" if one == key else ""
                assert f"  {one}={json.dumps(default, ensure_ascii=False)}{mark}" in lines
