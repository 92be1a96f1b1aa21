"""What we measured: a paper's results.csv."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from common.reproduce.files import format_csv, locked, read_csv, write_text
from common.reproduce.spec import Experiment

KEY = ("experiment", "preset", "variant", "seed", "metric")
COLUMNS = (
    *KEY,
    "value",
    "commit",
    "dirty",
    "backend",
    "keras",
    "tensorflow",
    "hardware",
    "date",
    "command",
    "seconds",
    "fingerprint",
)

# (variant, metric) to the value of every seed.
Values = dict[tuple[str, str], dict[int, float]]


def load_results(path: Path) -> list[dict[str, str]]:
    """Rows of a results.csv; none if there is no such file."""
    return read_csv(path, COLUMNS)


def record(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Adds `rows` to a results.csv, each in the place of the row with the same key if any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        merged = {_key(row): dict(row) for row in load_results(path)}
        merged |= {_key(row): {name: str(row[name]) for name in COLUMNS} for row in rows}
        write_text(path, format_csv(COLUMNS, merged.values()))


def recorded_values(
    rows: Iterable[Mapping[str, str]], experiment: Experiment, preset: str
) -> Values:
    """Recorded values of `experiment` at `preset` that its present settings gave.

    Rows of other settings (another fingerprint) and of variants that are gone are left out.
    """
    values: Values = {}
    for row in rows:
        if (row["experiment"], row["preset"]) != (experiment.name, preset):
            continue
        variant = row["variant"]
        if variant not in experiment.variants:
            continue
        if row["fingerprint"] != experiment.fingerprint(preset, variant):
            continue
        seeds = values.setdefault((variant, row["metric"]), {})
        seeds[int(row["seed"])] = float(row["value"])
    return values


def _key(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)
