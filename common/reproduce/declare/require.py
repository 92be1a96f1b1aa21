"""Checks of declarations: the message says what is wrong, what came and what was expected."""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from types import UnionType
from typing import Any

# Names become directories and columns: no separators, no blanks.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def require(condition: bool, what: str, value: Any, expected: str) -> None:
    """Raises a ValueError unless `condition` holds."""
    if not condition:
        raise ValueError(f"{what} is {value!r}, expected {expected}.")


def require_name(what: str, value: Any) -> None:
    """`value` can name a directory and a column."""
    require_match(_NAME, what, value, "letters, digits and _ . + = - only")


def require_target(what: str, value: Any) -> None:
    """`value` names what can be imported."""
    require_match(_TARGET, what, value, "'package.module:attribute'")


def require_match(pattern: re.Pattern[str], what: str, value: Any, expected: str) -> None:
    """`value` is a string of that form, all of it."""
    valid = isinstance(value, str) and pattern.fullmatch(value) is not None
    require(valid, what, value, expected)


def require_unique(what: str, values: Iterable[Any]) -> None:
    """No two of `values` are the same."""
    values = list(values)
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    require(not repeated, what, repeated, "each name once")


def require_one_of(what: str, value: Any, allowed: Collection[Any]) -> None:
    """`value` is one of `allowed`."""
    require(value in allowed, what, value, f"one of {allowed}")


def require_type(what: str, value: Any, kind: type | UnionType, expected: str) -> None:
    """`value` is of a type."""
    require(isinstance(value, kind), what, value, expected)


def require_tuple(what: str, value: Any, expected: str) -> None:
    """`value` is a tuple with something in it."""
    require(isinstance(value, tuple) and value != (), what, value, expected)


def require_number(what: str, value: Any) -> None:
    """`value` is a finite number."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    require(valid, what, value, "a finite number")


def require_settings(what: str, value: Any) -> None:
    """`value` is keyword arguments that JSON can hold."""
    valid = isinstance(value, Mapping) and all(
        isinstance(key, str) and key.isidentifier() for key in value
    )
    require(valid, what, value, "a mapping whose keys are argument names")
    try:
        json.dumps(dict(value))
    except TypeError as error:
        raise ValueError(f"{what} is {value!r}, expected JSON values only: {error}.") from error
