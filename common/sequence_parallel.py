"""A sequence split over devices along time, on JAX: `sequence_parallel`.

Each device computes its part of the sequence as the layer does, in whatever form that has. What it
needs of the devices before it is the state at the start of its part. A linear memory's goes over
the part as `S -> A S + B`: a device finds B by going over its part from nothing and A by the
gradient of that, and an associative scan over the devices joins them. The gradient is the same
recurrence backwards, with A transposed.

A stabilised memory S is kept divided by `exp(m)`, the largest weight in it. Outputs do not depend
on m, so a part may start from any m that S is divided by the exponential of: it starts from the m
that the part before alone would end with, held fixed, and that part ends with S divided anew.

A memory that is kept by level is multiplied in all levels alike, and what a level holds goes on to
another as the count of steps says, `S -> A S P + B` with a matrix P of levels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from common.checks import check_choice, given, refuse
from common.layers import SequenceLayer
from common.ops import complex_pairs, fenwick
from common.ops.time_axis import expand_like
from common.typing import State, Tensor

# How the tensors of a state go over a part of a sequence, by their names. Those of the last steps
# are what the part before ends with; what is added up is a sum over the parts; memories are linear;
# a stabiliser is the logarithm of what they are divided by, and a count of steps, a sum too, tells
# their levels.
LAST = ("conv", "convolution", "shift", "window", "started", "b", "x")
SUMS = ("position", "angle")
LINEAR = ("memory", "ssm", "hidden", "normaliser")
OTHERS = ("count", "stabiliser")
MEMORIES = ("diagonal", "matrix", "complex")

# The logarithm of no weight.
_NOTHING = -1e30


def sequence_parallel(
    layer: SequenceLayer,
    mesh: Any,
    memory: str,
    axis: str = "sequence",
    batch_axis: str | None = None,
) -> Callable[..., Tensor]:
    """The layer as a function whose inputs are split along time over the devices of a mesh.

        mesh = jax.make_mesh((8,), ("sequence",))
        outputs = sequence_parallel(layer, mesh, memory="diagonal")(inputs)

    Outputs and gradients are those of the layer on one device, up to rounding. A part is gone over
    twice forward, and once for the gradient of its state; backward, the gradient is taken twice.
    Memory for activations is a part's. Outputs of an mLSTM are NaN where the largest weight in its
    memory falls from one part to the next by more than numbers hold, by `exp(88)` in float32.

    Args:
        layer: A built layer with a linear memory, which is not `go_backwards` and returns
            sequences. A part must be at least as long as its convolution.
        mesh: A `jax.sharding.Mesh`.
        memory: What a step multiplies the memory by: numbers, each its own (`"diagonal"`: linear
            attention, RetNet, GLA, Griffin, Mamba, Mamba-2 and 3, log-linear Mamba-2, mLSTM,
            minGRU, minLSTM), a matrix on the keys of each head (`"matrix"`: DeltaNet, log-linear
            too, DeltaProduct, KDA, RWKV-7, fast weights by the delta rule), or complex numbers,
            the real parts first (`"complex"`: H3 and S4D). With one that the layer's is no case
            of, outputs are NaN.
        axis: Axis of the mesh that time is split over.
        batch_axis: Axis of the mesh that the batch is split over, if it is.

    Returns:
        `run(inputs, reset=None)`, which takes `(B, T, D)` and `(B, T)`, T a multiple of the
        devices along `axis`, and returns `(B, T, output_dim)`. The layer's variables are read when
        it is called, so that it is differentiated as the layer is, in a `StatelessScope` too.

    Raises:
        ValueError: if the backend is not JAX, an axis is not the mesh's, `memory` is unknown or not
            of the layer's shape, or the layer is not built or has a state that does not join.
    """
    _check(layer, mesh, memory, axis, batch_axis)
    import jax
    from jax.sharding import Mesh, PartitionSpec

    # Axes of the kind that inputs need not be split along yet.
    mesh = Mesh(mesh.devices, mesh.axis_names)
    steps, whole = PartitionSpec(batch_axis, axis), PartitionSpec()
    devices = mesh.shape[axis]
    # Compiled, or else it would run operation by operation.
    parts = jax.jit(
        jax.shard_map(
            partial(_part, layer, memory, axis, devices),
            mesh=mesh,
            in_specs=(whole, steps, steps),
            out_specs=steps,
            check_vma=False,
        )
    )

    def run(inputs: Tensor, reset: Tensor | None = None) -> Tensor:
        inputs = keras.ops.convert_to_tensor(inputs)
        if inputs.shape[1] % devices:
            raise ValueError(
                f"`inputs` must have a multiple of {devices} steps, one part a device along "
                f"{axis!r}; got shape {tuple(inputs.shape)}."
            )
        return parts([variable.value for variable in layer.variables], inputs, reset)

    return run


def _part(
    layer: SequenceLayer,
    memory: str,
    axis: str,
    devices: int,
    weights: Any,
    inputs: Any,
    reset: Any,
) -> Any:
    """One device's outputs, of its part of the inputs."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    kinds = {name: _kind(name, memory) for name in layer.state_spec()}

    def holding(weights: Any) -> keras.StatelessScope:
        return keras.StatelessScope(list(zip(layer.variables, weights, strict=True)))

    def local(weights: Any, inputs: Any, state: State, reset: Any) -> tuple[Any, State]:
        with holding(weights):
            return layer(inputs, initial_state=state, reset=reset, return_state=True)

    with holding(weights):
        initial = layer.get_initial_state(inputs.shape[0])
    start: State = {}
    ends: State = {}
    # What the last steps leave may depend on what is summed up, and a stabiliser on both.
    for kind in ("count", "sum", "last", "stabiliser"):
        names = [name for name in initial if kinds[name] == kind]
        if not names:
            continue
        arguments = weights, inputs, {**_alone(initial, kinds, axis), **start}, reset
        if kind in ("count", "stabiliser"):
            # Counts have no gradient, and no output depends on a stabiliser, which is held fixed.
            arguments = jax.tree.map(lax.stop_gradient, arguments)
        _, end = local(*arguments)
        found = {name: end[name] for name in names}
        first, last = _bounds(kind, initial, found, reset, axis, devices)
        start |= first
        ends |= last
    held = {name: x for name, x in ends.items() if kinds[name] == "stabiliser"}
    memories = {name: x for name, x in initial.items() if name not in start}
    moves = _moves(memories, start["count"], ends["count"]) if "count" in start else {}
    floating = {name: x for name, x in start.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    counts = {name: x for name, x in start.items() if name not in floating}
    fixed = {"counts": counts, "held": held, "moves": moves, "reset": reset}

    def forward(weights: Any, inputs: Any, floating: State, state: State, fixed: Any) -> Any:
        state = {**fixed["counts"], **floating, **state}
        outputs, end = local(weights, inputs, state, fixed["reset"])
        after = {name: end[name] for name in memories}
        for name, stabiliser in fixed["held"].items():
            again = jnp.exp(end[name] - stabiliser)
            after = {name: expand_like(again, x) * x for name, x in after.items()}
        return outputs, after

    @jax.custom_vjp
    def joined(weights: Any, inputs: Any, floating: State, first: State, fixed: Any) -> Any:
        return joined_forward(weights, inputs, floating, first, fixed)[0]

    def joined_forward(weights: Any, inputs: Any, floating: State, first: State, fixed: Any) -> Any:
        index = lax.axis_index(axis)
        # The first device goes over its part from the layer's own state.
        nothing = {n: jnp.where(index == 0, x, jnp.zeros_like(x)) for n, x in first.items()}
        added, pull = jax.vjp(lambda s: forward(weights, inputs, floating, s, fixed)[1], nothing)
        transposed = _transposed(kinds, pull, added)
        moves = fixed["moves"]
        parts = lax.all_gather((_transpose(kinds, transposed), added, moves), axis)
        _, ends, _ = lax.associative_scan(partial(_after, kinds), parts)
        before = {
            name: jnp.where(index == 0, first[name], x[(index - 1) % devices])
            for name, x in ends.items()
        }
        (outputs, end), pull = jax.vjp(
            lambda w, x, f, s: forward(w, x, f, s, fixed), weights, inputs, floating, before
        )
        doubt = _doubt(end, {name: x[index] for name, x in ends.items()}, axis)
        return outputs + doubt.astype(outputs.dtype), (pull, transposed, moves)

    def joined_backward(saved: Any, gradient: Any) -> Any:
        pull, transposed, moves = saved
        back = {name: jnp.swapaxes(x, -1, -2) for name, x in moves.items()}
        index = lax.axis_index(axis)
        zeros = {name: jnp.zeros(x.shape, x.dtype) for name, x in memories.items()}
        *_, own = pull((gradient, zeros))
        # The last part is the first one that the adjoint goes over.
        parts = lax.all_gather((transposed, own, back), axis)
        _, adjoints, _ = lax.associative_scan(partial(_after, kinds), parts, reverse=True)
        later = {
            name: jnp.where(index == devices - 1, zeros[name], x[(index + 1) % devices])
            for name, x in adjoints.items()
        }
        *gradients, _ = pull((gradient, later))
        first = {n: jnp.where(index == 0, x[0], jnp.zeros_like(x[0])) for n, x in adjoints.items()}
        return *gradients, first, None

    joined.defvjp(joined_forward, joined_backward)
    return joined(weights, inputs, floating, memories, fixed)


def _alone(initial: State, kinds: dict[str, str], axis: str) -> State:
    """What a part starts from where there is none before it: nothing is in the memories."""
    from jax import lax
    from jax import numpy as jnp

    first = lax.axis_index(axis) == 0
    stabilisers = {name: x for name, x in initial.items() if kinds[name] == "stabiliser"}
    return initial | {n: jnp.where(first, x, _NOTHING) for n, x in stabilisers.items()}


def _bounds(
    kind: str, initial: State, ends: State, reset: Any, axis: str, devices: int
) -> tuple[State, State]:
    """What is no memory, at the start and the end of a part, from how all parts alone end."""
    from jax import lax
    from jax import numpy as jnp

    index, ends = lax.axis_index(axis), lax.all_gather(ends, axis)
    kept = jnp.ones((devices, 1), bool)  # whether a part adds to what was there before it
    if reset is not None:
        kept = lax.all_gather(~jnp.any(reset.astype(bool), axis=1), axis)
    bounds = {}
    for name, x in ends.items():
        values = [initial[name]]
        for i in range(devices):
            value = x[i]
            if kind in ("sum", "count"):
                added = values[-1] - initial[name]
                value = value + jnp.where(expand_like(kept[i], added), added, 0)
            values.append(value)
        bounds[name] = jnp.stack(values)
    starts = {name: x[index] for name, x in bounds.items()}
    return starts, {name: x[index + 1] for name, x in bounds.items()}


def _kind(name: str, memory: str) -> str:
    if name in LAST:
        return "last"
    if name in SUMS:
        return "sum"
    if name in OTHERS:
        return name
    return "diagonal" if name == "normaliser" else memory


def _transposed(kinds: dict[str, str], pull: Callable, end: State) -> State:
    """What a part multiplies each memory by, transposed, by the gradient of its end."""
    import jax
    from jax import numpy as jnp

    ones = {name: jnp.ones_like(x) for name, x in end.items()}
    matrices = [name for name in end if kinds[name] == "matrix"]
    for name, x in end.items():
        if kinds[name] == "complex":
            ones[name] = ones[name].at[..., x.shape[-1] // 2 :].set(0)
    if not matrices:
        return pull(ones)[0]
    (name,) = matrices
    *others, keys, values = end[name].shape
    # The columns of a unit matrix of the keys, as many at once as there are values.
    groups = -(-keys // values)
    unit = jnp.eye(keys, groups * values, dtype=end[name].dtype)
    unit = jnp.moveaxis(unit.reshape(keys, groups, *[1] * len(others), values), 0, -2)
    probes = jnp.broadcast_to(unit, (groups, *end[name].shape))
    found = jax.vmap(lambda probe: pull({**ones, name: probe})[0])(probes)
    columns = jnp.concatenate([*found[name]], axis=-1)[..., :keys]
    return {**{other: x[0] for other, x in found.items()}, name: columns}


def _transpose(kinds: dict[str, str], transposed: State) -> State:
    from jax import numpy as jnp

    def one(kind: str, x: Any) -> Any:
        if kind == "matrix":
            return jnp.swapaxes(x, -1, -2)
        if kind == "complex":
            real, imaginary = complex_pairs.parts(x)
            return complex_pairs.join((real, -imaginary))
        return x

    return {name: one(kinds[name], x) for name, x in transposed.items()}


def _times(kind: str, a: Any, x: Any) -> Any:
    if kind == "matrix":
        return a @ x
    if kind == "complex":
        return complex_pairs.join(
            complex_pairs.times(complex_pairs.parts(a), complex_pairs.parts(x))
        )
    return a * x


def _moves(memories: State, before: Any, after: Any) -> State:
    """Where a part moves what is in the levels of each memory, `(B, L - 1, L - 1)`: P."""
    moves = {}
    for name, x in memories.items():
        levels = keras.ops.arange(1, x.shape[2] + 1)
        carried = fenwick.level(after, before, x.shape[2] + 1)
        later = keras.ops.maximum(levels, carried[:, None])
        moves[name] = keras.ops.cast(later[..., None] == levels, x.dtype)
    return moves


def _moved(x: Any, move: Any) -> Any:
    from jax import numpy as jnp

    return x if move is None else jnp.einsum("...bhskv,...bsl->...bhlkv", x, move)


def _after(kinds: dict[str, str], first: Any, second: Any) -> Any:
    """Two parts, one after the other: `(A, B, P)` of what goes over both."""
    (a, b, p), (c, d, q) = first, second
    return (
        {name: _times(kinds[name], c[name], a[name]) for name in a},
        {name: _moved(_times(kinds[name], c[name], b[name]), q.get(name)) + d[name] for name in b},
        {name: p[name] @ q[name] for name in p},
    )


def _doubt(end: State, expected: State, axis: str) -> Any:
    """0, or NaN where the states of the parts do not join."""
    from jax import lax
    from jax import numpy as jnp

    wrong = jnp.zeros((), bool)
    for name, x in end.items():
        # Of the largest: far above rounding, far below what is worth knowing, 1e-3 in float32.
        bound = 4 * jnp.finfo(x.dtype).eps ** 0.5 * jnp.max(jnp.abs(x))
        wrong |= ~(jnp.max(jnp.abs(x - expected[name])) <= bound)
    return jnp.where(lax.pmax(wrong.astype("int32"), axis) > 0, jnp.nan, 0.0)


def _check(layer: SequenceLayer, mesh: Any, memory: str, axis: str, batch_axis: str | None) -> None:
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"sequence_parallel needs the backend jax; got {keras.backend.backend()!r}."
        )
    check_choice(layer, MEMORIES, memory=memory)
    check_choice(layer, mesh.axis_names, axis=axis, **given(batch_axis=batch_axis))
    if not layer.built:
        raise ValueError(f"{type(layer).__name__}: build the layer before it is split.")
    if layer.go_backwards or not layer.return_sequences:
        raise ValueError(
            f"{type(layer).__name__}: `layer` must have `go_backwards=False` and "
            "`return_sequences=True` to be split along time."
        )
    spec = layer.state_spec()
    known = (*LAST, *SUMS, *LINEAR, *OTHERS)
    if unknown := [name for name in spec if name not in known]:
        raise ValueError(
            f"{type(layer).__name__}: its state has {unknown}, which are not known to join; known "
            f"are {known}."
        )
    if memory == "matrix":
        shapes = [spec[name].shape for name in spec if _kind(name, memory) == "matrix"]
        if [len(shape) for shape in shapes] != [4 if "count" in spec else 3]:
            expected = f"another where what it is of has the shapes {shapes}, not one of matrices"
            refuse(layer, "memory", expected, memory)
