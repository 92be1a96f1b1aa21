"""Experiments that state the settings of their three presets side by side. Data only.

In a table of settings a tuple holds the values at smoke, cpu and paper; what is no tuple holds at
all three. Tuples may stand inside of settings that are mappings.
"""

from collections.abc import Mapping
from typing import Any, Literal

from common.reproduce.declare.require import require
from common.reproduce.declare.spec import PRESETS, TIMING_SEEDS, Experiment, Preset, Settings

# In a tuple of a table: this preset leaves the setting to the trial.
DEFAULT = object()

Table = Mapping[str, Any]
Minutes = tuple[float, float, float]


def presets(
    settings: Table,
    minutes: Minutes,
    *,
    reduces: str = "",
    paper_reduces: str = "",
    smoke_variants: tuple[str, ...] | None = None,
    cpu_variants: tuple[str, ...] | None = None,
) -> dict[str, Preset]:
    """The presets of a table of settings.

    Args:
        settings: The table.
        minutes: Of one variant and seed at smoke, cpu and paper.
        reduces: What cpu reduces; without, it is at the paper's scale.
        paper_reduces: The same of paper.
        smoke_variants: The variants at smoke; `None` means all.
        cpu_variants: The same at cpu.

    Returns:
        Name to preset.

    Raises:
        ValueError: If a tuple has not one value for each preset.
    """
    require(len(minutes) == len(PRESETS), "minutes", minutes, f"one for each of {PRESETS}")
    smoke, cpu, paper = (_column("settings", settings, i) for i in range(len(PRESETS)))
    return {
        "smoke": Preset.smoke(smoke, minutes[0], smoke_variants),
        "cpu": _full(cpu, minutes[1], reduces, cpu_variants),
        "paper": _full(paper, minutes[2], paper_reduces),
    }


def experiment(
    *,
    kind: Literal["training", "timing", "static"],
    name: str,
    description: str,
    trial: str,
    variants: Mapping[str, Settings],
    settings: Table,
    minutes: Minutes,
    metrics: tuple[str, ...],
    untrained: Mapping[str, float] | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    recorded_as: Mapping[str, str] | None = None,
    **sizes: Any,
) -> Experiment:
    """An experiment from its table of settings.

    Args:
        kind: As of `Experiment`.
        name: Unique within the paper.
        description: One line for `--list`.
        trial: "package.module:function".
        variants: Name to the settings that make it.
        settings: The table of settings.
        minutes: Of one variant and seed at smoke, cpu and paper.
        metrics: What the trial returns, the main one first.
        untrained: Metric to what a model gets that learned nothing.
        seeds: Those of a full result.
        recorded_as: As of `Experiment`.
        **sizes: What else `presets` takes.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        description=description,
        trial=trial,
        variants=variants,
        presets=presets(settings, minutes, **sizes),
        kind=kind,
        seeds=seeds,
        metrics=metrics,
        untrained=untrained or {},
        recorded_as=recorded_as or {},
    )


def training(*, untrained: Mapping[str, float], **declared: Any) -> Experiment:
    """An experiment that trains, with three seeds.

    Args:
        untrained: Metric to what a model gets that learned nothing.
        **declared: What else `experiment` takes.

    Returns:
        The experiment.
    """
    return experiment(kind="training", untrained=untrained, **declared)


def timing(**declared: Any) -> Experiment:
    """An experiment that takes times, in a process a seed.

    Args:
        **declared: What `experiment` takes.

    Returns:
        The experiment.
    """
    return experiment(kind="timing", seeds=TIMING_SEEDS, **declared)


def _full(
    settings: Settings, minutes: float, reduces: str, variants: tuple[str, ...] | None = None
) -> Preset:
    return Preset(
        settings=settings,
        minutes=minutes,
        scale="reduced" if reduces else "paper",
        reduces=reduces,
        variants=variants,
    )


def _column(name: str, value: Any, index: int) -> Any:
    """What `value` is at the preset of this index."""
    if isinstance(value, tuple):
        require(len(value) == len(PRESETS), name, value, f"a value for each of {PRESETS}")
        value = value[index]
    if isinstance(value, Mapping):
        found = {key: _column(key, one, index) for key, one in value.items()}
        return {key: one for key, one in found.items() if one is not DEFAULT}
    return value
