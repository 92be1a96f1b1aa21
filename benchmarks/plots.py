"""Time, memory and tokens a second against T: a PNG a layer."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import library_of
from benchmarks.report import frame
from benchmarks.rows import BOTH, OK, Row
from common.reproduce.execute.plots import colors
from common.reproduce.files import write_bytes

if TYPE_CHECKING:
    import pandas

_UNDRAWN = ("step", "backward", "decode")
_PANELS = {"milliseconds": "median_ms", "peak bytes": "peak_bytes", "tokens/s": "tokens_per_s"}


def draw(rows: Sequence[Row], directory: Path) -> list[Path]:
    """Saves a PNG for each layer, with a line a form (full) or peer (dashed).

    Drawn is forward + backward where it was timed, else the first mode that was.
    """
    paths = []
    table = frame([row for row in rows if row.status == OK and row.mode not in _UNDRAWN])
    for layer, mine in table.groupby("layer", sort=False):
        modes = list(mine["mode"])
        mode = BOTH if BOTH in modes else modes[0]
        path = directory / f"{str(layer).replace('/', '-')}.png"
        _draw_layer(f"{layer}, {mode}", mine[mine["mode"] == mode], path)
        paths.append(path)
    return paths


def _draw_layer(title: str, table: "pandas.DataFrame", path: Path) -> None:
    from matplotlib.figure import Figure

    table = table.astype(dict.fromkeys(_PANELS.values(), float))
    drawn = {label: column for label, column in _PANELS.items() if (table[column] > 0).any()}
    figure = Figure(figsize=(5 * len(drawn), 4.5), layout="constrained")
    batch, dtype, device = table.iloc[0][["batch", "dtype", "device"]]
    figure.suptitle(f"{title}, B={batch}, {dtype}, {device}")
    lengths = sorted(set(table["length"]))
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    lines = table.groupby(["name", "compiler"], sort=False)
    for axes, (label, column) in zip(panels, drawn.items(), strict=True):
        looks = zip(lines, colors(len(lines)), strict=True)
        for ((name, compiler), line), color in looks:
            line = line[line[column] > 0].sort_values("length")
            style = "--" if library_of(str(name)) else "-"
            look = {"marker": "o", "color": color, "label": f"{name} {compiler}"}
            if not line.empty:  # no axis is logarithmic of nothing
                axes.plot(line["length"], line[column], style, **look)
        axes.set(xscale="log", yscale="log", xlabel="T", ylabel=label)
        axes.set_xticks(lengths, labels=[str(length) for length in lengths], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[-1].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    write_bytes(path, content.getvalue())
