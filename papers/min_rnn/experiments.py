"""Parameters, training time against length, selective copying."""

import keras
import numpy as np
from keras import ops

from common.reproduce import Run
from common.reproduce.timing import compiled, measure
from common.tasks import MambaSelectiveCopying
from common.trials.answers import likeliest
from papers.min_rnn.layers import MinGRU, MinLSTM
from papers.min_rnn.model import MinRNN

MINIMAL = {"mingru": MinGRU, "minlstm": MinLSTM}
BASELINES = {"mingru": keras.layers.GRU, "minlstm": keras.layers.LSTM}


def parameters(run: Run, *, cell: str, expansion: int, units: int) -> dict[str, float]:
    """Parameters of a minimal layer relative to its baseline, biases not counted (section 3)."""
    minimal = MINIMAL[cell](expansion * units)
    baseline = BASELINES[cell](expansion * units, use_bias=False)
    for layer in (minimal, baseline):
        layer.build((None, None, units))
    return {"fraction": int(np.prod(minimal.kernel.shape)) / baseline.count_params()}


def training_time(
    run: Run, *, cell: str, lengths: list[int], units: int, batch_tokens: int, samples: int
) -> dict[str, float]:
    """Forward and backward time of the baseline over the minimal layer's, at three lengths.

    The baseline is `keras.layers.GRU` or `LSTM`, a compiled loop over time. Both see the same
    batch: `batch_tokens / T` sequences, at most 64.
    """
    ratios = []
    for length in lengths:
        batch = max(1, min(64, batch_tokens // length))
        shape = (batch, length, units)
        inputs = np.random.default_rng(run.seed).standard_normal(shape).astype("float32")
        baseline = BASELINES[cell](units, return_sequences=True)
        functions = {
            "minimal": _forward_and_backward(MINIMAL[cell](units), inputs),
            "baseline": _forward_and_backward(baseline, inputs),
        }
        timings = measure(functions, samples=samples)
        ratios.append(timings["baseline"].median / timings["minimal"].median)
        run.log(
            step=length,
            ratio=ratios[-1],
            **{f"{name}_milliseconds": 1e3 * t.median for name, t in timings.items()},
        )
    return {"first_ratio": ratios[0], "middle_ratio": ratios[-2], "last_ratio": ratios[-1]}


def _forward_and_backward(layer, inputs):
    """A function without arguments: gradients of the layer's weights on TensorFlow or JAX."""
    layer.build(inputs.shape)
    inputs = ops.convert_to_tensor(inputs)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def gradients(inputs):
            with tf.GradientTape() as tape:
                value = ops.mean(ops.square(layer(inputs)))
            return tape.gradient(value, layer.trainable_variables)

        function = compiled(gradients, jit_compile=False)
    else:
        import jax

        def value(weights, inputs):
            outputs, _ = layer.stateless_call(weights, [], inputs)
            return ops.mean(ops.square(outputs))

        weights = [variable.value for variable in layer.trainable_variables]
        gradient = jax.jit(jax.grad(value))
        return lambda: gradient(weights, inputs)
    return lambda: function(inputs)


def selective_copying(
    run: Run,
    *,
    cell: str,
    num_layers: int,
    length: int,
    num_tokens: int,
    units: int,
    expansion: int,
    batch_size: int,
    learning_rate: float,
    steps: int,
    test_size: int,
) -> dict[str, float]:
    """Trains on selective copying; accuracy of the copied tokens and of whole sequences."""
    task = MambaSelectiveCopying(length=length, num_tokens=num_tokens)
    model = MinRNN(task.vocab_size, units, num_layers, cell, expansion)
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=0.05, global_clipnorm=1.0)
    model.build((None, length + num_tokens))
    # The authors decay everything but the gates' projections.
    optimizer.exclude_from_weight_decay([mixer.kernel for mixer in model.mixers])
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    test = task.batch(test_size, run.seed, 0, split="test")

    def batches(step):
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def evaluate():
        logits = model.predict(test["inputs"], batch_size=batch_size, verbose=0)
        right = (likeliest(logits) == test["targets"])[:, -num_tokens:]
        return {
            "accuracy": 100 * float(right.mean()),
            "sequence_accuracy": 100 * float(right.all(-1).mean()),
        }

    row = run.train(
        model,
        batches,
        steps=steps,
        evaluate=evaluate,
        eval_every=max(1, steps // 10),
        best=("max", "accuracy"),
    )
    return {name: row[name] for name in ("accuracy", "sequence_accuracy")}
