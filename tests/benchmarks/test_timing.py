import math

import keras
import pytest

from common.reproduce.execute import timing


class Clock:
    """Time that passes only when a function says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def function(self, *seconds: float):
        """Takes each of `seconds` in turn, then the last for ever."""
        left = list(seconds)

        def run():
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return ()

        return run


def test_statistics_leave_the_first_calls_out(monkeypatch):
    clock = Clock(monkeypatch)
    warm = [5.0, 1.0]  # compiles, then a call to choose the repeats
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    found = timing.measure({"f": clock.function(*warm, *values)}, samples=5)["f"]
    assert found.first == 5.0
    assert found.median == pytest.approx(0.3)
    assert (found.p20, found.p80) == (pytest.approx(0.18), pytest.approx(0.42))
    assert found.samples == 5


def test_samples_are_at_least_as_long_as_asked(monkeypatch):
    clock = Clock(monkeypatch)
    calls = []
    work = clock.function(0.003)

    def count():
        calls.append(None)
        return work()

    found = timing.measure({"f": count}, samples=10, sample_seconds=0.01)["f"]
    assert found.median == pytest.approx(0.003)
    assert len(calls) == 3 + 10 * math.ceil(0.01 / 0.003)


def test_competitors_are_sampled_in_turns(monkeypatch):
    clock = Clock(monkeypatch)
    order = []

    def named(name):
        work = clock.function(1.0)
        return lambda: (order.append(name), work())[1]

    timing.sample({"a": named("a"), "b": named("b")}, {"a": 1.0, "b": 1.0}, samples=3)
    assert order == ["a", "b"] + ["a", "b"] * 3


def test_a_slow_one_stops_early_and_a_fast_one_does_not(monkeypatch):
    clock = Clock(monkeypatch)
    functions = {"slow": clock.function(2.0), "fast": clock.function(0.02)}
    first = dict.fromkeys(functions, 0.0)
    found = timing.sample(functions, first, samples=30, most_seconds=5.0, least_samples=5)
    assert {name: one.samples for name, one in found.items()} == {"slow": 5, "fast": 30}


def test_synchronise_takes_nests_of_tensors_and_torch_beside_them():
    torch = pytest.importorskip("torch")
    x = keras.ops.ones((2, 3))
    timing.synchronise([x, {"y": x + 1}, torch.ones(3, requires_grad=True), ()])
