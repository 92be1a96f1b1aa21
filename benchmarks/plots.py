"""Time, memory and tokens a second against T: a PNG a layer."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.rows import OK, Row
from common.reproduce.files import write_bytes
from common.reproduce.spec import FORMS

_PANELS: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
    ("milliseconds", lambda row: row.median_ms),
    ("peak MB", lambda row: None if row.peak_bytes is None else row.peak_bytes / 1e6),
    ("tokens/s", lambda row: row.tokens_per_s),
)


def draw(rows: Sequence[Row], directory: Path) -> list[Path]:
    """Saves a PNG for each layer, with a line a form (full) or peer (dashed).

    Drawn is forward + backward where it was timed, else the first mode that was.
    """
    paths = []
    for layer in dict.fromkeys(row.layer for row in rows):
        mine = [row for row in rows if row.layer == layer and row.status == OK]
        modes = [row.mode for row in mine if row.mode not in ("step", "backward")]
        if modes:
            mode = "forward+backward" if "forward+backward" in modes else modes[0]
            path = directory / f"{layer.replace('/', '-')}.png"
            _draw_layer(f"{layer}, {mode}", [row for row in mine if row.mode == mode], path)
            paths.append(path)
    return paths


def _draw_layer(title: str, rows: Sequence[Row], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    figure.suptitle(f"{title}, B={rows[0].batch}, {rows[0].dtype}, {rows[0].device}")
    lines = list(dict.fromkeys((row.name, row.compiler) for row in rows))
    panels = figure.subplots(1, len(_PANELS))
    for axes, (label, value) in zip(panels, _PANELS, strict=True):
        for index, (name, compiler) in enumerate(lines):
            points = sorted(
                (row.length, y)
                for row in rows
                if (row.name, row.compiler) == (name, compiler) and (y := value(row))
            )
            if points:
                lengths, values = zip(*points, strict=True)
                style = "-" if name in FORMS else "--"
                look = {"marker": "o", "color": f"C{index % 10}", "label": f"{name} {compiler}"}
                axes.plot(lengths, values, style, **look)
        axes.set(xscale="log", yscale="log", xlabel="T", ylabel=label)
        axes.set_xticks(sorted({row.length for row in rows}), minor=False)
        axes.set_xticklabels([str(n) for n in sorted({row.length for row in rows})])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[-1].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    write_bytes(path, content.getvalue())
