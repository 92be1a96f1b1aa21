"""Multi-query associative recall with Zoology's protocol, as papers declare it. Data only."""

from collections.abc import Mapping

from common.reproduce.spec import Experiment, Preset, Settings

# Appendix of Zoology (Arora et al., 2023) and the authors' iclr24_zoology_figure2/configs.py:
# AdamW with decay 0.1, cosine; two layers without networks between.
_TRAINING = {"task": "MQAR", "schedule": "cosine", "weight_decay": 0.1}


def mqar(length: int, num_pairs: int, variants: Mapping[str, Settings], minutes: float):
    """The experiment `mqar_<length>_<num_pairs>`: a value for every key, once more.

    Every variant has the same examples, updates and learning rates; the best learning rate on
    validation data counts, as in the paper.

    Args:
        length: Steps of a sequence.
        num_pairs: Pairs, and queries.
        variants: Name to `model` and `model_settings` of `common.trials.labelling`.
        minutes: Of one variant and seed at the cpu preset.

    Returns:
        The experiment; its metrics are those of `common.trials.labelling`.
    """
    size = {"length": length, "num_pairs": num_pairs}
    return Experiment(
        name=f"mqar_{length}_{num_pairs}",
        description=f"Multi-query associative recall of {num_pairs} pairs in {length} steps",
        trial="common.trials.labelling:labelling",
        variants=variants,
        presets={
            "smoke": Preset(
                settings={
                    **_TRAINING,
                    "task_settings": {"vocab_size": 32, "length": 16, "num_pairs": 2},
                    "batch_size": 8,
                    "steps": 5,
                    "learning_rates": [2.15e-3],
                    "eval_every": 5,
                    "eval_size": 8,
                    "test_size": 8,
                },
                minutes=0.3,
                scale="reduced",
                reduces="Shows that the code runs.",
                variants=tuple(variants)[:1],
            ),
            "cpu": Preset(
                settings={
                    **_TRAINING,
                    "task_settings": {**size, "vocab_size": 256},
                    "batch_size": 64,
                    "steps": 6000,
                    "warmup": 0.1,
                    "learning_rates": [1e-2, 2.15e-3],
                    "eval_every": 250,
                    "eval_size": 1024,
                    "test_size": 3000,
                    "stop_accuracy": 0.99,
                    "stop_after": 1,
                },
                minutes=minutes,
                scale="reduced",
                reduces="A vocabulary of 256 for 8,192, batch 64 for 512, 6,000 updates for 12,500 "
                "(on fresh examples), two learning rates for four.",
            ),
            "paper": Preset(
                settings={
                    **_TRAINING,
                    "task_settings": {**size, "vocab_size": 8192},
                    "batch_size": 512,
                    "steps": 12_500,
                    "learning_rates": [2.15e-3, 1e-2, 4.6e-4, 1e-4],
                    "eval_every": 200,
                    "eval_size": 3000,
                    "test_size": 3000,
                    "stop_accuracy": 0.99,
                    "stop_after": 1,
                },
                minutes=120,
                scale="paper",
            ),
        },
        kind="training",
        metrics=("accuracy", "learning_rate", "updates"),
        # Naming any of the values that the sequence holds.
        untrained={"accuracy": 1 / num_pairs},
    )
