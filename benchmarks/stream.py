"""What T steps cost that come in chunks, and a step of decoding after them.

A layer goes through T steps chunk by chunk, from state to state, as documents longer than any
memory are read: its time should grow as T, its memory not at all. Peers take all steps at once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from benchmarks.cases import Case, Implementation
from benchmarks.device import load_average
from benchmarks.models import Model
from benchmarks.options import STREAM_CHUNK, Options
from benchmarks.programs import make_program
from benchmarks.programs.on_keras import function_of
from benchmarks.rates import flops, with_rates
from benchmarks.rows import ABSENT, Roofline, Row
from benchmarks.runner import classify
from benchmarks.sampling import sample_steadily, timed
from common.reproduce.execute.memory import peak_memory
from common.reproduce.execute.timing import Timing, call_seconds, synchronise

# Decoded steps before the first decoding that is timed.
FEW = 10
# How often the whole length is gone through, if no time takes longer than the limit.
PASSES = 3


def run(
    cases: Sequence[Case],
    options: Options,
    device: str,
    done: Sequence[Row],
    note: Callable[[str], None],
    roofline: Roofline,
) -> Iterator[Row]:
    """Rows: of each layer in its fastest form, and of each peer, once a case.

    Args:
        cases: what was asked for.
        options: how to time.
        device: "cpu" or "gpu".
        done: rows of cells that are not to be measured again.
        note: called with what is being done.
        roofline: limits that rows are set against.
    """
    finished = {row.variant for row in done}
    for case in cases:
        for library, reason in case.absent.items():
            for layer in case.layers:
                yield _row(case, options, device, layer, library, status=ABSENT, message=reason)
        for one in _fastest(case):
            note(f"{one.layers[0]} {one.name}: {max(case.lengths)} steps")
            compiler = _compiler(one, options)
            if (one.layers[0], one.name, compiler) in finished:
                continue
            row = _row(case, options, device, one.layers[0], one.name, compiler=compiler)
            try:
                measure = _streamed if one.is_form else _whole
                # All of them before the first is kept: what is resumed has all or none.
                for found in list(measure(one.make(), case, row, options, roofline)):
                    for layer in one.layers:
                        yield replace(found, layer=layer)
            except Exception as error:
                status, message = classify(error)
                for layer in one.layers:
                    yield replace(row, layer=layer, status=status, message=message)


def _fastest(case: Case) -> Iterator[Implementation]:
    """The first form of each layer, then the peers."""
    seen = set()
    for one in case.implementations:
        if not one.is_form or one.layers not in seen:
            yield one
        seen.add(one.layers)


def _compiler(one: Implementation, options: Options) -> str:
    if one.is_form:
        return options.timed_compilers(keras.backend.backend())[-1]
    return "eager"


def _row(case: Case, options: Options, device: str, layer: str, name: str, **fields: Any) -> Row:
    common = {
        "compiler": "",
        "mode": "stream",
        "batch": case.batch,
        "length": 0,
        "dtype": options.dtype,
        "device": device,
        "backend": keras.backend.backend(),
    }
    return Row(layer=layer, name=name, **common | fields)


@dataclass(frozen=True)
class _Stream:
    """A compiled program of one chunk, or of one step, and the arguments before the state."""

    function: Callable[..., Any]
    fixed: tuple
    initial: Any

    def go_on(self, state: Any, times: int) -> Any:
        """The state after `times` calls."""
        for _ in range(times):
            outputs, state = self.function(*self.fixed, state)
        synchronise(outputs)
        return state


def _stream(model: Model, case: Case, mode: str, compiler: str) -> _Stream:
    workload = case.workload(mode, case.batch, STREAM_CHUNK if mode == "stream" else 1)
    function, arguments = function_of(model, workload, compiler)
    if keras.backend.backend() == "torch":
        import torch

        function = torch.no_grad()(function)
    *fixed, initial = arguments
    return _Stream(function, tuple(fixed), initial)


def _streamed(
    model: Model, case: Case, row: Row, options: Options, roofline: Roofline
) -> Iterator[Row]:
    """Rows of the stream and of decoding of a layer."""
    lengths = sorted(case.lengths)
    chunks = _stream(model, case, "stream", row.compiler)
    first = call_seconds(lambda: chunks.go_on(chunks.initial, 1))
    load = load_average()
    seconds: list[list[float]] = []
    states: dict[int, Any] = {}

    def once() -> Any:
        stamps, state, start = [], chunks.initial, time.perf_counter()
        for before, length in pairwise((0, *lengths)):
            state = chunks.go_on(state, (length - before) // STREAM_CHUNK)
            stamps.append(time.perf_counter() - start)
            states[length] = state
        seconds.append(stamps)
        return state

    least = lengths[0] // STREAM_CHUNK
    calls = {lengths[0]: lambda: chunks.go_on(chunks.initial, least), lengths[-1]: once}
    torch = keras.backend.backend() == "torch"
    peaks = {length: peak_memory(call, row.device, torch) for length, call in calls.items()}
    while len(seconds) < PASSES and seconds[-1][-1] <= options.sample_limit:
        once()
    for length, values in zip(lengths, np.transpose(seconds), strict=True):
        p20, median, p80 = np.quantile(values, [0.2, 0.5, 0.8]).tolist()
        timing = Timing(median, p20, p80, len(values), first)
        found = _timed(row, timing, model, load, length=length)
        found = replace(
            found,
            peak_bytes=peaks.get(length),
            flops=flops(model, "stream", case.batch, length),
        )
        yield with_rates(found, median, roofline)
    yield from _decoded(model, case, row, options, states)


def _decoded(
    model: Model, case: Case, row: Row, options: Options, states: dict[int, Any]
) -> Iterator[Row]:
    """A step after a few steps and after each length, all of them in turns."""
    step = _stream(model, case, "step", row.compiler)
    first = call_seconds(lambda: step.go_on(step.initial, 1))
    states = {FEW: step.go_on(step.initial, FEW), **states}
    calls = {str(n): partial(step.function, *step.fixed, state) for n, state in states.items()}
    load = load_average()
    timings = sample_steadily(calls, dict.fromkeys(calls, first), options)
    for length in states:
        timing = timings[str(length)]
        if isinstance(timing, Exception):
            raise timing
        yield replace(
            _timed(row, timing, model, load, mode="decode", length=length),
            median_ms=1e3 * timing.median,
            tokens_per_s=case.batch / timing.median,
        )


def _whole(
    model: Model, case: Case, row: Row, options: Options, roofline: Roofline
) -> Iterator[Row]:
    """Rows of a peer, up to the length that takes it longer than the limit."""
    torch = model.torch_device is not None or keras.backend.backend() == "torch"
    for length in sorted(case.lengths):
        workload = case.workload("forward", case.batch, length)
        call = make_program(model, workload, row.compiler).call
        first, load = call_seconds(call), load_average()
        timing = sample_steadily({"": call}, {"": first}, options)[""]
        if isinstance(timing, Exception):
            raise timing
        found = replace(
            _timed(row, timing, model, load, length=length),
            backend="torch" if torch else row.backend,
            peak_bytes=peak_memory(call, row.device, torch),
            flops=flops(model, "stream", case.batch, length),
        )
        if model.cache_bytes is not None:
            found = replace(found, state_bytes=model.cache_bytes(length))
        yield with_rates(found, timing.median, roofline)
        if timing.median > options.sample_limit:
            return


def _timed(row: Row, timing: Timing, model: Model, load: float, **fields: Any) -> Row:
    return replace(
        timed(row, timing),
        parameters=model.parameters,
        state_bytes=model.state_bytes,
        load=load,
        **fields,
    )
