"""The invariants of a sequence layer, each a function that raises where it is broken.

They are functions so that `test_suite.py` can show each to fail on a layer that is broken in
that way.
"""

import functools
import json

import keras
import numpy as np
from keras import ops, tree

from common.layers import SequenceLayer
from common.reproduce.execute.timing import compiled
from tests.contract.subjects import FLOAT32, FLOAT64, Subject, jitted, warm_state
from tests.helpers.arguments import parameters
from tests.helpers.gradients import gradients

BATCH = 2
# Nobody runs JAX op by op, and doing so takes minutes.
EAGER = "xla" if keras.backend.backend() == "jax" else "eager"
# Largest difference relative to the largest value. float64 must agree to 1e-9. float32 carries
# 24 bits through up to 64 steps of sums, and gradients sum over batch and time.
TOLERANCE = {FLOAT64: 1e-9, FLOAT32: 2e-4}
# Rounding that is there whatever the value, as where terms around 1 cancel.
NOISE = {FLOAT64: 1e-12, FLOAT32: 1e-6}


def assert_close(got, want, tolerance: float, what: str, noise: float = NOISE[FLOAT64]) -> None:
    """Raises unless `got` differs from `want` by at most `tolerance` of its largest value.

    `noise` is added to what is allowed: values of its size have no relative accuracy.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    assert np.all(np.isfinite(got)), f"{what}: not finite"
    scale = max(np.max(np.abs(want), initial=0.0), 1e-30)
    error = max(np.max(np.abs(got - want), initial=0.0) - noise, 0.0) / scale
    assert error <= tolerance, f"{what}: relative error {error:.2e} > {tolerance:.0e}"


def marks(length: int, kind: str) -> dict[str, np.ndarray]:
    """Masks and resets: `"none"`, or `"marked"` with padding left, right and inside."""
    if kind == "none":
        return {}
    mask = np.ones((BATCH, length), bool)
    mask[0, -(length // 4) :] = length < 4
    mask[1, : length // 5] = False
    mask[:, length // 2] = length < 4
    reset = np.zeros((BATCH, length), bool)
    reset[0, length // 3] = reset[1, length // 2] = reset[1, -1] = True
    return {"mask": mask, "reset": reset}


# Running a layer as a function of everything that it is differentiated in.


def whole(layer: SequenceLayer, inputs, state, marks):
    """One call."""
    return layer(inputs, initial_state=state, return_state=True, **marks)


def stepwise(layer: SequenceLayer, inputs, state, marks):
    """The definition: one `step` after the other; marks and zeroed padding written out."""
    length = inputs.shape[1]
    mask, reset = marks.get("mask"), marks.get("reset")
    initial = layer.get_initial_state(inputs.shape[0])
    step = compiled(layer.step, jit_compile=False)
    outputs = []
    for t in range(length):
        if reset is not None:
            state = _choose(reset[:, t], initial, state)
        inputs_t = inputs[:, t]
        if mask is not None:
            inputs_t = ops.where(mask[:, t, None], inputs_t, ops.zeros_like(inputs_t))
        output, new_state = step(inputs_t, state)
        if mask is not None:
            new_state = _choose(mask[:, t], new_state, state)
            output = ops.where(mask[:, t, None], output, ops.zeros_like(output))
        state = new_state
        outputs.append(output)
    return ops.stack(outputs, axis=1), state


def _choose(flags, chosen, other):
    return tree.map_structure(
        lambda a, b: ops.where(flags.reshape(-1, *[1] * (len(a.shape) - 1)), a, b), chosen, other
    )


def differentiate(layer, run, inputs, state, marks, mode=EAGER, dynamic=False):
    """Outputs, final state and the gradients in inputs, weights and initial state.

    Returns:
        Dict from a name to a numpy array.
    """
    variables = layer.trainable_variables
    leaves = tree.flatten(state)
    floating = [i for i, leaf in enumerate(leaves) if leaf.dtype.kind == "f"]

    def function(inputs, *rest):
        values, state_values = rest[: len(variables)], rest[len(variables) :]
        full = [ops.convert_to_tensor(leaf) for leaf in leaves]
        for i, value in zip(floating, state_values, strict=True):
            full[i] = value
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return run(layer, inputs, tree.pack_sequence_as(state, full), marks)

    weights = [ops.convert_to_numpy(v) for v in variables]
    args = [inputs, *weights, *(leaves[i] for i in floating)]
    shapes = None
    if dynamic:
        free_batch = [(None, *leaves[i].shape[1:]) for i in floating]
        shapes = [(None, None, inputs.shape[2]), *(w.shape for w in weights), *free_batch]
    values, grads = gradients(function, args, mode, shapes)
    names = ["outputs", *(f"state {i}" for i in range(len(leaves)))]
    grad_names = [
        "inputs",
        *(f"{i} {v.name}" for i, v in enumerate(variables)),
        *(f"state {i}" for i in floating),
    ]
    return dict(zip(names, values, strict=True)) | {
        f"gradient in {name}": g for name, g in zip(grad_names, grads, strict=True)
    }


@functools.lru_cache(maxsize=8)
def reference(subject: Subject, length: int, kind: str):
    """The float64 step-by-step reference."""
    layer = subject.layer()
    state = warm_state(layer, subject, BATCH)
    return differentiate(layer, stepwise, subject.inputs(BATCH, length), state, marks(length, kind))


def compare(got: dict, want: dict, tolerance: float, noise: float = NOISE[FLOAT64]) -> None:
    """Compares two results of `differentiate`."""
    assert got.keys() == want.keys()
    for name in want:
        assert_close(got[name], want[name], tolerance, name, noise)


# 1. Forms agree.


def forms_agree(subject, form, length, kind="none", mode=EAGER, dtype=FLOAT64) -> None:
    """`form` gives the outputs, final state and gradients of the step-by-step reference."""
    layer = subject.layer(form, dtype)
    state = tree.map_structure(
        lambda x: x.astype(dtype) if x.dtype.kind == "f" else x,
        warm_state(subject.layer(), subject, BATCH),
    )
    got = differentiate(
        layer,
        whole,
        subject.inputs(BATCH, length).astype(dtype),
        state,
        marks(length, kind),
        mode,
        dynamic=mode == "graph",
    )
    compare(got, reference(subject, length, kind), TOLERANCE[dtype], NOISE[dtype])


def long_sequences_agree(subject, form, length=1000) -> None:
    """Over a long sequence: values as a stream of steps, gradients as the recurrent form."""
    inputs, state, want = recurrent_long(subject, length)
    if form == "recurrent":
        recurrent, got = subject.layer(), want
        step = compiled(recurrent.step, jit_compile=False)
        outputs, final = [], tree.map_structure(ops.convert_to_tensor, state)
        for t in range(length):
            output, final = step(ops.convert_to_tensor(inputs[:, t]), final)
            outputs.append(output)
        outputs = ops.stack(outputs, axis=1)
        assert_close(got["outputs"], ops.convert_to_numpy(outputs), 1e-9, "outputs")
        for i, leaf in enumerate(tree.flatten(final)):
            assert_close(got[f"state {i}"], ops.convert_to_numpy(leaf), 1e-9, f"state {i}")
    else:
        got = differentiate(subject.layer(form), whole, inputs, state, {}, "graph")
        compare(got, want, 1e-9)


@functools.lru_cache(maxsize=2)
def recurrent_long(subject: Subject, length: int):
    """Inputs, a warm state, and the recurrent form on them."""
    layer, inputs = subject.layer(), subject.inputs(BATCH, length)
    state = warm_state(layer, subject, BATCH)
    return inputs, state, differentiate(layer, whole, inputs, state, {}, "graph")


def extremes_stay_finite(subject, form, scale=1e4, length=63) -> None:
    """Gates far in saturation: everything finite in float32, and as the reference in float64."""
    inputs = scale * subject.inputs(BATCH, length)
    layer = subject.layer(form, FLOAT32)
    state = warm_state(layer, subject, BATCH)
    result = differentiate(layer, whole, inputs.astype(FLOAT32), state, {}, "graph")
    for name, value in result.items():
        assert np.all(np.isfinite(value)), f"{name}: not finite"
    want = recurrent_extremes(subject, scale, length)
    if form == "recurrent":
        got = want
    else:
        state = warm_state(subject.layer(), subject, BATCH)
        got = differentiate(subject.layer(form), whole, inputs, state, {}, "graph")
    # What cancels to zero leaves rounding errors that grow with the inputs.
    compare(got, want, 1e-8, noise=1e-12 * scale)


@functools.lru_cache(maxsize=2)
def recurrent_extremes(subject: Subject, scale: float, length: int):
    """The recurrent form on large inputs, in float64."""
    layer, inputs = subject.layer(), scale * subject.inputs(BATCH, length)
    return differentiate(layer, whole, inputs, warm_state(layer, subject, BATCH), {}, "graph")


# 2. Stream = batch.


def streams_as_batch(subject, form, length=90) -> None:
    """Chunks and single steps, the state carried over, equal one call; marks cut along too."""
    layer, inputs = subject.layer(form), subject.inputs(BATCH, length)
    call, step = jitted(functools.partial(layer, return_state=True)), jitted(layer.step)
    flags = marks(length, "marked")
    want, want_state = call(inputs, **flags)
    state, outputs = layer.get_initial_state(BATCH), []
    start = 0
    for size in (1, 7, 64, 1, length - 73):
        piece = slice(start, start + size)
        cut = {name: flag[:, piece] for name, flag in flags.items()}
        output, state = call(inputs[:, piece], initial_state=state, **cut)
        outputs.append(ops.convert_to_numpy(output))
        start += size
    assert_close(np.concatenate(outputs, 1), ops.convert_to_numpy(want), 1e-9, "chunks")
    for got, expected in zip(tree.flatten(state), tree.flatten(want_state), strict=True):
        assert_close(
            ops.convert_to_numpy(got), ops.convert_to_numpy(expected), 1e-9, "state after chunks"
        )
    want = ops.convert_to_numpy(call(inputs)[0])
    output, state = call(inputs[:, :20])
    outputs = [output]
    for t in range(20, 30):
        output, state = step(inputs[:, t], state)
        outputs.append(output[:, None])
    got = np.concatenate([ops.convert_to_numpy(x) for x in outputs], 1)
    assert_close(got, want[:, :30], 1e-9, "steps after a chunk")


# 3. Causal.


def is_causal(subject, form, length=70) -> None:
    """Outputs up to t do not change when finite inputs after t do."""
    layer = compiled(subject.layer(form), jit_compile=False)
    inputs = subject.inputs(BATCH, length)
    want = ops.convert_to_numpy(layer(inputs))
    for t in (0, 31, 63, length - 2):
        changed = inputs.copy()
        changed[:, t + 1 :] = subject.inputs(BATCH, length, seed=9)[:, t + 1 :]
        got = ops.convert_to_numpy(layer(changed))
        assert_close(got[:, : t + 1], want[:, : t + 1], 1e-12, f"outputs up to {t}")
        assert np.max(np.abs(got[:, t + 1 :] - want[:, t + 1 :])) > 1e-6, "inputs have no effect"


# 4. Padding is inert, resets start anew.


def padding_is_inert(subject, form, length=40, padding=9) -> None:
    """NaN in padded steps, left or right: outputs zero there, all else as without padding."""
    layer = subject.layer(form)
    inputs, state = subject.inputs(BATCH, length), warm_state(layer, subject, BATCH)
    call = jitted(functools.partial(layer, return_state=True))
    outputs, final = tree.map_structure(ops.convert_to_numpy, call(inputs, initial_state=state))
    # One batch has every row three times, padded at another place each time.
    places = (0, length, length // 2)
    padded = [np.insert(inputs, [at] * padding, np.nan, axis=1) for at in places]
    valid = np.ones((BATCH, length), bool)
    mask = [np.insert(valid, [at] * padding, False, axis=1) for at in places]
    got = differentiate(
        layer,
        whole,
        np.concatenate(padded),
        tree.map_structure(lambda x: np.concatenate([x] * len(places)), state),
        {"mask": np.concatenate(mask)},
    )
    for name, value in got.items():
        assert np.all(np.isfinite(value)), f"{name} not finite"
    for i, at in enumerate(places):
        rows, where = slice(i * BATCH, (i + 1) * BATCH), f"padding at {at}"
        for name in ("outputs", "gradient in inputs"):
            assert not np.any(got[name][rows, at : at + padding]), f"{where}: {name} not zero"
        values = np.delete(got["outputs"][rows], slice(at, at + padding), axis=1)
        assert_close(values, outputs, 1e-9, f"{where}: outputs")
        for j, leaf in enumerate(tree.flatten(final)):
            assert_close(got[f"state {j}"][rows], leaf, 1e-9, f"{where}: state {j}")


def resets_start_anew(subject, form, first=35, second=40) -> None:
    """Two documents packed into one sequence give what each gives alone."""
    layer = subject.layer(form)
    inputs = subject.inputs(BATCH, first + second)
    state = warm_state(layer, subject, BATCH)
    reset = np.zeros((BATCH, first + second), bool)
    reset[:, first] = True
    call = jitted(functools.partial(layer, return_state=True))
    got, got_state = call(inputs, initial_state=state, reset=reset)
    one, _ = call(inputs[:, :first], initial_state=state)
    two, want_state = call(inputs[:, first:])
    want = np.concatenate([ops.convert_to_numpy(one), ops.convert_to_numpy(two)], 1)
    assert_close(ops.convert_to_numpy(got), want, 1e-9, "packed documents")
    for a, b in zip(tree.flatten(got_state), tree.flatten(want_state), strict=True):
        assert_close(ops.convert_to_numpy(a), ops.convert_to_numpy(b), 1e-9, "state")


# 6. Precision (5, Keras citizenship, is in test_keras.py).


def keeps_precision(subject, form, policy) -> None:
    """Outputs in the compute dtype, state in the state dtype and with its accuracy."""
    layer = subject.layer(form, policy)
    compute = keras.DTypePolicy(policy).compute_dtype
    inputs = subject.inputs(BATCH, 200, dtype=FLOAT64 if policy == FLOAT64 else FLOAT32)
    call = compiled(functools.partial(layer, return_state=True), jit_compile=False)
    outputs, state = call(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == compute
    specs = tree.flatten(layer.state_spec())
    for spec, leaf in zip(specs, tree.flatten(state), strict=True):
        want = spec.dtype or layer.state_dtype
        assert keras.backend.standardize_dtype(leaf.dtype) == want
        assert np.all(np.isfinite(ops.convert_to_numpy(leaf).astype(FLOAT64)))
    assert layer.state_dtype == (FLOAT64 if policy == FLOAT64 else FLOAT32)
    if compute not in ("bfloat16", "float16"):
        return
    for spec, leaf in zip(specs, tree.flatten(state), strict=True):
        if spec.dtype is not None:
            continue
        rounded = ops.convert_to_numpy(ops.cast(ops.cast(leaf, compute), FLOAT32))
        exact = ops.convert_to_numpy(leaf)
        moving = exact != 0
        kept = np.mean(rounded[moving] == exact[moving])
        # A state that went through 16 bits is equal to itself rounded; a float32 one rarely is.
        assert kept < 0.5, f"{kept:.0%} of a state's values are {compute} values"
    want = _in_float32(subject, form, inputs.shape[1])
    got = ops.convert_to_numpy(ops.cast(outputs, FLOAT32))
    bound = {"bfloat16": 0.1, "float16": 0.02}[compute]
    error = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
    assert error < bound, f"{policy}: relative RMS error {error:.3f} against float32"


@functools.lru_cache(maxsize=2)
def _in_float32(subject: Subject, form: str, length: int):
    """Outputs of the same weights, whatever the policy, without 16 bits."""
    call = compiled(subject.layer(form, FLOAT32), jit_compile=False)
    return ops.convert_to_numpy(call(subject.inputs(BATCH, length, dtype=FLOAT32)))


# 7. Seeded.


def is_seeded(subject, form) -> None:
    """The same seed gives the same weights and outputs, another seed others."""

    def outputs(seed):
        keras.utils.set_random_seed(seed)
        layer = subject.make(form=form)
        return ops.convert_to_numpy(layer(subject.inputs(BATCH, 16, dtype=FLOAT32), training=True))

    first = outputs(1)
    np.testing.assert_array_equal(outputs(1), first)
    if subject.layer(form).trainable_variables:
        assert np.any(outputs(2) != first), "the seed has no effect"


# Accounting.


def states_its_size(subject) -> None:
    """`state_bytes` is what the state's tensors take."""
    for policy in (FLOAT32, "mixed_bfloat16", FLOAT64):
        layer = subject.layer("recurrent", policy)
        leaves = tree.flatten(layer.get_initial_state(3))
        itemsize = [np.dtype(_numpy_name(x)).itemsize for x in leaves]
        sizes = [np.prod(x.shape) * n for x, n in zip(leaves, itemsize, strict=True)]
        assert layer.state_bytes(3) == sum(sizes)


def _numpy_name(x):
    name = keras.backend.standardize_dtype(x.dtype)
    return "float16" if name == "bfloat16" else name


def states_its_flops(subject, form, batch=2, length=128) -> None:
    """`flops` is what the matrix products in the traced program add up to (JAX)."""
    import jax

    layer = subject.layer(form, FLOAT32)
    inputs = subject.inputs(batch, length, dtype=FLOAT32)
    counted = _count(jax.make_jaxpr(lambda x: layer(x))(inputs).jaxpr)
    stated = layer.flops(batch, length)
    assert isinstance(stated, int) and stated > 0
    assert abs(stated - counted) <= 0.02 * counted, f"states {stated}, the program has {counted}"


def _count(jaxpr) -> int:
    """FLOPs of all matrix products and triangular systems of a jaxpr, loops multiplied out."""
    total = 0
    for eqn in jaxpr.eqns:
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            shape = eqn.invars[0].aval.shape
            depth = int(np.prod([shape[axis] for axis in contracted]))
            total += 2 * int(np.prod(eqn.outvars[0].aval.shape)) * depth
        if eqn.primitive.name == "triangular_solve":  # half of a product with the inverse
            rows = eqn.invars[0].aval.shape[-1]
            total += rows * int(np.prod(eqn.outvars[0].aval.shape))
        if eqn.primitive.name == "cond":  # one of the branches runs; the longest counts
            total += max(_count(branch.jaxpr) for branch in eqn.params["branches"])
            continue
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    total += times * _count(inner)
    return total


# 9. Arguments survive.


def arguments_survive(cls, values, input_dim=3, length=7) -> None:
    """A layer made anew from its config, as JSON, computes the same; no weight is without effect.

    Args:
        cls: Class of the layer.
        values: Arguments, none at its default; those of every layer may be left out.
        input_dim: Width of the inputs.
        length: Number of steps.
    """
    known = parameters(cls, SequenceLayer)
    everys = {"form": cls(**values).forms[-1], "go_backwards": True, "return_sequences": False}
    values = {**everys, **values}
    for name, value in values.items():
        assert value != known[name].default, f"{name} is at its default, {value!r}"
    make = functools.partial(cls, **values)
    layer = Subject(cls.__name__, make, input_dim).layer(values["form"])
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    clone = keras.saving.deserialize_keras_object(config)  # built, as the layer was
    shapes = [[tuple(w.shape) for w in one.weights] for one in (layer, clone)]
    assert shapes[0] == shapes[1], f"weights {shapes[0]}, those of the clone {shapes[1]}"
    clone.set_weights(layer.get_weights())
    inputs = np.random.default_rng(0).standard_normal((BATCH, length, input_dim))
    run = [jitted(functools.partial(one, return_state=True)) for one in (layer, clone)]
    want, got = (tree.flatten(call(inputs)) for call in run)
    for a, b in zip(want, got, strict=True):
        assert_close(ops.convert_to_numpy(b), ops.convert_to_numpy(a), 1e-15, "of the clone")
    first = _drawn(functools.partial(make, form=values["form"], dtype=FLOAT64), input_dim)
    second = _drawn(functools.partial(cls.from_config, config["config"]), input_dim)
    same = [np.array_equal(a, b) for a, b in zip(first, second, strict=True)]
    assert all(same), f"the clone's initial weights are others: {same}"
    result = differentiate(layer, lambda layer, x, *_: layer(x), inputs, {}, {})
    for i, weight in enumerate(layer.trainable_variables):
        assert np.any(result[f"gradient in {i} {weight.name}"]), f"{weight.name} has no effect"


def _drawn(make, input_dim):
    """The initial weights of one seed."""
    keras.utils.set_random_seed(1)
    layer = make()
    layer.build((None, None, input_dim))
    return layer.get_weights()


# 8. Boundary points.

# States that stand for sums of positive numbers, or for probabilities.
_POSITIVE = ("normaliser", "read_weights", "write_weights")


def boundary_state(layer: SequenceLayer, subject: Subject) -> dict:
    """A state of two rows: the one that users start from, and a warm one made negative."""
    initial = tree.map_structure(ops.convert_to_numpy, layer.get_initial_state(1))
    warm = warm_state(layer, subject, 1)

    def negative(name, value):
        keep = value.dtype.kind != "f" or name in _POSITIVE
        return value if keep else -np.abs(value)

    def rows(initial, warm):
        return {
            name: rows(value, warm[name])
            if isinstance(value, dict)
            else np.concatenate([value, negative(name, warm[name])])
            for name, value in initial.items()
        }

    return rows(initial, warm)


@functools.lru_cache(maxsize=4)
def _boundary_reference(subject: Subject, length: int, scale: float):
    layer = subject.layer()
    inputs, state = scale * subject.inputs(2, length), boundary_state(layer, subject)
    return state, differentiate(layer, stepwise, inputs, state, {})


def boundaries_agree(subject, form, length, scale=1.0) -> None:
    """From the initial state and from negative ones, as the step-by-step reference.

    Large inputs bring the gates to 0 and 1 exactly.
    """
    state, want = _boundary_reference(subject, length, scale)
    inputs = scale * subject.inputs(2, length)
    got = differentiate(subject.layer(form), whole, inputs, state, {})
    compare(got, want, TOLERANCE[FLOAT64], noise=1e-12 * scale)


def any_batch_size(subject, form, length=5) -> None:
    """No sequence gives no outputs, of the right shape; one alone what it gives with others."""
    layer = subject.layer(form)
    call = jitted(functools.partial(layer, return_state=True))
    inputs = subject.inputs(2, length)
    want, want_state = call(inputs)
    got, got_state = call(inputs[:1])
    assert_close(ops.convert_to_numpy(got), ops.convert_to_numpy(want)[:1], 1e-9, "one sequence")
    outputs, state = call(inputs[:0])
    assert tuple(outputs.shape) == (0, length, layer.output_dim), f"none: {tuple(outputs.shape)}"
    leaves = (tree.flatten(nest) for nest in (state, got_state, want_state))
    for none, one, two in zip(*leaves, strict=True):
        assert tuple(none.shape) == (0, *two.shape[1:]), f"none: state {tuple(none.shape)}"
        one, two = ops.convert_to_numpy(one), ops.convert_to_numpy(two)
        assert_close(one, two[:1], 1e-9, "state of one sequence")
