"""A trial function, and the arguments with which it is called."""

import importlib
import inspect
import json
from collections.abc import Callable
from typing import Any

from common.reproduce.declare.spec import Settings
from common.reproduce.execute.plan import Plan

Trial = Callable[..., dict[str, float]]


def load_trial(plan: Plan) -> Trial:
    """The trial function of the experiment.

    Raises:
        ValueError: if it does not take exactly the settings of every variant of the plan.
    """
    module, _, name = plan.experiment.trial.partition(":")
    trial = getattr(importlib.import_module(module), name)
    known = {one.name for one in parameters(trial)}
    required = known - set(_defaults(trial))
    for variant in plan.variants:
        settings = set(plan.experiment.settings(plan.preset, variant))
        unknown, missing = sorted(settings - known), sorted(required - settings)
        if unknown or missing:
            raise ValueError(
                f"Experiment {plan.experiment.name!r}, preset {plan.preset!r}, variant "
                f"{variant!r}: settings {unknown} are unknown to {plan.experiment.trial} and "
                f"{missing} are missing, expected exactly its arguments {sorted(known)}."
            )
    return trial


def arguments(trial: Trial, settings: Settings) -> dict[str, Any]:
    """All arguments of a trial, its defaults among them, as a file gives them back."""
    return json.loads(json.dumps({**_defaults(trial), **settings}))


def parameters(trial: Trial) -> list[inspect.Parameter]:
    """Those of the settings, which come after the run."""
    return list(inspect.signature(trial).parameters.values())[1:]


def _defaults(trial: Trial) -> dict[str, Any]:
    found = parameters(trial)
    return {one.name: one.default for one in found if one.default is not inspect.Parameter.empty}
