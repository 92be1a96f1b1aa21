"""What one sees of runs that are under way: a bar of all, and one of each."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from common.reproduce.execute.attempt import Say, formatted
from common.reproduce.execute.plan import Plan

SHOWN_VALUES = 3


def make_bars(console: Console) -> Progress:
    """A display without a bar yet; none of it is seen where the console is no terminal."""
    return Progress(
        _Shortened("description"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        _Shortened("values"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=3600,  # a run takes longer than the default of 30 seconds
    )


def title(plan: Plan) -> str:
    """What the bar of all runs is called."""
    return f"{plan.paper.name} {plan.experiment.name}"


def sayer(console: Console) -> Say:
    """Prints lines as they are, above the bars."""
    return lambda line: console.print(line, markup=False)


class RunBar:
    """The bar of one run, in a display of several.

    Args:
        bars: the display.
        name: of the run.
    """

    def __init__(self, bars: Progress, name: str):
        self._bars = bars
        self._name = name
        self._task = bars.add_task(name, total=None, values="")

    def show(self, phase: str, step: int, steps: int, values: dict[str, float]) -> None:
        """How far the run is, a `Show`."""
        text = self._name if phase == "train" else f"{self._name} {phase}"
        shown = formatted(dict(list(values.items())[:SHOWN_VALUES]))
        self._bars.update(self._task, description=text, completed=step, total=steps, values=shown)

    def remove(self) -> None:
        """Takes the bar away."""
        self._bars.remove_task(self._task)


class _Shortened(ProgressColumn):
    """A text that is cut where the line is full, so that the others stay whole."""

    def __init__(self, field: str):
        self.field = field
        super().__init__(table_column=Column())

    def render(self, task: Task) -> Text:
        text = task.fields.get(self.field, task.description)
        return Text(text, no_wrap=True, overflow="ellipsis")
