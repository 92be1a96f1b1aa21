"""Times case by case what was asked for, and hands out rows as they are measured."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from benchmarks.cases import Case
from benchmarks.device import load_average
from benchmarks.gate import Gate
from benchmarks.models import Model
from benchmarks.options import Options
from benchmarks.programs import Program, make_program
from benchmarks.rates import backward_rows, faster_than_forward, floor_bytes, flops, with_rates
from benchmarks.rows import (
    ABSENT,
    BOTH,
    DISAGREES,
    FAILED,
    OUT_OF_MEMORY,
    UNSUPPORTED,
    Roofline,
    Row,
)
from benchmarks.sampling import sample_steadily, timed
from common.reproduce.declare.spec import FORMS
from common.reproduce.execute.memory import peak_memory
from common.reproduce.execute.timing import call_seconds


@dataclass(frozen=True)
class Variant:
    """An implementation that is built, with one way to compile it."""

    layers: tuple[str, ...]
    name: str
    compiler: str
    model: Model

    @property
    def key(self) -> tuple[str, str, str]:
        """As `Row.variant`; of a peer, that of its first row."""
        return self.layers[0], self.name, self.compiler

    @property
    def fields(self) -> dict[str, str]:
        """What its rows have of it."""
        return {"name": self.name, "compiler": self.compiler}

    @property
    def label(self) -> str:
        """What nothing else of the case is called."""
        return " ".join(self.key)


class Runner:
    """One run on one device.

    Args:
        options: how to time.
        device: "cpu" or "gpu".
        roofline: limits that rows are set against.
        note: called with what is being done, for the progress display.
        done: rows of cells that are not to be measured again.
    """

    def __init__(
        self,
        options: Options,
        device: str,
        roofline: Roofline,
        note: Callable[[str], None],
        done: Sequence[Row] = (),
    ):
        self.options = options
        self.device = device
        self.backend = keras.backend.backend()
        self.roofline = roofline
        self.note = note
        self.done = {row.key for row in done}
        # A tape over a layer without weights, and the like, is no news.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def run(self, cases: Sequence[Case]) -> Iterator[Row]:
        """Rows, each as soon as it is measured; one that is measured again comes again."""
        for case in cases:
            yield from self._of(case)

    def _of(self, case: Case) -> Iterator[Row]:
        for library, reason in case.absent.items():
            for layer in case.layers:
                yield self._row(case, layer, name=library, status=ABSENT, message=reason)
        variants = []
        for item in self._verified(case):
            if isinstance(item, Row):
                yield item
            else:
                variants.append(item)
        if "step" in self.options.timed_modes:
            yield from self._cells(case, _steps(variants), "step", 1)
        variants = [one for one in variants if one.model.call is not None]
        for length in case.lengths:
            rows: dict[str, list[Row]] = {}
            for mode in self._modes():
                rows[mode] = []
                for row in self._cells(case, variants, mode, length):
                    rows[mode].append(row)
                    yield row
                if mode == BOTH:
                    forward, both = rows["forward"], rows[BOTH]
                    yield from self._again(case, variants, length, forward, both)
                    yield from backward_rows(forward, both, self.roofline)

    def _modes(self) -> tuple[str, ...]:
        """Modes over a whole sequence that are measured; "backward" takes two of them."""
        asked = {*self.options.timed_modes}
        needed = {"forward": {"forward", "backward"}, BOTH: {"backward"}, "train": {"train"}}
        return tuple(mode for mode, of in needed.items() if of & asked)

    def _verified(self, case: Case) -> Iterator[Variant | Row]:
        """What can be built and passes the gate, and rows of what does not."""
        gate = Gate(case, self.device)
        for one in case.implementations:
            self.note(f"{one.layers[0]} {one.name}: agrees with the others?")
            try:
                model = one.make()
            except Exception as error:
                yield from self._failed(case, one.layers, error, name=one.name)
                continue
            for compiler in self._compilers(model):
                fields = {"name": one.name, "compiler": compiler}
                try:
                    message = gate.disagreement(one, model, compiler)
                except Exception as error:
                    yield from self._failed(case, one.layers, error, **fields)
                    continue
                if message:
                    row = self._row(case, one.layers[0], **fields)
                    yield replace(row, status=DISAGREES, message=message)
                else:
                    yield Variant(one.layers, one.name, compiler, model)

    def _compilers(self, model: Model) -> tuple[str, ...]:
        if model.torch_device is not None:
            return ("eager",)
        compilers = self.options.timed_compilers(self.backend)
        if model.without_xla:
            return tuple(dict.fromkeys("graph" if c == "xla" else c for c in compilers))
        return compilers

    def _cells(
        self, case: Case, variants: Sequence[Variant], mode: str, length: int
    ) -> Iterator[Row]:
        """All variants in one mode at one length, sampled in turns."""
        if mode == "train":
            variants = [one for one in variants if one.model.variables]
        variants = [one for one in variants if not self._is_done(case, one, mode, length)]
        if not variants:
            return
        workload = case.workload(mode, case.batch, length)
        programs: dict[str, Program] = {}
        first: dict[str, float] = {}
        cell = {"mode": mode, "length": length}
        for variant in variants:
            self.note(f"{variant.label} T={length} {mode}: compiles")
            try:
                program = make_program(variant.model, workload, variant.compiler)
                first[variant.label] = call_seconds(program.call)
                programs[variant.label] = program
            except Exception as error:
                yield from self._failed(case, variant.layers, error, **variant.fields, **cell)
        self.note(f"{len(programs)} implementations, T={length} {mode}: samples in turns")
        load = load_average()
        calls = {label: program.call for label, program in programs.items()}
        timings = sample_steadily(calls, first, self.options)
        for variant in variants:
            timing = timings.get(variant.label)
            if timing is None:
                continue
            if isinstance(timing, Exception):
                yield from self._failed(case, variant.layers, timing, **variant.fields, **cell)
                continue
            model = variant.model
            row = self._row(
                case,
                variant.layers[0],
                **variant.fields,
                **cell,
                backend=self._framework(variant),
                peak_bytes=self._peak(programs[variant.label], variant),
                flops=flops(model, mode, case.batch, length),
                floor_bytes=floor_bytes(model, workload),
                parameters=model.parameters,
                state_bytes=model.state_bytes,
                load=load,
            )
            row = with_rates(timed(row, timing), timing.median, self.roofline)
            for layer in variant.layers:
                yield replace(row, layer=layer)

    def _again(
        self,
        case: Case,
        variants: Sequence[Variant],
        length: int,
        forward: list[Row],
        both: list[Row],
    ) -> Iterator[Row]:
        """Measures again what was slower forward than with backward, and doubts what still is.

        The rows take the place of those in `forward` and `both`.
        """
        faster = faster_than_forward(forward, both)
        chosen = [one for one in variants if one.key in faster]
        if not chosen:
            return
        for rows, mode in ((forward, "forward"), (both, BOTH)):
            new = {row.variant: row for row in self._cells(case, chosen, mode, length)}
            rows[:] = [new.get(row.variant, row) for row in rows]
        still = faster_than_forward(forward, both)
        for rows in (forward, both):
            for index, row in enumerate(rows):
                if row.variant in still:
                    rows[index] = replace(row, doubt=still[row.variant])
                if row.variant in faster:
                    yield rows[index]

    def _is_done(self, case: Case, variant: Variant, mode: str, length: int) -> bool:
        cell = {"mode": mode, "length": length, "backend": self._framework(variant)}
        row = self._row(case, variant.layers[0], **variant.fields, **cell)
        return row.key in self.done

    def _peak(self, program: Program, variant: Variant) -> int | None:
        torch = self._framework(variant) == "torch"
        if self.device == "cpu" and variant.compiler == "xla":
            # Less than attention's scores alone: resident memory does not show XLA's buffers.
            return None
        try:
            planned = self.backend == "jax" and not torch
            return program.memory() if planned else peak_memory(program.call, self.device, torch)
        except Exception:
            return None

    def _framework(self, variant: Variant) -> str:
        return self.backend if variant.model.torch_device is None else "torch"

    def _row(self, case: Case, layer: str, **fields: Any) -> Row:
        """A row of the case; of what is not timed, without a length and a mode."""
        common = {
            "compiler": "",
            "mode": "",
            "length": 0,
            "batch": case.batch,
            "dtype": self.options.dtype,
            "device": self.device,
            "backend": self.backend,
        }
        return Row(layer=layer, **common | fields)

    def _failed(
        self, case: Case, layers: Sequence[str], error: Exception, **fields: Any
    ) -> Iterator[Row]:
        status, message = classify(error)
        for layer in layers:
            yield self._row(case, layer, **fields, status=status, message=message)


def classify(error: Exception) -> tuple[str, str]:
    """The status of a cell that raised `error`, and one line of what it said."""
    text = str(error)
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    message = f"{type(error).__name__}: {lines[0]}"[:300]
    lower = text.lower()
    if isinstance(error, MemoryError) or any(
        sign in lower
        for sign in ("out of memory", "oom when", "resource_exhausted", "allocate memory")
    ):
        return OUT_OF_MEMORY, message
    unsupported = isinstance(error, NotImplementedError) or any(
        sign in lower for sign in ("not supported", "unsupported", "unimplemented", "not implement")
    )
    return (UNSUPPORTED if unsupported else FAILED), message


def _steps(variants: Sequence[Variant]) -> list[Variant]:
    """Those with a step; of the forms of a layer one, since a step is the same in all.

    The recurrent one if it is there, whose formula for FLOPs is that of steps.
    """
    chosen: dict[str, Variant] = {}
    for one in sorted(variants, key=lambda one: one.name != "recurrent"):
        if one.model.step is None:
            continue
        if one.name in FORMS:
            of_steps = one.model.flops if one.name == "recurrent" else None
            one = replace(one, name="step", model=replace(one.model, flops=of_steps))
        chosen.setdefault(one.label, one)
    return list(chosen.values())
