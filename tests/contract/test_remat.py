"""Gradient checkpointing: the same gradients, of less that is kept until they are taken."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from common.layers import SoftmaxAttention
from common.models import MLP, LanguageModel
from papers.min_rnn import MinGRU
from tests.helpers.gradients import gradients, weighted_sum

BACKEND = keras.backend.backend()


def make(remat: bool, num_blocks: int = 1, **options) -> LanguageModel:
    keras.utils.set_random_seed(0)
    mixers = [MinGRU(8), *(SoftmaxAttention(8, 2, 16) for _ in range(num_blocks))]
    mlps = [None, *(MLP(32) for _ in range(num_blocks))]
    model = LanguageModel(7, 8, mixers, mlps, remat=remat, **options)
    model.build((None, None))
    return model


TOKENS = np.random.default_rng(0).integers(0, 7, (2, 16)).astype("int32")


def loss_of(model, weights, state=None, mask=None):
    """Logits and the state as a function of the weights' values, as Keras trains."""
    fixed = [(v, v.value) for v in model.non_trainable_variables]
    with keras.StatelessScope([*zip(model.trainable_variables, weights, strict=True), *fixed]):
        return model(TOKENS, initial_state=state, mask=mask, training=True, return_state=True)


def gradients_of(model, hidden, state, mode=""):
    """Logits, and the gradients of all weights and of a state before, with padding."""
    mask = np.arange(16)[None] < np.array([[16], [11]])
    if BACKEND != "tensorflow":

        def outputs(hidden, *weights):
            return loss_of(model, weights, {**state, "block_0": {"hidden": hidden}}, mask)

        weights = [ops.convert_to_numpy(weight) for weight in model.trainable_variables]
        return [x for part in gradients(outputs, [hidden, *weights]) for x in part]
    import tensorflow as tf

    def run(hidden):
        # By variables, as TensorFlow trains.
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            before = {**state, "block_0": {"hidden": hidden}}
            outputs, after = model(
                TOKENS, initial_state=before, mask=mask, training=True, return_state=True
            )
            outputs = [outputs, *(x for x in tree.flatten(after) if x.dtype.is_floating)]
            loss = weighted_sum(outputs)
        weights = [weight.value for weight in model.trainable_variables]
        grads = tape.gradient(loss, [hidden, *weights])
        return [*outputs, *map(tf.convert_to_tensor, grads)]

    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "xla")
    return [x.numpy() for x in run(tf.constant(hidden))]


MODES = ["eager", pytest.param("graph", marks=pytest.mark.slow), "xla"]


@pytest.mark.parametrize("mode", MODES if BACKEND == "tensorflow" else [""])
def test_gradients_are_those_without(mode):
    hidden = np.full((2, 8), 0.3, "float32")
    results = []
    for remat in (False, True):
        model = make(remat)
        state = tree.map_structure(ops.convert_to_numpy, model.get_initial_state(2))
        results.append(gradients_of(model, hidden, state, mode))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    grads = results[1][-len(model.trainable_variables) - 1 :]
    assert all(np.abs(grad).max() > 0 for grad in grads)


def test_less_is_kept():
    """A block's inputs, D numbers a step for its mixer and for its MLP, and little else."""
    kept = {
        (remat, blocks): _kept(make(remat, blocks)) for remat in (False, True) for blocks in (1, 2)
    }
    steps = TOKENS.size * 8
    assert kept[True, 2] - kept[True, 1] <= 3 * steps
    assert kept[False, 2] - kept[False, 1] > 12 * steps


def _kept(model) -> int:
    """Numbers that are kept from the forward pass on for the gradient."""
    if BACKEND == "jax":
        import jax

        def residuals(weights):
            return jax.vjp(lambda *values: loss_of(model, values)[0], *weights)[1]

        weights = [weight.value for weight in model.trainable_variables]
        kept = jax.tree.leaves(jax.eval_shape(residuals, weights))
        return sum(x.size for x in kept) - sum(x.size for x in weights)
    if BACKEND == "torch":
        import torch

        kept = {}

        def keep(x):
            kept[x.data_ptr()] = x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            _logits, _ = model(TOKENS, training=True, return_state=True)
        weights = {weight.value.data_ptr() for weight in model.weights}
        return sum(size for pointer, size in kept.items() if pointer not in weights)
    pytest.skip("TensorFlow does not tell; below, that it computes again.")


@pytest.mark.skipif(BACKEND == "jax", reason="JAX traces what it computes again")
def test_mixers_and_mlps_are_called_again():
    model, calls = make(True), []
    for layer in (*model.mixers, model.mlps[1]):
        layer.call = _counted(layer.call, calls)
    state = tree.map_structure(ops.convert_to_numpy, model.get_initial_state(2))
    gradients_of(model, np.zeros((2, 8), "float32"), state, "eager")
    assert len(calls) == 2 * 3


def _counted(function, calls):
    def counted(*args, **kwargs):
        calls.append(function)
        return function(*args, **kwargs)

    return counted


def test_layers_that_draw_are_refused():
    """They would draw other numbers the second time; dropout of the stream is outside them."""
    make(True, dropout=0.1)
    mixer = SoftmaxAttention(8, 2, 16, dropout=0.1)
    with pytest.raises(ValueError, match="remat.*SoftmaxAttention"):
        LanguageModel(7, 8, [mixer], remat=True).build((None, None))
