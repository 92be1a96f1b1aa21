import math
import multiprocessing
from dataclasses import replace

import pytest

from common.reproduce.execute import results
from common.reproduce.execute.results import (
    GIVEN,
    load_results,
    merge,
    of_fingerprint,
    read_row,
    record,
    verify,
)
from common.reproduce.files import format_csv
from tests.common.reproduce.declare.test_spec import experiment


def row(**changes):
    """A row as the runner gives it."""
    values = dict.fromkeys(GIVEN, "x")
    values |= {"experiment": "fit", "preset": "cpu", "variant": "a", "seed": 0, "status": "ok"}
    values |= {"metrics": {"mse": 0.5}, "probe": [3.0, 2.0], "settings": {"steps": 1}}
    values |= {"dirty": False, "seconds": 1.5, "date": "2026-01-01T00:00:00+00:00"}
    return {**values, "process": "2026-01-01T00:00:00+00:00 1", **changes}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tiny" / "results.csv"


def test_record_adds_and_never_rewrites(path):
    record(path, row())
    before = path.read_bytes()
    record(path, row(date="2026-01-02", metrics={"mse": 0.25}))
    record(path, row(date="2026-01-02", seed=1))
    assert path.read_bytes().startswith(before)
    found = [(one.attempt, one.seed, one.metrics) for one in load_results(path)]
    assert found == [(1, 0, {"mse": 0.5}), (2, 0, {"mse": 0.25}), (1, 1, {"mse": 0.5})]
    verify(path)


def test_a_run_that_is_recorded_is_not_recorded_again(path):
    record(path, row())
    before = path.read_bytes()
    record(path, row())
    assert path.read_bytes() == before
    record(path, row(process="another"))
    assert [one.attempt for one in load_results(path)] == [1, 2]


def test_rows_come_back_in_full(path):
    metrics = {"mse": 0.1 + 0.2, "updates": math.inf}
    record(path, row(metrics=metrics, probe=[1 / 3], settings={"b": [1, {"c": None}], "a": 'x,"y'}))
    (one,) = load_results(path)
    assert one.metrics == metrics
    assert one.probe == (1 / 3,)
    assert one.settings == {"b": [1, {"c": None}], "a": 'x,"y'}
    assert (one.dirty, one.seconds, one.lacks) == (False, 1.5, ())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"status": "lost"}, "status is 'lost'"),
        ({"seconds": "long"}, "seconds is 'long'"),
        ({"metrics": {"mse": "low"}}, "metrics is"),
        ({"probe": 1.0}, "probe is"),
        ({"dirty": "maybe"}, "dirty is 'maybe'"),
        ({"seed": "one"}, "seed is 'one'"),
        ({"extra": 1}, r"see \['extra'\]"),
    ],
)
def test_rows_that_could_not_be_read_are_not_written(path, changes, message):
    with pytest.raises(ValueError, match=message):
        record(path, row(**changes))
    assert not path.exists()


def test_results_with_other_columns_are_refused(path):
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has the columns"):
        load_results(path)
    with pytest.raises(ValueError, match="has the columns"):
        verify(path)


def rows_of(path):
    for seed in range(3):
        record(path, row(seed=seed))
    return path.read_text().splitlines(keepends=True)


def test_any_changed_character_is_found(path):
    text = "".join(rows_of(path))
    verify(path)
    for position in [*range(0, len(text), 7), *range(len(text) - 40, len(text))]:
        for other in ("7", "\n", '"', ","):
            if text[position] != other:
                path.write_text(text[:position] + other + text[position + 1 :])
                with pytest.raises(ValueError, match="results.csv"):
                    verify(path)


def test_the_row_that_was_changed_is_named(path):
    header, first, second, third = rows_of(path)
    path.write_text(header + first + second.replace("0.5", "0.4") + third)
    with pytest.raises(ValueError, match="results.csv, row 2: digest"):
        verify(path)


@pytest.mark.parametrize("order", [(0, 2), (1, 2), (1, 0, 2), (0, 0, 1, 2), (0, 1, 1)])
def test_rows_taken_out_moved_or_repeated_are_found(path, order):
    header, *rows = rows_of(path)
    path.write_text(header + "".join(rows[i] for i in order))
    with pytest.raises(ValueError, match="row"):
        verify(path)


def test_a_second_row_of_an_attempt_is_refused(path):
    rows_of(path)
    first, *_ = results.read_csv(path, results.COLUMNS)
    last = load_results(path)[-1].digest
    again = {**first, "date": "2026-02-02", "digest": ""}
    again["digest"] = results._digest(last, again)  # a chain that holds
    results._append_text(path, format_csv(results.COLUMNS, [again]).split("\n", 1)[1])
    with pytest.raises(ValueError, match="row 4: attempt .* comes twice"):
        verify(path)


def test_runs_of_another_machine_are_added(path, tmp_path):
    rows_of(path)
    other = tmp_path / "elsewhere" / "their results.csv"
    here = path.read_bytes()
    record(path, row(seed=7, metrics={"mse": 0.1 + 0.2}, settings={"b": 1, "a": [2]}))
    record(path, row(seed=0, date="2026-02-02"))
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    path.write_bytes(here)
    record(path, row(seed=8))
    assert merge(path, other) == 2
    verify(path)
    assert [(one.seed, one.attempt) for one in load_results(path)[3:]] == [(8, 1), (7, 1), (0, 2)]
    assert load_results(path)[4].metrics == {"mse": 0.1 + 0.2}
    assert merge(path, other) == 0
    other.write_text(other.read_text().replace("0.30", "0.20"))
    with pytest.raises(ValueError, match="their results.csv, row 4: digest"):
        merge(path, other)


def test_the_chain_belongs_to_its_paper(path, tmp_path):
    rows_of(path)
    other = tmp_path / "other" / "results.csv"
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="row 1: digest"):
        verify(other)


def test_nothing_is_added_to_a_broken_chain(path):
    header, _first, second, third = rows_of(path)
    path.write_text(header + second + third)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="row 1"):
        record(path, row(seed=7))
    assert path.read_bytes() == before


def _record_ten(path, process):
    for seed in range(10):
        record(path, row(seed=seed, process=process))


def test_processes_that_record_at_once_lose_nothing(path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_record_ten, args=(path, str(i))) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    verify(path)
    attempts = sorted((one.seed, one.attempt) for one in load_results(path))
    assert attempts == [(seed, attempt) for seed in range(10) for attempt in (1, 2, 3)]


def test_rows_of_other_settings_are_left_out(path):
    one = experiment()
    mark = one.fingerprint("cpu", "a")
    record(path, row(fingerprint=mark))
    record(path, row(fingerprint="older", seed=2))
    record(path, row(fingerprint=mark, variant="b"))
    record(path, row(fingerprint=mark, preset="paper"))
    record(path, row(fingerprint=mark, experiment="other"))
    record(path, row(fingerprint=mark, seed=1))
    found = of_fingerprint(load_results(path), one, "cpu", "a")
    assert [one.seed for one in found] == [0, 1]


def test_a_run_is_read_as_it_would_come_back(path):
    given = row(status="diverged", metrics={"diverged_at": 7})
    record(path, given)
    (back,) = load_results(path)
    assert replace(back, digest="") == read_row(given)
