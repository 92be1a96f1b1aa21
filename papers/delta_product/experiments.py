"""The word problem of a permutation group, and parameters."""

import keras
import numpy as np

from common.models import count_parameters
from common.reproduce import Run
from common.tasks import evaluation_set
from common.tasks.permutation_word import PermutationWord
from common.tasks.task import Arrays
from common.trials.answers import likeliest
from papers.delta_product.model import SIZES, DeltaProductLM


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of section 5.2, in millions."""
    return {"millions": count_parameters(lambda: DeltaProductLM(**SIZES[size])) / 1e6}


def word_problem(
    run: Run,
    *,
    group: str,
    num_householders: int,
    negative_eigenvalues: bool,
    units: int,
    num_layers: int,
    num_heads: int,
    head_dim: int,
    length: int,
    test_length: int,
    batch_size: int,
    steps: int,
    learning_rate: float,
    eval_every: int,
    eval_size: int,
    test_size: int,
) -> dict[str, float]:
    """Trains on words of `length` permutations; tests the last weights, on longer words too.

    As in the authors' code there is no convolution and no gate, and AdamW decays by 1e-6 and to 0
    by a cosine.

    Returns:
        `accuracy` of the permutations and `sequence_accuracy`, words without an error, on words
        like those of training; `accuracy_long` and `sequence_accuracy_long` of `test_length`.
    """
    task, longer = PermutationWord(group, length), PermutationWord(group, test_length)
    validation, test, long_test = (
        evaluation_set(one, split, size, data_dir=run.data_dir)
        for one, split, size in (
            (task, "validation", eval_size),
            (task, "test", test_size),
            (longer, "test", test_size),
        )
    )
    model = DeltaProductLM(
        task.vocabulary_size,
        units,
        num_layers,
        num_heads,
        num_householders,
        head_dim,
        kernel_size=None,
        negative_eigenvalues=negative_eigenvalues,
        head_stddev=0.02,
    )
    model.build((None, None))
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(learning_rate, steps), weight_decay=1e-6
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )

    def batches(step: int) -> tuple[np.ndarray, ...]:
        batch = task.batch(batch_size, run.seed, step)
        return batch["inputs"], batch["targets"], batch["weights"]

    def score(words: Arrays) -> dict[str, float]:
        logits = model.predict(words["inputs"], batch_size=batch_size, verbose=0)
        right = (likeliest(logits) == words["targets"])[:, 1:]
        return {
            "accuracy": float(right.mean()),
            "sequence_accuracy": float(right.all(axis=-1).mean()),
        }

    run.train(
        model,
        batches,
        steps=steps,
        evaluate=lambda: score(validation),
        eval_every=eval_every,
    )
    return score(test) | {f"{name}_long": value for name, value in score(long_test).items()}
