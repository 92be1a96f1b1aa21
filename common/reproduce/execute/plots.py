"""Figures of runs: curves from their metrics.csv, and results beside what is reported."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.reproduce.files import FileError, read_text, write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from common.reproduce.execute.results import Result

PANELS = 4  # of a figure, and in a row of one
LOGGED = "trial"  # the phase of `Run.log`, whose step is a length; the others are trainings
UNITS = ("milliseconds", "bytes", "ratio")  # what is measured in one shares a panel
FEW = 25  # points that are marked one by one
FAR = 50  # times the least value, where an axis becomes logarithmic

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Target:
    """What a paper reports of a metric of a variant.

    Attributes:
        variant: name of the variant.
        metric: name of the metric.
        value: the number.
        deviation: as published, else None.
    """

    variant: str
    metric: str
    value: float
    deviation: float | None


def learning_curves(runs: Mapping[str, list[Path]], metrics: tuple[str, ...], path: Path) -> bool:
    """Draws a panel a metric, a colour a variant and a line a training, and saves it as PNG.

    What was logged at several lengths has the length as its axis, and what is in one unit is in
    one panel.

    Args:
        runs: variant to the directories of its seeds.
        metrics: names to draw first, if the runs have them.
        path: of the PNG.

    Returns:
        Whether there was anything to draw.
    """
    panels: dict[tuple[str, str], dict[str, list[Points]]] = {}
    for variant, directories in runs.items():
        for directory in directories:
            for (phase, name), points in _read(directory / "metrics.csv").items():
                if phase != LOGGED:
                    key, label = ("update", name), variant
                elif len({step for step, _ in points}) > 1:
                    key, label = _by_length(variant, name)
                else:
                    continue
                panels.setdefault(key, {}).setdefault(label, []).append(points)
    if not panels:
        return False
    # The training loss has a panel in any case.
    order = {name: index for index, name in enumerate(("loss", *metrics))}
    chosen = sorted(panels, key=lambda key: order.get(key[1], len(order)))[:PANELS]
    figure, grid = _figure(len(chosen))
    for axes, (x_label, name) in zip(grid, chosen, strict=False):
        _draw_curves(axes, panels[x_label, name])
        axes.set(xlabel=x_label, ylabel=_words("training loss" if name == "loss" else name))
        if x_label != "update":
            lengths = sorted({step for line in axes.lines for step in _numbers(line.get_xdata())})
            axes.set_xscale("log")
            axes.set_xticks(lengths, [f"{length:g}" for length in lengths], minor=False)
            axes.minorticks_off()
    _save(figure, path)
    return True


def results(runs: "Sequence[Result]", targets: Sequence[Target], path: Path) -> bool:
    """Draws a panel a metric: a dot a seed, and the reported value as a line with its deviation.

    Args:
        runs: finished runs of one experiment.
        targets: what is reported; drawn are the metrics and variants that it is of.
        path: of the PNG.

    Returns:
        Whether there was anything to draw.
    """
    drawn: dict[str, list[Target]] = {}
    for target in targets:
        if any(run.variant == target.variant and target.metric in run.metrics for run in runs):
            drawn.setdefault(target.metric, []).append(target)
    if not drawn:
        return False
    figure, grid = _figure(len(drawn))
    for axes, (metric, reported) in zip(grid, drawn.items(), strict=False):
        variants = list(dict.fromkeys(target.variant for target in reported))
        for target in reported:
            place = variants.index(target.variant)
            span = (place - 0.35, place + 0.35)
            deviation = target.deviation or 0.0
            low, high = target.value - deviation, target.value + deviation
            axes.plot(span, (target.value,) * 2, color="black", label="reported")
            if deviation:
                axes.fill_between(span, low, high, color="black", alpha=0.15, linewidth=0)
        points = [(variants.index(run.variant), run) for run in runs if run.variant in variants]
        values = [(place, run.metrics[metric]) for place, run in points if metric in run.metrics]
        axes.plot(*zip(*values, strict=True), "o", color="C0", alpha=0.6, label="measured, a seed")
        axes.set_xticks(range(len(variants)), variants, rotation=30 if len(variants) > 3 else 0)
        axes.set(xlim=(-0.6, len(variants) - 0.4), ylabel=_words(metric))
        _scale(axes)
        axes.legend(*_once(axes), fontsize="small")
    _save(figure, path)
    return True


def _by_length(variant: str, name: str) -> tuple[tuple[str, str], str]:
    """The panel of what was logged at several lengths, as its axes, and the label there."""
    what, _, unit = name.rpartition("_")
    label = f"{variant}, {_words(what)}" if what else variant
    if unit in UNITS:
        return ("length", unit), label
    return ("length", name), variant


def _draw_curves(axes: "Axes", curves: Mapping[str, list[Points]]) -> None:
    for color, (label, lines) in zip(colors(len(curves)), curves.items(), strict=True):
        for points in lines:
            steps, values = zip(*points, strict=True)
            marker = "o" if len(points) <= FEW else ""
            axes.plot(steps, values, color=color, label=label, alpha=0.8, marker=marker, ms=3)
    _scale(axes)
    many = len(curves) > 12
    axes.legend(*_once(axes), fontsize="x-small" if many else "small", ncols=2 if many else 1)


def colors(count: int) -> Iterator[Any]:
    """As many colours for Matplotlib, no two of them the same."""
    from matplotlib import colormaps

    if count <= 10:
        yield from (f"C{index}" for index in range(count))
    else:
        yield from (colormaps["turbo"](index / (count - 1)) for index in range(count))


def _scale(axes: "Axes") -> None:
    """A logarithmic axis where the values are positive and far apart."""
    drawn = [value for line in axes.lines for value in _numbers(line.get_ydata())]
    if drawn and min(drawn) > 0 and max(drawn) > FAR * min(drawn):
        axes.set_yscale("log")


def _numbers(data: Any) -> list[float]:
    return [float(value) for value in data]


def _once(axes: "Axes") -> tuple[list[Any], list[str]]:
    """Handles and labels of a legend, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(reversed(labels), reversed(handles), strict=True))
    names = list(dict.fromkeys(labels))
    return [found[name] for name in names], names


def _figure(panels: int) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    columns = min(panels, PANELS)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[panels:]:
        axes.set_axis_off()
    return figure, grid


def _save(figure: "Figure", path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format="png")
    write_bytes(path, content.getvalue())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _read(path: Path) -> dict[tuple[str, str], Points]:
    """Points (step, value) by phase and metric.

    Raises:
        FileError: if a step or a value is no number.
    """
    points: dict[tuple[str, str], Points] = {}
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
                points.setdefault((row["phase"], name), []).append(point)
    return points
