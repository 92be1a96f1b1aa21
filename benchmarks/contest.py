"""Who is timed against whom: forms and peers of the same shape."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from benchmarks.models import Model, Shape, layer_model, output_width
from benchmarks.peers import find_peers
from common.reproduce.spec import LayerCase


@dataclass(frozen=True)
class Contestant:
    """A form of a layer, or a peer.

    Attributes:
        layers: names of the layers whose tables it stands in: of a form, one.
        name: the form or the peer.
        is_form: which of the two.
        make: builds it.
    """

    layers: tuple[str, ...]
    name: str
    is_form: bool
    make: Callable[[], Model]


@dataclass(frozen=True)
class Contest:
    """Contestants of one shape, and the libraries of peers that are absent, with the reasons."""

    shape: Shape
    contestants: tuple[Contestant, ...]
    absent: dict[str, str]


def contests(
    cases: dict[str, LayerCase], forms: Iterable[str], dtype: str, device: str, peers: bool
) -> list[Contest]:
    """One contest for all layers that have the same widths and heads."""
    grouped: dict[tuple[int, int, int], dict[str, LayerCase]] = {}
    for name, case in cases.items():
        units = output_width(case)
        key = (case.input_dim, units, case.config.get("num_heads", _heads(units)))
        grouped.setdefault(key, {})[name] = case
    found = []
    for (input_dim, units, heads), group in grouped.items():
        shape = Shape(input_dim, units, heads, dtype, "cuda" if device == "gpu" else "cpu", group)
        entries = [
            Contestant((name,), form, True, partial(layer_model, case, form, dtype))
            for name, case in group.items()
            for form in case.forms
            if form in forms
        ]
        others, absent = find_peers(shape) if peers else ({}, {})
        entries += [Contestant(tuple(group), name, False, make) for name, make in others.items()]
        found.append(Contest(shape, tuple(entries), absent))
    return found


def _heads(units: int) -> int:
    return 4 if units % 4 == 0 else 1
