"""Learning curves from the metrics.csv of runs."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from common.reproduce.files import FileError, read_text, write_bytes

PANELS = 4


def learning_curves(runs: Mapping[str, list[Path]], metrics: tuple[str, ...], path: Path) -> bool:
    """Draws a panel a metric, a colour a variant and a line a seed, and saves it as PNG.

    Args:
        runs: variant to the directories of its seeds.
        metrics: names to draw first, if the runs have them.
        path: of the PNG.

    Returns:
        Whether there was anything to draw: some metric with two points in some run.
    """
    curves = {
        variant: [_read(directory / "metrics.csv") for directory in directories]
        for variant, directories in runs.items()
    }
    found = {
        name
        for seeds in curves.values()
        for seed in seeds
        for name, points in seed.items()
        if len(points) > 1
    }
    first = [name for name in metrics if name in found]
    names = (first + sorted(found - set(first)))[:PANELS]
    if not names:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for index, (variant, seeds) in enumerate(curves.items()):
            label: str | None = variant
            for seed in seeds:
                if points := seed.get(name):
                    steps, values = zip(*points, strict=True)
                    axes.plot(steps, values, color=f"C{index % 10}", label=label, alpha=0.8)
                    label = None
        drawn = [value for line in axes.lines for value in line.get_ydata()]
        if drawn and min(drawn) > 0 and max(drawn) > 20 * min(drawn):
            axes.set_yscale("log")
        axes.set(xlabel="step", ylabel=name)
        axes.legend(fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format="png")
    write_bytes(path, content.getvalue())
    return True


def _read(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Points (step, value) by metric.

    Raises:
        FileError: if a step or a value is no number.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    if not path.exists():
        return points
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    for row in reader:
        for name, value in row.items():
            if name not in ("phase", "step") and value:
                try:
                    point = float(row["step"]), float(value)
                except (KeyError, TypeError, ValueError) as error:
                    raise FileError(
                        f"{path}, line {reader.line_num}: step {row.get('step')!r} and {name} "
                        f"{value!r}, expected numbers."
                    ) from error
                points.setdefault(name, []).append(point)
    return points
