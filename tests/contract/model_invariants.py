"""The contract of a model, each part a function that raises where it is broken.

They are functions so that `test_model_suite.py` can show each to fail on a model that is broken in
that way.
"""

import json

import keras
import numpy as np
from keras import ops, tree

from common.layers.kernels import is_kernel
from tests.contract.invariants import assert_close
from tests.contract.models import VOCABULARY, ModelSubject, jitted, returning_state

BATCH = 2
# Models are made of layers whose forms differ by rounding, in float64.
TOLERANCE = 1e-9


def array(x):
    return tree.map_structure(
        lambda leaf: ops.convert_to_numpy(
            ops.cast(leaf, "float32") if "bfloat16" in str(leaf.dtype) else leaf
        ),
        x,
    )


def assert_same(got, want, what: str, tolerance: float = TOLERANCE) -> None:
    """Nests of arrays that are equal up to rounding."""
    tree.assert_same_structure(got, want)
    for one, other in zip(tree.flatten(array(got)), tree.flatten(array(want)), strict=True):
        assert_close(one, other, tolerance, what)


def streams_as_batch(subject: ModelSubject, **changes) -> None:
    """Chunks and single steps, the state carried over, equal one call; the state is as stated."""
    model = subject.model(**changes)
    inputs = subject.inputs(BATCH, 9)
    call, step = returning_state(model), jitted(model.step)
    want, want_state = call(inputs)
    stated = model.get_initial_state(BATCH)
    tree.assert_same_structure(stated, want_state)
    for one, other in zip(tree.flatten(stated), tree.flatten(want_state), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype, "the state differs in kind"
    first, state = call(inputs[:, :4], initial_state=stated)
    second, state = call(inputs[:, 4:7], initial_state=state)
    pieces = [array(first), array(second)]
    for t in (7, 8):
        output, state = step(inputs[:, t], state)
        pieces.append(array(output)[:, None])
    assert_close(np.concatenate(pieces, 1), array(want), TOLERANCE, "chunks and steps")
    assert_same(state, want_state, "state after chunks and steps")


def padding_is_inert(subject: ModelSubject, **changes) -> None:
    """Padding left, inside and right: valid outputs, the state and the next step as without."""
    model = subject.model(**changes)
    inputs, padding = subject.inputs(BATCH, 6), 2
    call, step = returning_state(model), jitted(model.step)
    want, want_state = call(inputs)
    filler = np.nan if subject.width else VOCABULARY - 1
    places = (0, 3, 6)
    padded = [np.insert(inputs, [at] * padding, filler, axis=1) for at in places]
    valid = np.ones((BATCH, 6), bool)
    mask = [np.insert(valid, [at] * padding, False, axis=1) for at in places]
    got, state = call(np.concatenate(padded), mask=np.concatenate(mask))
    after = subject.inputs(BATCH, 1, seed=3)[:, 0]
    next_want, _ = step(after, want_state)
    next_got, _ = step(np.concatenate([after] * len(places)), state)
    for i, at in enumerate(places):
        rows, where = slice(i * BATCH, (i + 1) * BATCH), f"padding at {at}"
        values = np.delete(array(got)[rows], slice(at, at + padding), axis=1)
        assert_close(values, array(want), TOLERANCE, f"{where}: outputs")
        leaves = zip(tree.flatten(array(state)), tree.flatten(array(want_state)), strict=True)
        for leaf, other in leaves:
            assert_close(leaf[rows], other, TOLERANCE, f"{where}: state")
        assert_close(array(next_got)[rows], array(next_want), TOLERANCE, f"{where}: the next step")


def resets_start_anew(subject: ModelSubject, **changes) -> None:
    """Two documents packed into one sequence give what each gives alone."""
    model = subject.model(**changes)
    inputs = subject.inputs(BATCH, 9)
    reset = np.zeros((BATCH, 9), bool)
    reset[:, 5] = True
    call = returning_state(model)
    got, state = call(inputs, reset=reset)
    first, _ = call(inputs[:, :5])
    second, want_state = call(inputs[:, 5:])
    want = np.concatenate([array(first), array(second)], axis=1)
    assert_close(array(got), want, TOLERANCE, "packed documents")
    assert_same(state, want_state, "state after packed documents")


def computes_in_its_dtype(subject: ModelSubject) -> None:
    """`dtype=` reaches all layers: outputs differ from float32's by what 16 or 64 bits make."""
    outputs = {}
    weights = subject.model("float32").get_weights()
    for policy in ("float32", "mixed_bfloat16", "float64"):
        model = subject.model(policy)
        model.set_weights(weights)
        inputs = subject.inputs(BATCH, 9, dtype="float64" if policy == "float64" else "float32")
        got = jitted(model)(inputs)
        if subject.streams:
            dtype = keras.backend.standardize_dtype(got.dtype)
            expected = ("float64",) if policy == "float64" else ("float32",)
            if subject.width:  # layers that were given decide
                expected += ("bfloat16",) if policy == "mixed_bfloat16" else ()
            assert dtype in expected, f"{policy}: outputs are {dtype}"
        wanted = keras.DTypePolicy(policy).variable_dtype
        for weight in model.trainable_variables:
            assert weight.dtype == wanted, f"{policy}: {weight.path} is {weight.dtype}"
        outputs[policy] = array(got).astype("float64")
    exact = outputs["float64"]

    def error(policy):
        return np.sqrt(np.mean((outputs[policy] - exact) ** 2) / np.mean(exact**2))

    assert error("float32") < 1e-4, "float32 and float64 disagree"
    assert error("float32") > 1e-9, "float64 is as float32"
    assert error("mixed_bfloat16") < 0.2, "16 bits are too far off"
    assert error("mixed_bfloat16") > 20 * error("float32"), "mixed_bfloat16 is as float32"


def arguments_survive(subject: ModelSubject, **others) -> None:
    """A clone from the config, as text, computes the same, dropout included."""
    first = subject.prepare(subject.cls(**{**subject.given("float64"), **others}))
    text = json.dumps(keras.saving.serialize_keras_object(first))
    clone = subject.prepare(keras.saving.deserialize_keras_object(json.loads(text)))
    assert type(clone) is type(first) and clone.name == first.name
    shapes = [[tuple(v.shape) for v in model.variables] for model in (first, clone)]
    assert shapes[0] == shapes[1], "the clone has other variables"
    for variable, other in zip(clone.variables, first.variables, strict=True):
        variable.assign(other)  # the states of random numbers too
    inputs = subject.inputs(BATCH, 9, dtype="float64")
    for training in (False, True):
        # Random numbers change a variable, which JAX does not let a compiled function do.
        compiled = (lambda function: function) if training else jitted
        outputs = []
        for model in (first, clone):
            keras.utils.set_random_seed(0)  # torch's dropout without a seed of its own takes this
            run = compiled(lambda x, model=model, t=training: model(x, training=t))
            outputs.append(array(run(inputs)))
        got, want = outputs[1], outputs[0]
        np.testing.assert_array_equal(got, want, f"training={training}")
    assert clone.dtype_policy.name == first.dtype_policy.name
    again = json.dumps(keras.saving.serialize_keras_object(clone)["config"])
    assert json.loads(again) == json.loads(text)["config"]


def loads_as_saved(subject: ModelSubject, path, **changes) -> None:
    """A saved file loads to the same outputs, bit for bit."""
    model = subject.model("float32", **changes)
    inputs = subject.inputs(BATCH, 9, dtype="float32")
    want = array(jitted(model)(inputs))
    model.save(path)
    got = array(jitted(keras.models.load_model(path))(inputs))
    np.testing.assert_array_equal(got, want)


def survives_quantisation(subject: ModelSubject, path, **changes) -> None:
    """Kernels and embeddings in eight bits change outputs by little; the file computes the same."""
    model = subject.model("float32", **changes)
    inputs = subject.inputs(BATCH, 9, dtype="float32")
    want = array(jitted(model)(inputs))
    model.quantize("int8")
    matrices = [x for x in model.weights if is_kernel(x.name) or x.name == "embeddings"]
    kept = {x.path for x in matrices if x.dtype != "int8"}
    assert matrices and not kept, f"{kept} are no integers"
    got = array(jitted(model)(inputs))
    error = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
    assert 0 < error < 0.05, f"quantised outputs are off by {error:.3f}"
    if subject.streams:
        _first, state = returning_state(model)(inputs[:, :8])
        last, _ = jitted(model.step)(inputs[:, 8], state)
        assert_close(array(last), got[:, 8], 0.02, "a step of the quantised model")
    model.save(path)
    loaded = array(jitted(keras.models.load_model(path))(inputs))
    np.testing.assert_array_equal(loaded, got)


def trains_with_a_last_batch_of_one(subject: ModelSubject) -> None:
    """`fit` on five sequences in batches of four: the loss stays finite and falls.

    By a tenth at least (a fifth to six sevenths were seen), but where few queries are answered.
    """
    model = subject.model("float32")
    inputs = subject.inputs(5, 6, dtype="float32")
    outputs = array(jitted(model)(inputs))
    targets = np.tanh(np.random.default_rng(1).standard_normal(outputs.shape)).astype("float32")
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=keras.backend.backend() == "jax")
    # Built in the first step, which Keras would trace a second time.
    model.optimizer.build(model.trainable_variables)
    before = array(model.trainable_variables[0])
    losses = model.fit(inputs, targets, batch_size=4, epochs=25, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses)), f"losses {losses}"
    assert losses[-1] < (0.9 if subject.streams else 1.0) * losses[0], f"losses {losses}"
    assert np.any(array(model.trainable_variables[0]) != before)


def names_what_it_refuses(subject: ModelSubject) -> None:
    """States, marks, symbols and lengths that do not fit are refused by name."""
    model = subject.model("float32")
    inputs = subject.inputs(BATCH, 5, dtype="float32")
    if subject.streams:
        state = model.get_initial_state(BATCH)
        missing = dict(list(state.items())[1:])
        _refused("initial_state", lambda: model(inputs, initial_state=missing))
        _refused("state", lambda: model.step(inputs[:, 0], missing))
        _refused(
            "initial_state",
            lambda: model(inputs, initial_state={**state, "else": ops.zeros((BATCH,))}),
        )
        _refused("mask", lambda: model(inputs, mask=np.ones((BATCH, 4), bool)))
        _refused("reset", lambda: model(inputs, reset=np.ones((BATCH, 4), bool)))
        if not subject.width:
            bad = inputs.copy()
            for symbol in (VOCABULARY, -1):
                bad[1, 2] = symbol
                _refused("inputs", lambda: model(bad))
                _refused("inputs", lambda: model.step(bad[:, 2], state))
        if "position" in state:
            long = subject.inputs(BATCH, 31, dtype="float32")
            limit = getattr(model, "max_positions", 0) or getattr(model, "max_length", 0)
            if limit:
                _refused("inputs", lambda: model(long))
                late = {**state, "position": ops.full((BATCH,), limit, "int32")}
                _refused("position", lambda: model.step(inputs[:, 0], late))
                _refused("position", lambda: model(inputs, initial_state=late))
                # Packed documents may be longer together.
                reset = np.zeros((BATCH, 31), bool)
                reset[:, 15] = True
                model(long, reset=reset)
    else:
        bad = {**inputs, "query": np.full((BATCH, 3), VOCABULARY, "int32")}
        _refused("query", lambda: model(bad))


def _refused(name: str, call) -> None:
    try:
        call()
    except ValueError as error:
        assert f"`{name}`" in str(error), f"the refusal does not name `{name}`: {error}"
        return
    except Exception as error:
        raise AssertionError(f"a wrong `{name}` ends in {type(error).__name__}") from error
    raise AssertionError(f"a wrong `{name}` is taken")
