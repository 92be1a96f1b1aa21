"""Constructors walked by their signatures."""

import inspect
import math
import types
import typing
from collections.abc import Callable

import numpy as np

# What is not what an argument should be, whatever it is: each is right for some annotations only.
WRONG = (None, "no", "", math.nan, math.inf, -1, 0, 2.5, True, [], (), {}, 1j, b"no", object())
WRONG_ARRAYS = (np.zeros(2), np.float32(np.nan))


def parameters(cls: type, until: type = object) -> dict[str, inspect.Parameter]:
    """Parameters of `cls`, those that its `**kwargs` hand on included, down to the class `until`.

    The arguments of `until`'s own bases are not among them.
    """
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(base.__init__).parameters
        for name, parameter in list(own.items())[1:]:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(name, parameter)
        if base is until or not any(p.kind == p.VAR_KEYWORD for p in own.values()):
            break
    return found


def wrongly_accepted(
    make: Callable, valid: dict, arguments: dict[str, inspect.Parameter], cls: type
) -> list[str]:
    """Wrong values that `make(**valid)` takes, or refuses in any other way than it should.

    It should raise a `ValueError` that names the argument. A value is wrong where its type is not
    one of the annotation's; or is NaN, infinite, an empty string, a negative integer.

    Returns:
        A line for every fault.
    """
    faults = []
    for name, parameter in arguments.items():
        allowed = _types(cls, name, parameter)
        for value in (*WRONG, *WRONG_ARRAYS):
            try:
                make(**{**valid, name: value})
            except ValueError as error:
                if f"`{name}`" not in str(error):
                    faults.append(f"{name}={value!r}: the message is {str(error)[:120]!r}")
            except Exception as error:  # any other is a fault
                faults.append(f"{name}={value!r}: {type(error).__name__}: {str(error)[:120]}")
            else:
                if not _fits(value, allowed):
                    faults.append(f"{name}={value!r} is accepted")
    return faults


def _types(cls: type, name: str, parameter: inspect.Parameter) -> tuple[type, ...]:
    hint = parameter.annotation
    if isinstance(hint, str):
        raise TypeError(f"{cls.__name__}.{name}: the annotation is a string")
    if hint is parameter.empty:
        return (type(parameter.default),)
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    members = typing.get_args(hint) if union else (hint,)
    return tuple(typing.get_origin(member) or member for member in members)


def _fits(value, allowed: tuple[type, ...]) -> bool:
    if value is None:
        return type(None) in allowed
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, int):
        return (int in allowed and value >= 0) or float in allowed
    if isinstance(value, float | np.floating):
        return float in allowed and math.isfinite(value)
    if isinstance(value, str):
        return str in allowed and value != ""
    return False
