"""Checks of arguments, the same for layers, models and tasks: a line a call, a message for all.

    check_positive(self, units=units, num_heads=num_heads)
    check_positive(self, **given(key_dim=key_dim))          # None is allowed
    check_integers(self, 2, kernel_size=kernel_size)
    check_numbers(self, above=0, temperature=temperature)
    check_rates(self, dropout=dropout)
    check_flags(self, use_bias=use_bias)
    check_choice(self, ("rms", "layer"), norm=norm)
    check_members(self, (SequenceLayer,), mixers=mixers)

Each raises a `ValueError` that names the owner's class, the argument, what was expected and what
came. `bool` is no number, and a number is finite. Nothing but NumPy is imported.
"""

import math
from typing import Any, NoReturn

import numpy as np

# Above it seeds and sizes are mistakes, and do not fit into what they are handed on to.
MOST = 2**32 - 1


def given(**values: Any) -> dict[str, Any]:
    """Those of `values` that are not `None`."""
    return {name: value for name, value in values.items() if value is not None}


def check_integers(owner: Any, minimum: int, maximum: int = MOST, /, **values: Any) -> None:
    """Each of `values` is an integer from `minimum` to `maximum`."""
    for name, value in values.items():
        valid = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not valid or not minimum <= value <= maximum:
            known = {0: "a non-negative integer", 1: "a positive integer"}
            expected = known.get(minimum, f"an integer of at least {minimum}")
            if maximum != MOST or (valid and value > maximum):
                expected = f"an integer from {minimum} to {maximum}"
            refuse(owner, name, expected, value)


def check_positive(owner: Any, /, **values: Any) -> None:
    """Each of `values` is a positive integer."""
    check_integers(owner, 1, **values)


def check_powers_of_two(owner: Any, /, **values: Any) -> None:
    """Each of `values` is a power of two, 1 included."""
    check_positive(owner, **values)
    for name, value in values.items():
        if value & (value - 1):
            refuse(owner, name, "a power of two", value)


def check_divides(owner: Any, of: str, whole: int, /, **values: int) -> None:
    """Each of `values`, positive integers, divides `whole`, which the message calls `of`."""
    for name, value in values.items():
        if whole % value:
            refuse(owner, name, f"a divisor of {of} = {whole}", value)


def check_numbers(
    owner: Any,
    /,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    **values: Any,
) -> None:
    """Each of `values` is a finite number within the bounds."""
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    stated = [f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound)]
    for name, value in values.items():
        valid = isinstance(value, int | float | np.integer | np.floating)
        valid = valid and not isinstance(value, bool) and math.isfinite(value)
        if not valid or not (at_least <= value <= at_most and above < value < below):
            refuse(owner, name, " ".join(["a finite number", " and ".join(stated)]).strip(), value)


def check_rates(owner: Any, /, **values: Any) -> None:
    """Each of `values` is a rate of dropout, from 0 to below 1."""
    check_numbers(owner, at_least=0, below=1, **values)


def check_flags(owner: Any, /, **values: Any) -> None:
    """Each of `values` is a bool."""
    for name, value in values.items():
        if not isinstance(value, bool):
            refuse(owner, name, "True or False", value)


def check_choice(owner: Any, choices: tuple[str, ...], /, **values: Any) -> None:
    """Each of `values` is one of `choices`."""
    for name, value in values.items():
        if not isinstance(value, str) or value not in choices:
            refuse(owner, name, f"one of {tuple(choices)}", value)


def check_letters(owner: Any, letters: str, /, **values: Any) -> None:
    """Each of `values` is a string of at least one character, all of them of `letters`."""
    for name, value in values.items():
        if not isinstance(value, str) or not value or set(value) - set(letters):
            refuse(owner, name, f"letters of {letters!r}, at least one", value)


def check_strings(owner: Any, /, **values: Any) -> None:
    """Each of `values` is a string."""
    for name, value in values.items():
        if not isinstance(value, str):
            refuse(owner, name, "a string", value)


def check_members(owner: Any, kinds: tuple[type, ...], /, **values: Any) -> None:
    """Each of `values` is a list or tuple, not empty, whose members are of `kinds`."""
    for name, value in values.items():
        valid = isinstance(value, list | tuple) and len(value) > 0
        if not valid or not all(isinstance(member, kinds) for member in value):
            names = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
            refuse(owner, name, f"a list of at least one {names}", value)


def refuse(owner: Any, name: str, expected: str, value: Any) -> NoReturn:
    """Raises the `ValueError` of an argument that is not what was expected."""
    kind = owner if isinstance(owner, str) else type(owner).__name__
    raise ValueError(f"{kind}: `{name}` must be {expected}; got {value!r}.")
