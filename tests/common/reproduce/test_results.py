import pytest

from common.reproduce.results import COLUMNS, load_results, record, recorded_values
from tests.common.reproduce.test_spec import experiment


def row(**changes):
    values = dict.fromkeys(COLUMNS, "x")
    values |= {"experiment": "fit", "preset": "cpu", "variant": "a", "seed": 0, "metric": "mse"}
    return {**values, "value": 0.5, **changes}


def test_record_replaces_the_row_of_the_same_run(tmp_path):
    path = tmp_path / "results.csv"
    record(path, [row(), row(seed=1)])
    record(path, [row(value=0.25), row(metric="mae")])
    rows = load_results(path)
    found = [(one["seed"], one["metric"], one["value"]) for one in rows]
    assert found == [("0", "mse", "0.25"), ("1", "mse", "0.5"), ("0", "mae", "0.5")]
    assert list(tmp_path.iterdir()) == [path]


def test_recorded_values_of_other_settings_are_left_out():
    one = experiment()
    mark = one.fingerprint("cpu", "a")
    rows = [
        row(seed="0", value="0.1", fingerprint=mark),
        row(seed="1", value="0.2", fingerprint=mark),
        row(seed="2", value="0.3", fingerprint="older"),
        row(variant="gone", fingerprint=mark),
        row(preset="paper", fingerprint=mark),
        row(experiment="other", fingerprint=mark),
    ]
    assert recorded_values(rows, one, "cpu") == {("a", "mse"): {0: 0.1, 1: 0.2}}


def test_results_with_other_columns_are_refused(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has the columns"):
        load_results(path)
