"""The regular languages by which Walker et al. (2025) compare fifteen sequence layers."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.declarations.experiments import training
from common.reproduce.declare.spec import Claim, Experiment, Quantity
from common.reproduce.declare.tolerances import within_absolute

# Name to what a word is asked, and what guessing gets, in percent.
LANGUAGES = {
    "cycle_nav": ("Where a walk on a cycle of 5 ends", 20.0),
    "even_pairs": ("Whether the last letter is the first", 50.0),
    "mod_arith_no_brack": ("Arithmetic modulo 5 without brackets", 20.0),
    "parity": ("Parity", 50.0),
}


def regular_languages(
    variants: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any] | None = None,
    **declared: Any,
) -> tuple[Experiment, ...]:
    """An experiment for each language of their section 5.2, in the order of `LANGUAGES`.

    Args:
        variants: Rows of the table: models in the trial's settings.
        settings: Of all variants, beside the training's.
        **declared: Further arguments of `training`.
    """
    return tuple(
        training(
            name=language,
            description=f"{description}: words of 40 to 256 after training on 3 to 40",
            trial="papers.structured_linear_cde.experiments:regular_language",
            variants=variants,
            settings={
                **(settings or {}),
                "units": (32, 128, 128),
                "language": language,
                "training_lengths": [3, 40],
                "validation_lengths": ([40, 50], [40, 256], [40, 256]),
                "batch_size": (4, 64, 256),
                "steps": (4, 20_000, 100_001),
                "learning_rate": 2e-3,
                "warmup": 0.1,
                "weight_decay": 0.01,
                "no_decay": ["embeddings"],
                "eval_every": (2, 1000, 5000),
                "eval_size": (8, 2048, 8192),
                "stop_accuracy": 0.9995,
                # On a CPU XLA takes as long or longer for most; what it helps says so itself.
                "jit_compile": (False, False, True),
            },
            minutes=(0.5, 70, 60),
            metrics=("accuracy", "final_accuracy", "updates"),
            untrained={"accuracy": chance},
            seeds=(0, 1, 2, 3, 4),
            **declared,
        )
        for language, (description, chance) in LANGUAGES.items()
    )


# Points that any cell may be off at most: what is within more tells a number from few others.
_WIDEST = 25.0


def regular_language_claims(
    languages: Sequence[Experiment], deviations: Mapping[str, Sequence[float]]
) -> tuple[Claim, ...]:
    """A claim `<language>-<variant>` a cell: twice the table's deviation, and two points.

    Args:
        languages: As `regular_languages` makes them.
        deviations: Of each variant's five runs in the table, in the order of the languages.

    Returns:
        The claims, row by row.
    """
    claims: list[Claim] = []
    for variant, row in deviations.items():
        for language, deviation in zip(languages, row, strict=True):
            # A model that guesses at one language must have learned another.
            known = f"even_pairs-{variant}"
            name = f"{language.name}-{variant}"
            claims += language.numbers(
                {name: Quantity(variant, "accuracy")},
                mean=within_absolute(min(2 * deviation + 2, _WIDEST)),
                controls=() if name == known else (known,),
                reason="Twice the deviation of the paper's own runs; and what the best of 20 "
                "validations on 2,048 words differs from that of other words, two points.",
            )
    return tuple(claims)
