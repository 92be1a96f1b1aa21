"""Settings that a command line gives in place of declared ones: `--set KEY=VALUE`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from common.reproduce.declare.spec import Experiment, Settings


def read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """The settings in `words`.

    Args:
        words: of the form KEY=VALUE, where VALUE is JSON, or else the string that it is.

    Returns:
        Key to value.

    Raises:
        ValueError: if a word has another form, or a key comes again.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(f"--set is {word!r}, expected KEY=VALUE with the name of a setting.")
        if key in found:
            raise ValueError(f"--set gives {key} more than once, expected each setting once.")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found


def override(experiment: Experiment, overrides: Settings) -> Experiment:
    """`experiment` with `overrides` in all of its variants, whose fingerprints then are others."""
    variants = {name: {**settings, **overrides} for name, settings in experiment.variants.items()}
    return replace(experiment, variants=variants)


def override_words(overrides: Settings) -> list[str]:
    """The words that `read_overrides` reads as `overrides`."""
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
