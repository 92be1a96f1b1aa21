"""Times everything that was asked for, cell by cell, and hands out rows as they are measured."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import keras

from benchmarks import gate
from benchmarks.contest import Contest, Contestant, contests
from benchmarks.device import load_average, peak_memory, peak_on_cuda
from benchmarks.models import Model
from benchmarks.options import Options
from benchmarks.programs import Work, make_program
from benchmarks.programs.program import Program
from benchmarks.rows import (
    ABSENT,
    DISAGREES,
    FAILED,
    OUT_OF_MEMORY,
    UNSUPPORTED,
    Roofline,
    Row,
)
from common.reproduce.timing import Timing, call_seconds, sample

BOTH = "forward+backward"
# From p20 to p80, relative to the median; beyond it a number is measured once more.
LARGEST_SPREAD = 0.5


@dataclass(frozen=True)
class Entry:
    """A contestant that is built and has passed the gate, with one way to compile it."""

    contestant: Contestant
    model: Model
    compiler: str


class Runner:
    """One run on one device.

    Args:
        options: what to time.
        device: "cpu" or "gpu".
        roofline: limits that rows are set against.
        note: called with what is being done, for the progress display.
    """

    def __init__(
        self, options: Options, device: str, roofline: Roofline, note: Callable[[str], None]
    ):
        self.options = options
        self.device = device
        self.backend = keras.backend.backend()
        self.roofline = roofline
        self.note = note
        # A tape over a layer without weights, and the like, is no news.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def contests(self) -> list[Contest]:
        """What will be timed."""
        o = self.options
        return contests(o.cases(), o.forms, o.dtype, self.device, o.peers)

    def modes(self) -> tuple[str, ...]:
        """Modes over a whole sequence that are measured; "backward" takes two of them."""
        asked = self.options.timed_modes
        modes = ["forward"] if {"forward", "backward"} & set(asked) else []
        modes += [BOTH] if "backward" in asked else []
        return (*modes, *(["train"] if "train" in asked else []))

    def run(self) -> Iterator[Row]:
        """Rows, each as soon as it is measured; one that is measured again comes again."""
        for contest in self.contests():
            yield from self._absent(contest)
            entries: list[Entry] = []
            for item in self._admit(contest):
                if isinstance(item, Row):
                    yield item
                else:
                    entries.append(item)
            if "step" in self.options.timed_modes:
                yield from self._cells(_one_form_each(entries), contest, "step", 1)
            for length in self.options.lengths:
                measured: dict[str, list[Row]] = {}
                for mode in self.modes():
                    rows = measured.setdefault(mode, [])
                    for row in self._cells(entries, contest, mode, length):
                        rows.append(row)
                        yield row
                    if mode == BOTH:
                        forward, both = measured["forward"], rows
                        yield from self._again(entries, contest, length, forward, both)
                        yield from self._backward(forward, both)

    # Who takes part.

    def _absent(self, contest: Contest) -> Iterator[Row]:
        for library, reason in contest.absent.items():
            for layer in contest.shape.cases:
                yield self._row(layer, library, "", "", 0, status=ABSENT, message=reason)

    def _admit(self, contest: Contest) -> Iterator[Entry | Row]:
        expected: dict[str, list] = {}
        for contestant in contest.contestants:
            self.note(f"{contestant.layers[0]} {contestant.name}: agrees with the others?")
            try:
                model = contestant.make()
            except Exception as error:
                yield from self._failed(contestant, "", "", 0, error)
                continue
            for compiler in self._compilers(model):
                if contestant.is_form:
                    layer = contestant.layers[0]
                    try:
                        if layer not in expected:
                            expected[layer] = self._reference(contest, layer)
                        message = self._disagreement(contest, model, expected[layer], compiler)
                    except Exception as error:
                        yield from self._failed(contestant, compiler, "", 0, error)
                        continue
                    if message:
                        yield self._row(
                            layer,
                            contestant.name,
                            compiler,
                            "",
                            0,
                            status=DISAGREES,
                            message=message,
                        )
                        continue
                yield Entry(contestant, model, compiler)

    def _compilers(self, model: Model) -> tuple[str, ...]:
        if model.framework == "torch":
            return ("eager",)
        compilers = self.options.timed_compilers(self.backend)
        if model.keras_loop and self.backend == "tensorflow":
            return tuple(dict.fromkeys("graph" if c == "xla" else c for c in compilers))
        return compilers

    def _reference(self, contest: Contest, layer: str) -> list:
        from benchmarks.models import layer_model

        model = layer_model(contest.shape.cases[layer], "recurrent", self.options.dtype)
        compiler = "graph" if self.backend == "tensorflow" else self._compilers(model)[0]
        return gate.reference(model, contest.shape.input_dim, compiler, self.options.dtype)

    def _disagreement(self, contest: Contest, model: Model, expected: list, compiler: str) -> str:
        dtype, width = self.options.dtype, contest.shape.input_dim
        return gate.disagreement(model, expected, width, compiler, dtype, self.device)

    # The timing.

    def _cells(
        self, entries: list[Entry], contest: Contest, mode: str, length: int
    ) -> Iterator[Row]:
        """All entries in one mode at one length, sampled in turns."""
        work = Work(mode, "", self.options.batch_size, length, self.options.dtype)
        programs: dict[int, Program] = {}
        first: dict[int, float] = {}
        for index, entry in enumerate(entries):
            contestant = entry.contestant
            self.note(f"{contestant.layers[0]} {contestant.name} T={length} {mode}: compiles")
            try:
                program = make_program(
                    entry.model, contest.shape.input_dim, replace(work, compiler=entry.compiler)
                )
                first[index] = call_seconds(program.call)
                programs[index] = program
            except Exception as error:
                yield from self._failed(contestant, entry.compiler, mode, length, error)
        self.note(f"{len(programs)} competitors, T={length} {mode}: samples in turns")
        load = load_average()
        timings = self._steady({str(index): p.call for index, p in programs.items()}, first)
        for index, program in programs.items():
            entry = entries[index]
            result = timings[str(index)]
            if isinstance(result, Exception):
                yield from self._failed(entry.contestant, entry.compiler, mode, length, result)
                continue
            row = self._measured(entry, contest, mode, length, result)
            wide = spread(result) > LARGEST_SPREAD
            doubt = f"p20 to p80 are {spread(result):.0%} of the median" if wide else ""
            row = replace(row, peak_bytes=self._peak(program, entry), load=load, doubt=doubt)
            for layer in entry.contestant.layers:
                yield replace(row, layer=layer)

    def _again(
        self,
        entries: list[Entry],
        contest: Contest,
        length: int,
        forward: list[Row],
        both: list[Row],
    ) -> Iterator[Row]:
        """Measures again what was slower forward than with backward, and doubts what still is.

        The rows take the place of those in `forward` and `both`.
        """
        faster = _faster_than_their_forward(forward, both)
        chosen = [
            entry
            for entry in entries
            if {(layer, entry.contestant.name, entry.compiler) for layer in entry.contestant.layers}
            & faster.keys()
        ]
        if not chosen:
            return
        for rows, mode in ((forward, "forward"), (both, BOTH)):
            new = {_contender(row): row for row in self._cells(chosen, contest, mode, length)}
            rows[:] = [new.get(_contender(row), row) for row in rows]
        still = _faster_than_their_forward(forward, both)
        for rows in (forward, both):
            for index, row in enumerate(rows):
                key = _contender(row)
                if key in still:
                    rows[index] = replace(row, doubt=still[key])
                if key in faster:
                    yield rows[index]

    def _steady(
        self, calls: dict[str, Callable[[], object]], first: dict[int, float]
    ) -> dict[str, Timing | Exception]:
        """Samples; those that spread too far once more, of which the narrower ones count."""
        timings = self._sample(calls, first)
        loose = {
            name: call
            for name, call in calls.items()
            if isinstance(t := timings[name], Timing) and spread(t) > LARGEST_SPREAD
        }
        if loose:
            self.note(f"{len(loose)} of {len(calls)} competitors: samples once more")
        for name, again in self._sample(loose, {int(n): first[int(n)] for n in loose}).items():
            before = timings[name]
            assert isinstance(before, Timing)
            if isinstance(again, Timing) and spread(again) < spread(before):
                timings[name] = again
        return timings

    def _sample(
        self, calls: dict[str, Callable[[], object]], first: dict[int, float]
    ) -> dict[str, Timing | Exception]:
        if not calls:
            return {}
        seconds = {str(index): value for index, value in first.items()}
        try:
            return dict(
                sample(
                    calls,
                    seconds,
                    self.options.sample_count,
                    most_seconds=self.options.sample_limit,
                    least_samples=3 if self.options.quick else 5,
                )
            )
        except Exception as error:
            # Memory can run out with all in turns where each alone had enough.
            if len(calls) == 1:
                return {name: error for name in calls}
            alone: dict[str, Timing | Exception] = {}
            for name, call in calls.items():
                alone |= self._sample({name: call}, {int(name): seconds[name]})
            return alone

    def _peak(self, program: Program, entry: Entry) -> int | None:
        try:
            if entry.model.framework == "torch":
                cuda = self.device == "gpu"
                return peak_on_cuda(program.call) if cuda else peak_memory(program.call, "cpu")
            if self.backend == "jax":
                return program.memory()
            if self.device == "cpu" and entry.compiler == "xla":
                # Less than attention's scores alone: resident memory does not show XLA's buffers.
                return None
            return peak_memory(program.call, self.device)
        except Exception:
            return None

    # Rows.

    def _row(self, layer: str, name: str, compiler: str, mode: str, length: int, **values) -> Row:
        return Row(
            layer=layer,
            name=name,
            compiler=compiler,
            mode=mode,
            batch=self.options.batch_size,
            length=length,
            dtype=self.options.dtype,
            device=self.device,
            backend=self.backend,
            **values,
        )

    def _failed(
        self, contestant: Contestant, compiler: str, mode: str, length: int, error: Exception
    ) -> Iterator[Row]:
        status, message = classify(error)
        for layer in contestant.layers:
            name = "step" if mode == "step" else contestant.name
            yield self._row(layer, name, compiler, mode, length, status=status, message=message)

    def _measured(
        self, entry: Entry, contest: Contest, mode: str, length: int, timing: Timing
    ) -> Row:
        model = entry.model
        row = self._row(
            entry.contestant.layers[0],
            "step" if mode == "step" else entry.contestant.name,
            entry.compiler,
            mode,
            length,
            p20_ms=1e3 * timing.p20,
            p80_ms=1e3 * timing.p80,
            samples=timing.samples,
            compile_s=timing.first,
            parameters=model.parameters,
            state_bytes=model.state_bytes,
            floor_bytes=self._floor_bytes(model, contest.shape.input_dim, mode, length),
            flops=self._flops(entry, mode, length),
        )
        if model.framework == "torch":
            row = replace(row, backend="torch")
        return self._with_rates(row, timing.median)

    def _with_rates(self, row: Row, seconds: float) -> Row:
        gflop = None if not row.flops else row.flops / seconds / 1e9
        gemm = self.roofline.gemm[self.options.dtype]
        floor = row.floor_bytes
        return replace(
            row,
            median_ms=1e3 * seconds,
            tokens_per_s=row.batch * row.length / seconds,
            gflop_per_s=gflop,
            gemm_fraction=None if gflop is None else 1e9 * gflop / gemm,
            bandwidth_fraction=None if not floor else floor / seconds / self.roofline.bandwidth,
        )

    def _flops(self, entry: Entry, mode: str, length: int) -> int | None:
        if entry.model.flops is None or (mode == "step" and entry.contestant.name != "recurrent"):
            return None
        return _TIMES[mode] * entry.model.flops(self.options.batch_size, length)

    def _floor_bytes(self, model: Model, width: int, mode: str, length: int) -> int | None:
        batch, size = self.options.batch_size, 2 if self.options.dtype == "bfloat16" else 4
        weights = 4 * model.parameters
        once = size * batch * length * (width + model.units) + weights
        if mode == "step":
            return once + 2 * batch * (model.state_bytes or 0)
        return {"forward": once, BOTH: 2 * once}.get(mode)

    def _backward(self, forward: list[Row], both: list[Row]) -> Iterator[Row]:
        """Derived rows: forward and backward, less forward."""
        times = {(row.layer, row.name, row.compiler): row for row in forward}
        for row in both:
            less = times.get((row.layer, row.name, row.compiler))
            if less is None or less.median_ms is None or row.median_ms is None:
                continue
            milliseconds = row.median_ms - less.median_ms
            derived = replace(
                row,
                mode="backward",
                doubt=row.doubt or less.doubt,
                p20_ms=None,
                p80_ms=None,
                compile_s=None,
                peak_bytes=None,
                flops=None if row.flops is None or less.flops is None else row.flops - less.flops,
                floor_bytes=less.floor_bytes,
            )
            if milliseconds > 0:
                yield self._with_rates(derived, 1e-3 * milliseconds)


def spread(timing: Timing) -> float:
    """From p20 to p80, relative to the median."""
    return (timing.p80 - timing.p20) / timing.median


def _contender(row: Row) -> tuple[str, str, str]:
    return row.layer, row.name, row.compiler


def _faster_than_their_forward(forward: list[Row], both: list[Row]) -> dict[tuple, str]:
    """The contenders of whom that is so, and how it is said."""
    times = {_contender(row): row.median_ms for row in forward}
    found = {}
    for row in both:
        less = times.get(_contender(row))
        if less is not None and row.median_ms is not None and row.median_ms < less:
            found[_contender(row)] = f"forward {less:.3g} ms, with backward {row.median_ms:.3g}"
    return found


# Forward passes that a mode counts as: a backward pass is two.
_TIMES = {"forward": 1, BOTH: 3, "train": 3, "step": 1}


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


def _one_form_each(entries: list[Entry]) -> list[Entry]:
    """One form of each layer and compiler: a step is the same in all.

    The recurrent one if it is there, whose formula for FLOPs is that of steps.
    """
    chosen: dict[tuple[str, str], Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.contestant.name != "recurrent"):
        if entry.model.step is not None:
            chosen.setdefault((entry.contestant.layers[0], entry.compiler), entry)
    return list(chosen.values())
