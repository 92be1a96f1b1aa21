"""What the checks of arguments let through and what they refuse, and by which name."""

import math

import numpy as np
import pytest

from common import checks


class Owner:
    pass


def accepts(check, *bounds, **options):
    def function(value):
        try:
            check(Owner(), *bounds, **options, size=value)
        except ValueError as error:
            assert str(error).startswith("Owner: `size` must be ")
            assert str(error).endswith(f"; got {value!r}.")
            return False
        return True

    return function


NEVER = (None, "no", math.nan, math.inf, -math.inf, [], (), {}, 1j, np.zeros(2), object())


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (accepts(checks.check_positive), (1, 7, np.int64(3)), (0, -1, 2.0, True, 2**32)),
        (accepts(checks.check_integers, 0), (0, 1), (-1, 0.0, False)),
        (accepts(checks.check_integers, 2, 4), (2, 4), (1, 5)),
        (accepts(checks.check_powers_of_two), (1, 2, 64), (0, 3, 48, 2.0)),
        (accepts(checks.check_numbers), (0, -1.5, 3, np.float32(0.5)), (True,)),
        (accepts(checks.check_numbers, above=0), (1e-9, 1), (0, 0.0, -1)),
        (accepts(checks.check_numbers, at_least=0, at_most=1), (0, 1, 0.5), (-0.1, 1.1)),
        (accepts(checks.check_rates), (0, 0.0, 0.99), (1, 1.0, -0.1, False)),
        (accepts(checks.check_flags), (True, False), (0, 1, "True")),
        (accepts(checks.check_choice, ("a", "b")), ("a", "b"), ("ab", "", 0)),
        (accepts(checks.check_letters, "rl"), ("r", "rrl"), ("", "rx", ["r"])),
        (accepts(checks.check_divides, "`units`", 6), (1, 2, 6), (4, 5)),
    ],
)
def test_what_is_let_through(check, right, wrong):
    assert all(check(value) for value in right)
    assert not any(check(value) for value in wrong)


@pytest.mark.parametrize(
    "check",
    [
        accepts(checks.check_positive),
        accepts(checks.check_powers_of_two),
        accepts(checks.check_numbers),
        accepts(checks.check_rates),
        accepts(checks.check_flags),
        accepts(checks.check_choice, ("a",)),
        accepts(checks.check_letters, "a"),
    ],
)
def test_what_never_is(check):
    assert not any(check(value) for value in NEVER)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: checks.check_positive(Owner(), n=0), "a positive integer; got 0"),
        (lambda: checks.check_integers(Owner(), 0, n=-1), "a non-negative integer; got -1"),
        (lambda: checks.check_integers(Owner(), 3, n=2), "an integer of at least 3; got 2"),
        (lambda: checks.check_integers(Owner(), 0, n=2**32), "from 0 to 4294967295; got"),
        (
            lambda: checks.check_numbers(Owner(), above=0, at_most=2, n="x"),
            "a finite number above 0 and at most 2; got 'x'",
        ),
        (lambda: checks.check_divides(Owner(), "`units`", 6, n=4), "a divisor of `units` = 6"),
    ],
)
def test_the_message_says_what_was_expected(call, message):
    with pytest.raises(ValueError, match=f"Owner: `n` must be .*{message}"):
        call()


def test_given_leaves_out_none():
    assert checks.given(a=1, b=None, c=0) == {"a": 1, "c": 0}
