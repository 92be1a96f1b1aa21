"""Every form of every layer computes what another hand's code computes: outputs, state, gradients.

The vectors are files; `tests/golden/make.py` makes them with the peers, which are not needed here.
"""

import ast
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops, tree

from papers.mamba2 import Mamba2
from tests.contract.invariants import assert_close
from tests.contract.papers import contracts
from tests.contract.subjects import all_subjects, factory
from tests.golden.cases import GOLDEN, Golden, joined
from tests.helpers.gradients import gradients

FOLDER = Path(__file__).parent
# Relative to an array's largest value; rounding, over a dozen steps.
TOLERANCE, NOISE = 1e-10, 1e-13
# Jitted on JAX, where nobody runs op by op.
MODE = "xla" if keras.backend.backend() == "jax" else "eager"


def vector(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "vectors" / f"{name}.npz"))


def part(arrays: dict, prefix: str) -> dict:
    return {n.removeprefix(prefix): x for n, x in arrays.items() if n.startswith(prefix)}


def leaves(nest, prefix: str) -> dict[str, np.ndarray]:
    """The leaves of a nested dict by their paths."""
    return {prefix + "/".join(map(str, path)): leaf for path, leaf in tree.flatten_with_path(nest)}


def by_name(layer) -> dict[str, keras.Variable]:
    """The weights by name, with the name of the layer inside before it where two have one name."""
    weights = layer.trainable_variables
    names = [weight.name for weight in weights]
    return {
        name if names.count(name) == 1 else "/".join(weight.path.split("/")[-2:]): weight
        for name, weight in zip(names, weights, strict=True)
    }


def computed(golden: Golden, arrays: dict, layer) -> dict[str, np.ndarray]:
    """What `layer`, given the peer's weights, computes on the vector's inputs and state."""
    inputs = arrays["inputs"]
    layer.build((None, None, inputs.shape[-1]))
    values = golden.weights(part(arrays, "weights/"))
    variables = by_name(layer)
    assert variables.keys() == values.keys()
    for name, variable in variables.items():
        assert tuple(variable.shape) == values[name].shape, name
    start = part(arrays, "state/")
    start = golden.state(start) if start else None
    state_leaves = [] if start is None else tree.flatten(start)
    floating = [i for i, leaf in enumerate(state_leaves) if leaf.dtype.kind == "f"]
    upstream_state = leaves(golden.state(part(arrays, "upstream/final/")), "final/")
    upstream = [arrays["upstream/outputs"], *upstream_state.values()]

    def run(inputs, *rest):
        weights, states = rest[: len(variables)], rest[len(variables) :]
        filled = [ops.convert_to_tensor(leaf) for leaf in state_leaves]
        for i, value in zip(floating, states, strict=True):
            filled[i] = value
        state = None if start is None else tree.pack_sequence_as(start, filled)
        mapping = list(zip(variables.values(), weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            outputs, final = layer(inputs, initial_state=state, return_state=True)
        final = leaves(final, "final/")
        # What the peer has of the state; all of it enters the sum that is differentiated.
        return [outputs, *(final[name] for name in upstream_state)]

    args = [inputs, *(values[name] for name in variables), *(state_leaves[i] for i in floating)]
    results, grads = gradients(run, args, MODE, upstream=upstream)
    paths = [] if start is None else list(leaves(start, "gradients/state/"))
    names = [
        "gradients/inputs",
        *(f"gradients/weights/{name}" for name in variables),
        *(paths[i] for i in floating),
    ]
    return dict(zip(("outputs", *upstream_state), results, strict=True)) | dict(
        zip(names, grads, strict=True)
    )


def expected(golden: Golden, arrays: dict) -> dict[str, np.ndarray]:
    """The same of the vector, in the layer's names and shapes."""
    final = leaves(golden.state(part(arrays, "final/")), "final/")
    weights = golden.weights(part(arrays, "gradients/weights/"))
    state = part(arrays, "gradients/state/")
    return {
        "outputs": arrays["outputs"],
        **final,
        "gradients/inputs": arrays["gradients/inputs"],
        **leaves(weights, "gradients/weights/"),
        **(leaves(golden.state(state), "gradients/state/") if state else {}),
    }


def check(golden: Golden, layer) -> None:
    arrays = vector(golden.name)
    got, want = computed(golden, arrays, layer), expected(golden, arrays)
    assert got.keys() == want.keys()
    for name in want:
        assert_close(got[name], want[name], TOLERANCE, f"{golden.name}, {name}", NOISE)


@pytest.mark.parametrize(
    "golden, form",
    [
        pytest.param(golden, form, id=f"{golden.name}-{form}")
        for golden in GOLDEN
        for form in golden.layer("auto").forms
    ],
)
def test_layer_computes_what_its_peer_computes(golden, form):
    check(golden, golden.layer(form))


def test_every_layer_case_has_a_golden_vector_or_is_checked_by_hand():
    covered = {subject: golden for golden in GOLDEN for subject in golden.covers}
    by_hand = [name for contract in contracts() for name in contract.by_hand]
    for subject in all_subjects():
        if subject.name in by_hand:
            continue
        assert subject.name in covered, f"{subject.name} has no golden vector"
        assert type(subject.make()) is covered[subject.name].layer_class


def test_every_vector_is_held_by_a_layer():
    files = {path.stem for path in (FOLDER / "vectors").glob("*.npz")}
    assert files == {golden.name for golden in GOLDEN}


def test_peers_import_nothing_of_ours():
    for path in [FOLDER / "make.py", *(FOLDER / "peers").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ())]
            for name in [getattr(node, "module", None) or "", *names]:
                assert name.split(".")[0] not in ("papers", "common", "benchmarks"), path


# That the test sees what it is there to see: layers that are wrong in ways that fit.


class NormOverTheWholeWidth(Mamba2):
    """Mamba-2 with one norm over all groups."""

    def readout(self, emitted):
        gated = emitted["y"] * ops.silu(emitted["z"])
        power = ops.mean(ops.square(gated), axis=-1, keepdims=True)
        normed = gated * ops.rsqrt(power + 1e-5) * self.norm_scale
        return ops.matmul(normed, ops.convert_to_tensor(self.output_kernel))


def golden_of(name: str) -> Golden:
    (golden,) = (golden for golden in GOLDEN if golden.name == name)
    return golden


def test_sees_a_norm_over_the_whole_width():
    two, one = golden_of("mamba2"), golden_of("mamba2-one-group")
    check(one, NormOverTheWholeWidth(**one.config, dtype="float64"))
    with pytest.raises(AssertionError, match="outputs: relative error"):
        check(two, NormOverTheWholeWidth(**two.config, dtype="float64"))


@pytest.mark.parametrize("name", ["lstm", "ntm"])
def test_sees_gates_in_another_order(name):
    golden = golden_of(name)

    def reordered(p):
        weights = golden.weights(p)
        for key in ("kernel", "recurrent_kernel", "bias"):
            i, f, c, o = np.split(weights[key], 4, axis=-1)
            weights[key] = joined(i, f, o, c)
        return weights

    with pytest.raises(AssertionError, match="outputs: relative error"):
        check(replace(golden, weights=reordered), golden.layer("auto"))


def test_sees_keys_where_queries_belong():
    golden = golden_of("delta-net")

    def exchanged(p):
        return golden.weights({**p, "q": p["k"], "k": p["q"]})

    with pytest.raises(AssertionError, match="outputs: relative error"):
        check(replace(golden, weights=exchanged), golden.layer("auto"))


def test_sees_a_gradient_that_stops():
    """A state that is used, and not differentiated."""
    golden = golden_of("mingru")

    class Detached(factory("papers.min_rnn:MinGRU")):
        def chunkwise(self, features, state, initial, mask, reset):
            state = tree.map_structure(ops.stop_gradient, state)
            return super().chunkwise(features, state, initial, mask, reset)

    with pytest.raises(AssertionError, match="gradients/state/hidden: relative error"):
        check(golden, Detached(**golden.config, form="chunkwise", dtype="float64"))
