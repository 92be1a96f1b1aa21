"""Flip-flop language modelling, by its rules."""

import numpy as np
import pytest

from common.tasks.flip_flop import IGNORE, ONE, READ, WRITE, ZERO, FlipFlop


@pytest.mark.parametrize("ignore", [0.1, 0.8, 0.98])
def test_what_is_read_was_written_last(ignore):
    batch = FlipFlop(64, ignore).batch(300, 0, 0)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        instructions, bits = inputs[::2], inputs[1::2]
        assert instructions[0] == WRITE and instructions[-1] == READ
        memory = None
        for t, (instruction, bit) in enumerate(zip(instructions, bits, strict=True)):
            assert instruction in (WRITE, READ, IGNORE) and bit in (ZERO, ONE)
            if instruction == WRITE:
                memory = bit
            reads = instruction == READ
            assert weights[2 * t] == reads and weights[2 * t + 1] == 0
            assert targets[2 * t] == (memory if reads else 0) and targets[2 * t + 1] == 0
            assert not reads or bit == memory


def test_frequencies():
    inputs = FlipFlop(512, 0.8).batch(400, 1, 0)["inputs"]
    between = inputs[:, 2:-2:2]
    for symbol, share in ((IGNORE, 0.8), (WRITE, 0.1), (READ, 0.1)):
        assert abs(np.mean(between == symbol) - share) < 0.005
    assert abs(np.mean(inputs[:, 1::2] == ONE) - 0.5) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"), [((3,), "length.*3"), ((7,), "length.*7"), ((8, 1.5), "ignore.*1.5")]
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlipFlop(*arguments)
