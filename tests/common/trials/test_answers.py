"""What is no number is never right; what tests compile serves all lengths."""

import numpy as np
import pytest
from keras import ops

from common.tasks import InductionHeads
from common.trials import labelling
from common.trials.answers import likeliest, likeliest_in_graph

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "logits, expected",
    [([0.0, 2.0, 1.0], 1), ([NAN, 2.0, 1.0], -1), ([NAN] * 3, -1), ([0.0, INF, 1.0], -1)],
)
def test_only_numbers_answer(logits, expected):
    assert likeliest(np.array([logits, [3.0, 2.0, 1.0]])).tolist() == [expected, 0]
    found = likeliest_in_graph(ops.convert_to_tensor([logits, [3.0, 2.0, 1.0]]))
    assert ops.convert_to_numpy(found).tolist() == [expected, 0]


class Counting:
    """A network that names symbol 0 everywhere, or nothing; counts how often it is traced."""

    def __init__(self, logit=1.0):
        self.logit = logit
        self.traces = 0

    def get_initial_state(self, batch_size):
        return ops.zeros((batch_size,))

    def __call__(self, inputs, initial_state, return_state, training):
        self.traces += 1
        named = ops.one_hot(ops.zeros_like(inputs), 16) * self.logit
        return named, initial_state + ops.cast(inputs[:, 0], "float32")


def test_streamed_tests_of_all_lengths_compile_once():
    net = Counting()
    tested = labelling._Tester(net, size=4, batch_size=4, stream=8, data_dir=None)
    for length in (16, 32, 64):
        assert 0 <= tested(InductionHeads(length=length)) <= 1
    assert net.traces == 2  # where steps count, and where none does


def test_logits_that_are_no_number_earn_nothing():
    tested = labelling._Tester(Counting(NAN), size=4, batch_size=4, stream=8, data_dir=None)
    assert tested(InductionHeads(length=16)) == 0.0
