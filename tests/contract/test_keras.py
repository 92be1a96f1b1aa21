"""The fifth invariant: every layer is a good citizen of Keras."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from common.layers.kernels import is_kernel
from tests.contract.subjects import all_subjects, jitted
from tests.helpers.weights import assert_drawn_apart

SUBJECTS = [pytest.param(s, id=s.name) for s in all_subjects()]
for_each = pytest.mark.parametrize("subject", SUBJECTS)


def array(x):
    return ops.convert_to_numpy(x)


def predicted(model, inputs):
    # XLA is compared elsewhere; here it would compile every model once for every shape.
    model.jit_compile = keras.backend.backend() == "jax"
    return model.predict(inputs, verbose=0)


def inputs_of(subject, batch=2, length=12):
    return subject.inputs(batch, length, dtype="float32")


@for_each
def test_explicit_build_equals_lazy_build(subject):
    keras.utils.set_random_seed(3)
    lazy = subject.make()
    lazy(keras.KerasTensor((2, 12, subject.input_dim)))
    keras.utils.set_random_seed(3)
    explicit = subject.make()
    explicit.build((None, None, subject.input_dim))
    assert [w.name for w in lazy.weights] == [w.name for w in explicit.weights]
    for a, b in zip(lazy.get_weights(), explicit.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@for_each
def test_no_two_weights_start_with_the_same_draw(subject):
    """An initializer that is called twice gives the same values twice."""
    assert_drawn_apart(subject.make, (None, None, subject.input_dim))


@for_each
def test_step_builds_too(subject):
    layer = subject.make()
    inputs = inputs_of(subject)
    # A learned initial state exists once the layer is built.
    state = subject.layer("recurrent", "float32").get_initial_state(2)
    outputs, _ = layer.step(inputs[:, 0], state)
    assert tuple(outputs.shape) == (2, layer.output_dim)
    want = jitted(layer)(inputs[:, :1], initial_state=state)
    np.testing.assert_allclose(array(want)[:, 0], array(outputs), atol=1e-5)


@for_each
def test_config_round_trip(subject):
    layer = subject.make(form=subject.forms[-1], dtype="mixed_bfloat16", name="mine")
    config = layer.get_config()
    clone = type(layer).from_config(config)
    assert clone.get_config() == config
    assert clone.name == "mine" and clone.resolved_form == subject.forms[-1]
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(revived) is type(layer) and revived.get_config() == config


@for_each
def test_symbolic_shapes_are_the_eager_ones(subject):
    layer = subject.make()
    symbolic, symbolic_state = layer(
        keras.KerasTensor((2, 12, subject.input_dim)), return_state=True
    )
    eager, eager_state = layer(inputs_of(subject), return_state=True)
    assert symbolic.shape == tuple(eager.shape)
    assert symbolic.dtype == keras.backend.standardize_dtype(eager.dtype)
    tree.assert_same_structure(symbolic_state, eager_state)
    pairs = zip(tree.flatten(symbolic_state), tree.flatten(eager_state), strict=True)
    for a, b in pairs:
        assert a.shape == tuple(b.shape)
        assert a.dtype == keras.backend.standardize_dtype(b.dtype)
    assert layer.compute_output_shape((2, 12, subject.input_dim)) == tuple(eager.shape)


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs)


def functional_model(subject, layer):
    x = keras.Input((None, subject.input_dim))
    return keras.Model(x, layer(x))


MODELS = {
    "sequential": lambda subject, layer: keras.Sequential(
        [keras.Input((None, subject.input_dim)), layer]
    ),
    "functional": functional_model,
    "subclassed": lambda subject, layer: Subclassed(layer),
}
# Three ways into one call, which JAX compiles anew for each and each shape.
if keras.backend.backend() == "jax":
    del MODELS["sequential"]


@for_each
@pytest.mark.parametrize("way", MODELS)
def test_runs_in_a_model(subject, way):
    layer = subject.make()
    inputs = inputs_of(subject)
    want = array(layer(inputs))
    model = MODELS[way](subject, layer)
    np.testing.assert_allclose(predicted(model, inputs), want, atol=1e-5)
    # Another batch size and length through the same model.
    short = inputs[:1, :5]
    np.testing.assert_allclose(predicted(model, short), want[:1, :5], atol=1e-5)


@for_each
def test_state_passes_through_a_functional_model(subject):
    inputs, x = inputs_of(subject), keras.Input((None, subject.input_dim))
    # Two layers: Keras loses its way where one is called with and without `return_state`.
    first, second = subject.make(), subject.make()
    _, state = first(x, return_state=True)
    continued = keras.Model(x, second(x, initial_state=state))
    got = predicted(continued, inputs)
    _, state = first(inputs, return_state=True)
    np.testing.assert_allclose(got, array(second(inputs, initial_state=state)), atol=1e-4)


@for_each
def test_loads_as_saved(subject, tmp_path):
    """Bit for bit."""
    inputs, path = inputs_of(subject), tmp_path / "model.keras"
    functional = functional_model(subject, subject.make())
    functional.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(predicted(loaded, inputs), predicted(functional, inputs))


# Torch has no compiler here, and nobody trains on JAX op by op, which takes long.
JIT_COMPILE = {"tensorflow": (True, False), "jax": (True,), "torch": (False,)}
# Each takes seconds to compile: all forms, and TensorFlow without XLA, are trained by hand, with
# `-m slow`.
TRAINED = [
    pytest.param(
        subject,
        form,
        jit_compile,
        id=f"{subject.name}-{form}-{'xla' if jit_compile else 'eager'}",
        marks=[]
        if form == subject.forms[0] and jit_compile == JIT_COMPILE[keras.backend.backend()][0]
        else [pytest.mark.slow],
    )
    for subject in all_subjects()
    for form in subject.forms
    for jit_compile in JIT_COMPILE[keras.backend.backend()]
]


@pytest.mark.parametrize(("subject", "form", "jit_compile"), TRAINED)
def test_trains_with_fit(subject, form, jit_compile):
    """Five sequences in batches of four: the last batch has one."""
    keras.utils.set_random_seed(0)
    layer = subject.make(form=form)
    model = keras.Sequential([keras.Input((None, subject.input_dim)), layer])
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=jit_compile)
    inputs = inputs_of(subject, 5, 6)
    targets = np.tanh(np.random.default_rng(0).standard_normal((5, 6, layer.output_dim)))
    # Built in the first step, which Keras would trace a second time.
    model.optimizer.build(model.trainable_variables)
    before = [array(w) for w in layer.trainable_variables]
    history = model.fit(inputs, targets, epochs=6, batch_size=4, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    if before:
        assert history[-1] < history[0]
        changed = [
            np.any(array(w) != b) for w, b in zip(layer.trainable_variables, before, strict=True)
        ]
        assert all(changed), "a weight does not train"


@for_each
def test_masks_pass_through(subject):
    inputs = inputs_of(subject)
    inputs[1, 7:] = 0.0
    model = keras.Sequential([keras.layers.Masking(), subject.make()])
    outputs = array(model(inputs))
    assert not outputs[1, 7:].any() and outputs[1, :7].any()


@for_each
def test_both_directions_are_two_layers(subject):
    """`keras.layers.Bidirectional`, made anew from its config, beside two layers by hand."""
    inputs = inputs_of(subject, 2, 6)
    mask = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1]], bool)
    both = keras.layers.Bidirectional(subject.make())
    both.build(inputs.shape)
    clone = keras.layers.Bidirectional.from_config(both.get_config())
    clone.build(inputs.shape)
    clone.set_weights(both.get_weights())
    got = jitted(clone)(inputs, mask=mask)
    one, other = subject.make(), subject.make()
    for layer, weights in ((one, both.forward_layer), (other, both.backward_layer)):
        layer.build(inputs.shape)
        layer.set_weights(weights.get_weights())
    forward = array(jitted(one)(inputs, mask=mask))
    backward = array(jitted(other)(inputs[:, ::-1], mask=mask[:, ::-1]))[:, ::-1]
    np.testing.assert_allclose(array(got), np.concatenate([forward, backward], -1), atol=1e-6)


@for_each
def test_returns_the_last_valid_step(subject):
    """`return_sequences=False`, in one direction and in `keras.layers.Bidirectional`."""
    inputs = inputs_of(subject, 3, 6)
    mask = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
    whole, last = subject.make(), subject.make(return_sequences=False)
    outputs = array(whole(inputs, mask=mask))
    last.build(inputs.shape)
    last.set_weights(whole.get_weights())
    got, state = last(inputs, mask=mask, return_state=True)
    want = np.stack([outputs[0, 3], outputs[1, 5], np.zeros_like(outputs[2, 0])])
    np.testing.assert_array_equal(array(got), want)
    assert sorted(state) == sorted(whole.get_initial_state(3))
    assert last.compute_output_shape((3, 6, inputs.shape[-1])) == got.shape
    assert type(last).from_config(last.get_config()).return_sequences is False
    np.testing.assert_array_equal(array(last(inputs)), array(whole(inputs))[:, -1])
    both = keras.layers.Bidirectional(last)
    both.build(inputs.shape)
    for layer in (both.forward_layer, both.backward_layer):
        layer.set_weights(whole.get_weights())
    back = array(whole(inputs[:, ::-1]))[:, -1]
    forward = array(whole(inputs))[:, -1]
    np.testing.assert_allclose(array(both(inputs)), np.concatenate([forward, back], -1), atol=1e-6)


@for_each
def test_low_rank_adaptation_is_a_layer_with_other_projections(subject):
    """Values, what is trained, and the weights that are saved."""
    layer, inputs = subject.make(), inputs_of(subject, 2, 6)
    before = array(layer(inputs))
    names = [weight.path for weight in layer.trainable_variables]
    projections = [n for n in names if is_kernel(n.split("/")[-1])]
    if not projections:
        with pytest.raises(ValueError, match="projection"):
            layer.enable_lora(2)
        return
    layer.enable_lora(2, lora_alpha=3)
    np.testing.assert_array_equal(array(layer(inputs)), before)
    trained = {weight.path for weight in layer.trainable_variables}
    assert not trained & set(projections)
    assert trained > set(names) - set(projections)
    rng = np.random.default_rng(0)
    for weight in layer.trainable_variables:
        if weight.name.startswith("lora_"):
            weight.assign(0.2 * rng.standard_normal(weight.shape))
    changed, plain = array(layer(inputs)), subject.make()
    assert np.abs(changed - before).max() > 1e-3
    plain.build(inputs.shape)
    for source, target in zip(*(x._flatten_layers() for x in (layer, plain)), strict=True):
        store = {}
        source.save_own_variables(store)
        target.load_own_variables({name: array(value) for name, value in store.items()})
    np.testing.assert_allclose(array(plain(inputs)), changed, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="rank is 2"):
        layer.enable_lora(2)


def test_backwards_packed_documents_do_not_mix():
    """A reset stands at a document's first step in time, in either direction."""
    (subject,) = (s for s in all_subjects() if s.name == "common-lstm")
    layer, inputs = subject.make(go_backwards=True), inputs_of(subject, 1, 7)
    reset = np.arange(7)[None] == 3
    want = [array(layer(part)) for part in (inputs[:, 3:], inputs[:, :3])]
    np.testing.assert_allclose(
        array(layer(inputs, reset=reset)), np.concatenate(want, 1), atol=1e-6
    )


@for_each
def test_bad_arguments_are_named(subject):
    with pytest.raises(ValueError, match="form.*sideways"):
        subject.make(form="sideways")
    layer = subject.make()
    inputs = inputs_of(subject)
    with pytest.raises(ValueError, match=r"ndim=3.*\(2, 3, 4, 5\)"):
        layer(np.zeros((2, 3, 4, 5), "float32"))
    layer(inputs)
    state = layer.get_initial_state(2)
    name = next(iter(state))
    with pytest.raises(ValueError, match=f"initial_state.*{name}"):
        layer(inputs, initial_state={k: v for k, v in state.items() if k != name})
    with pytest.raises(ValueError, match="initial_state.*shape"):
        layer(inputs, initial_state=layer.get_initial_state(3))
    with pytest.raises(ValueError, match=r"mask.*\(2, 11\)"):
        layer(inputs, mask=np.ones((2, 11), bool))
    with pytest.raises(ValueError, match=r"reset.*\(2, 11\)"):
        layer(inputs, reset=np.ones((2, 11), bool))
    with pytest.raises(ValueError, match=r"inputs.*time step"):
        layer(inputs[:, :0])
    with pytest.raises(ValueError, match="inputs"):
        layer.step(inputs, state)
    with pytest.raises(ValueError, match="inputs.*features"):
        layer.step(inputs[:, 0, :-1], state)
