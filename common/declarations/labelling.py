"""Experiments of the trial `common.trials.labelling`. Data only."""

from collections.abc import Mapping
from typing import Any

from common.declarations.experiments import Minutes, Table, training
from common.reproduce.declare.spec import Experiment, Settings


def labelling(
    *,
    name: str,
    description: str,
    task: str | tuple[str, str, str],
    variants: Mapping[str, Settings],
    settings: Table,
    minutes: Minutes,
    untrained: Mapping[str, float],
    score: str = "accuracy",
    **sizes: Any,
) -> Experiment:
    """An experiment on a task whose answer is a symbol at each of the steps that count.

    Args:
        name: Unique within the paper.
        description: One line for `--list`.
        task: Name of a task in `common.tasks`, or one at smoke, cpu and paper.
        variants: Name to the settings that make it.
        settings: The table of the trial's other settings.
        minutes: Of one variant and seed at smoke, cpu and paper.
        untrained: Metric to what a model gets that learned nothing.
        score: The main metric.
        **sizes: What else `experiment` takes.

    Returns:
        The experiment; its metrics are `accuracy`, `accuracy_<name>` of each of the tests in
        `settings`, `learning_rate` and `updates`.
    """
    tests = (f"accuracy_{test}" for test in settings.get("tests", ()))
    metrics = (score, "accuracy", *tests, "learning_rate", "updates")
    return training(
        name=name,
        description=description,
        trial="common.trials.labelling:labelling",
        variants=variants,
        settings={"task": task, **settings},
        minutes=minutes,
        metrics=tuple(dict.fromkeys(metrics)),
        untrained=untrained,
        **sizes,
    )


def formal_language(*, chance: float, settings: Table, **declared: Any) -> Experiment:
    """A formal language, scored on words longer than those of training.

    Args:
        chance: Accuracy of guessing, which the score takes as 0.
        settings: The table of the trial's other settings.
        **declared: What else `labelling` takes.

    Returns:
        The experiment; the score is `accuracy_long`.
    """
    # Beck et al. (2024), appendix B.1.1.
    tests = {"long": {"min_length": 40, "max_length": 256}}
    settings = {"chance": chance, "tests": tests, **settings}
    return labelling(settings=settings, score="accuracy_long", **declared)
