"""What is timed against what: implementations of one shape."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from benchmarks.kernels import KERNELS, LSTM, LSTM_BATCH, LSTM_LENGTH, draw
from benchmarks.models import Model, Shape, kernel_model, layer_model, load, outputs_of
from benchmarks.options import STREAM_LENGTHS, Options
from benchmarks.peers import find_peers
from benchmarks.programs import Workload
from common.reproduce.declare.spec import LayerCase


@dataclass(frozen=True)
class Implementation:
    """A form of a layer or of a kernel, or a peer.

    Attributes:
        layers: in whose tables it stands: of a form, one.
        name: the form or the peer.
        make: builds it.
        is_form: which of the two.
    """

    layers: tuple[str, ...]
    name: str
    make: Callable[[], Model]
    is_form: bool = True


@dataclass(frozen=True)
class Case:
    """Implementations that are timed in turns on the same arrays.

    Attributes:
        shape: what peers must have.
        inputs: batch and length to the arguments, the first of them `(B, T, ...)`.
        units: shape of one step of the outputs.
        implementations: who takes part.
        references: layer or kernel to what its forms must agree with.
        batch: sequences B.
        lengths: time steps T.
        absent: libraries of peers that are not there, and why.
    """

    shape: Shape
    inputs: Callable[[int, int], list[np.ndarray]]
    units: tuple[int, ...]
    implementations: tuple[Implementation, ...]
    references: dict[str, Callable[[], Model]]
    batch: int
    lengths: tuple[int, ...]
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers and kernels, each once."""
        return tuple(dict.fromkeys(name for one in self.implementations for name in one.layers))

    def workload(self, mode: str, batch: int, length: int) -> Workload:
        """The arrays of a size; those of a step have no axis of time."""
        arrays = [*self.inputs(batch, length), draw(batch, length, *self.units, seed=1)]
        if mode == "step":
            arrays = [x[:, 0] for x in arrays]
        *inputs, upstream = arrays
        return Workload(mode, inputs, upstream, self.shape.dtype)


def find_cases(options: Options, device: str) -> list[Case]:
    """What was asked for: a case for all layers of the same widths and heads, one a kernel.

    Raises:
        ValueError: if `options.peers` has the name of a peer that no case has.
    """
    shape = Shape(options.dtype, "cuda" if device == "gpu" else "cpu")
    cases = _layer_cases(options.chosen_layers(), shape)
    for name in options.chosen_kernels():
        if name == LSTM.name:
            cases += _layer_cases({f"common/{name}": LSTM}, shape, LSTM_BATCH, (LSTM_LENGTH,))
        else:
            cases.append(_kernel_case(name, shape))
    cases = [_restricted(case, options) for case in cases]
    _check_peers(options.peers, cases)
    return [case for case in cases if case.implementations]


def _layer_cases(
    layers: dict[str, LayerCase],
    shape: Shape,
    batch: int = 8,
    lengths: tuple[int, ...] = (256, 1024, 4096),
) -> list[Case]:
    grouped: dict[Shape, dict[str, LayerCase]] = {}
    for name, layer in layers.items():
        units = load(layer.factory)(**layer.config).output_dim
        heads = layer.config.get("num_heads", 4 if units % 4 == 0 else 1)
        widths = replace(shape, input_dim=layer.input_dim, units=units, heads=heads)
        grouped.setdefault(widths, {})[name] = layer

    def make(layer: LayerCase, form: str) -> Callable[[], Model]:
        return partial(layer_model, layer, form, shape.dtype)

    return [
        Case(
            replace(widths, layers=group),
            partial(_sequences, widths.input_dim),
            (widths.units,),
            tuple(
                Implementation((name,), form, make(layer, form))
                for name, layer in group.items()
                for form in layer.forms
            ),
            {name: make(layer, "recurrent") for name, layer in group.items()},
            batch,
            lengths,
        )
        for widths, group in grouped.items()
    ]


def _kernel_case(name: str, shape: Shape) -> Case:
    kernel, layer = KERNELS[name], f"common/{name}"
    references: dict[str, Callable[[], Model]] = {}
    if kernel.reference:
        references[layer] = lambda: Model(outputs_of(kernel, kernel.reference))
    return Case(
        replace(shape, kernel=name),
        kernel.inputs,
        kernel.units,
        tuple(
            Implementation((layer,), form, partial(kernel_model, kernel, form))
            for form in kernel.forms
        ),
        references,
        kernel.batch,
        (kernel.length,),
    )


def _restricted(case: Case, options: Options) -> Case:
    """The case with the forms, peers and sizes that were asked for; nobody where no form is."""
    forms = tuple(one for one in case.implementations if options.takes_form(one.name))
    batch, lengths = (2, (256,)) if options.quick else (case.batch, case.lengths)
    if options.stream:
        batch, lengths = 1, STREAM_LENGTHS[:2] if options.quick else STREAM_LENGTHS
    case = replace(
        case,
        implementations=forms,
        batch=options.batch or batch,
        lengths=options.length or lengths,
    )
    if not forms:
        return case
    found, absent = find_peers(case.shape, options.peers)
    peers = tuple(
        Implementation(case.layers, name, make, is_form=False)
        for name, make in found.items()
        if options.takes_peer(name)
    )
    return replace(case, implementations=forms + peers, absent=absent)


def _check_peers(asked: tuple[str, ...], cases: list[Case]) -> None:
    there = {one.name for case in cases for one in case.implementations}
    absent = {library for case in cases for library in case.absent}
    for name in asked:
        library, _, peer = name.partition(" ")
        if peer and name not in there and library not in absent:
            expected = "all, none, a library or a peer by the name that it has in the tables"
            raise ValueError(f"--peers is {name!r}, expected {expected}.")


def _sequences(width: int, batch: int, length: int) -> list[np.ndarray]:
    return [draw(batch, length, width)]
