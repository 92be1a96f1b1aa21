"""Palindromes, stacks and recall (section 5.1): KDA, Gated DeltaNet and Mamba-2 in one body."""

import importlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from common.models import GatedMLP, LanguageModel
from common.ops.generalized_delta_rule import chunkwise_generalized_delta_rule
from common.reproduce import Run
from common.reproduce.execute.timing import gradient_maker, measure_fastest
from common.tasks import evaluation_set
from common.tasks.palindrome import Palindrome
from common.tasks.stacks import Stacks
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.delta_net.model import DeltaNetLM
from papers.kimi_delta.model import KimiDeltaLM
from papers.mamba2.layers import Mamba2

_TASKS = {"palindrome": Palindrome, "stacks": Stacks}
# Validation and test sets are the same for all seeds.
EVALUATION_SEED = 0


@keras.saving.register_keras_serializable(package="papers")
class FadingKimiDeltaLM(KimiDeltaLM):
    """Kimi delta attention whose decays' biases start at 0, so that memories fade at once."""

    def build(self, input_shape):
        super().build(input_shape)
        for mixer in self.mixers:
            mixer.decay_bias.assign(ops.zeros(mixer.decay_bias.shape))


def gated_delta_net(
    vocabulary_size: int, units: int, num_layers: int, num_heads: int, head_dim: int, **settings
) -> DeltaNetLM:
    """Gated DeltaNet, with heads of `units / num_heads`, which `head_dim` has to be."""
    if num_heads * head_dim != units:
        raise ValueError(f"`head_dim` must be {units} / {num_heads}, got {head_dim}")
    return DeltaNetLM(vocabulary_size, units, num_layers, num_heads, gated=True, **settings)


def mamba2(
    vocabulary_size: int,
    units: int,
    num_layers: int,
    num_heads: int,
    head_dim: int,
    hidden_units: int,
) -> LanguageModel:
    """Mamba-2 with the MLPs of the others, twice their heads, and states of the size of theirs."""
    return LanguageModel(
        vocabulary_size,
        units,
        [
            Mamba2(units, state_dim=head_dim, head_dim=head_dim, expansion=2)
            for _ in range(num_layers)
        ],
        [GatedMLP(hidden_units) if hidden_units else None for _ in range(num_layers)],
        epsilon=1e-6,
    )


def synthetic(
    run: Run,
    *,
    task: str,
    task_settings: Mapping[str, Any],
    model: str,
    model_settings: Mapping[str, Any],
    batch_size: int,
    steps: int,
    learning_rate: float,
    eval_every: int,
    eval_size: int,
    test_size: int,
) -> dict[str, float]:
    """Trains a model at a constant learning rate on a task that is drawn anew at every update.

    Args:
        run: The run.
        task: `"palindrome"` or `"stacks"`.
        task_settings: Its settings.
        model: `"package.module:factory"`, called with `vocabulary_size` and the settings.
        model_settings: Arguments of the factory.
        batch_size: Sequences of an update.
        steps: Updates.
        learning_rate: Of AdamW, whose weight decay is 0.01; gradients are clipped to a norm of 1.
        eval_every: Updates between evaluations.
        eval_size: Validation sequences.
        test_size: Test sequences.

    Returns:
        `accuracy` of the symbols that are asked for, on the test set, by the weights that were best
        on the validation set; `updates`, when these were reached.
    """
    source = _TASKS[task](**task_settings)
    validation, test = (
        evaluation_set(source, split, size, EVALUATION_SEED, run.data_dir)
        for split, size in (("validation", eval_size), ("test", test_size))
    )
    module, _, name = model.partition(":")
    net = getattr(importlib.import_module(module), name)(
        vocabulary_size=source.vocabulary_size, **model_settings
    )
    net.build((None, None))
    net.compile(
        keras.optimizers.AdamW(learning_rate, 0.01, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple[np.ndarray, ...]:
        batch = source.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def accuracy(arrays: Arrays) -> float:
        named = likeliest(net.predict(arrays["inputs"], batch_size=4 * batch_size, verbose=0))
        right = (named == arrays["targets"]) * arrays["weights"]
        return float(right.sum() / arrays["weights"].sum())

    row = run.train(
        net,
        batches,
        steps=steps,
        evaluate=lambda: {"accuracy": accuracy(validation)},
        eval_every=eval_every,
        best=("max", "accuracy"),
    )
    return {"accuracy": accuracy(test), "updates": row["step"]}


def speed(
    run: Run, *, length: int, num_heads: int, head_dim: int, samples: int
) -> dict[str, float]:
    """Forward and backward time of the rule with l and k apart over that with `l = -k`.

    Returns:
        The ratio, `speedup`, and both times in milliseconds.
    """
    rng = np.random.default_rng(run.seed)
    shape = (1, length, num_heads, head_dim)
    q, k, v, upstream = rng.standard_normal((4, *shape)).astype("float32")
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    log_decay = -rng.exponential(0.1, shape).astype("float32")
    right = np.exp(log_decay) * rng.random(shape, "float32") * k
    inputs = [ops.convert_to_tensor(x) for x in (q, k, v, right, log_decay, upstream)]

    def tied(q, k, v, right, log_decay, upstream):
        return ops.sum(chunkwise_generalized_delta_rule(q, k, v, right, log_decay)[0] * upstream)

    def apart(q, k, v, right, log_decay, left, upstream):
        o, _ = chunkwise_generalized_delta_rule(q, k, v, right, log_decay, left=left)
        return ops.sum(o * upstream)

    seconds = measure_fastest(
        {
            "tied": gradient_maker(tied, inputs),
            "apart": gradient_maker(apart, [*inputs[:5], -inputs[1], inputs[5]]),
        },
        samples,
    )
    milliseconds = {f"{name}_milliseconds": 1e3 * one for name, one in seconds.items()}
    return {"speedup": seconds["apart"] / seconds["tied"], **milliseconds}
