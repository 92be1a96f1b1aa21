"""Multi-query associative recall with Zoology's protocol, as papers declare it. Data only."""

from collections.abc import Mapping

from common.declarations.experiments import DEFAULT
from common.declarations.labelling import labelling
from common.reproduce.declare.spec import Experiment, Settings


def mqar(
    length: int, num_pairs: int, variants: Mapping[str, Settings], minutes: float
) -> Experiment:
    """The experiment `mqar_<length>_<num_pairs>`: a value for every key, once more.

    Every variant has the same examples, updates and learning rates; the best learning rate on
    validation data counts, as in the paper.

    Args:
        length: Steps of a sequence.
        num_pairs: Pairs, and queries.
        variants: Name to `model` and `model_settings` of `common.trials.labelling`.
        minutes: Of one variant and seed at the cpu preset.

    Returns:
        The experiment; its metrics are `accuracy`, `learning_rate` and `updates`.
    """
    # Appendix of Zoology (Arora et al., 2023) and the authors' iclr24_zoology_figure2/configs.py:
    # AdamW with decay 0.1, cosine; two layers without MLPs between.
    return labelling(
        name=f"mqar_{length}_{num_pairs}",
        description=f"Multi-query associative recall of {num_pairs} pairs in {length} steps",
        task="MQAR",
        variants=variants,
        settings={
            "task_settings": {
                "vocabulary_size": (32, 256, 8192),
                "length": (16, length, length),
                "num_pairs": (2, num_pairs, num_pairs),
            },
            "batch_size": (8, 64, 512),
            "steps": (5, 6000, 12_500),
            "schedule": "cosine",
            "warmup": (DEFAULT, 0.1, DEFAULT),
            "weight_decay": 0.1,
            "learning_rates": ([2.15e-3], [1e-2, 2.15e-3], [2.15e-3, 1e-2, 4.6e-4, 1e-4]),
            "eval_every": (5, 250, 200),
            "eval_size": (8, 1024, 3000),
            "test_size": (8, 3000, 3000),
            "stop_accuracy": (DEFAULT, 0.99, 0.99),
            "stop_after": (DEFAULT, 1, 1),
        },
        minutes=(0.3, minutes, 120),
        reduces="A vocabulary of 256 for 8,192, batch 64 for 512, 6,000 updates for 12,500 (on "
        "fresh examples), two learning rates for four.",
        smoke_variants=tuple(variants)[:1],
        # Naming any of the values that the sequence holds.
        untrained={"accuracy": 1 / num_pairs},
        recorded_as={
            "vocabulary_size": "vocab_size",
            "kernel_size": "conv_width",
            "hidden_units": "mlp_units",
        },
    )
