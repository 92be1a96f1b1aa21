"""Mamba-3: what it declares. A tuple in settings is for smoke, cpu and paper."""

from collections.abc import Mapping
from typing import Any

from common.declarations import parameter_claims, parameters, training
from common.reproduce.declare.spec import Claim, Experiment, LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import (
    Acceptance,
    between,
    within_absolute,
    within_relative,
)

# Table 5b's rows, with a state of 64.
_MAMBA3: dict[str, Any] = {"state_dim": 64, "head_dim": 64, "chunk_size": 32}


def _row(mixer: str, **settings: Any) -> dict[str, Any]:
    return {"mixer": mixer, "mixer_settings": settings}


_ROWS = {
    "mamba3": _row("papers.mamba3:Mamba3", **_MAMBA3),
    "standard": _row("papers.mamba3:Mamba3", **_MAMBA3, rotation="standard"),
    "none": _row("papers.mamba3:Mamba3", **_MAMBA3, rotation=None),
    "mamba2": _row("papers.mamba2:Mamba2", **_MAMBA3),
    "gated_delta_net": _row(
        "papers.delta_net:DeltaNet",
        num_heads=1,
        key_dim=64,
        value_dim=64,
        negative_eigenvalues=True,
        gated=True,
        chunk_size=32,
    ),
}


def _language(
    name: str,
    description: str,
    task: str,
    task_settings: Mapping[str, Any],
    num_layers: int,
    minutes: tuple[float, float, float],
    seeds: tuple[int, ...] = (0, 1, 2),
) -> Experiment:
    return training(
        name=name,
        description=f"{description}: words of 256 after training on up to 160",
        trial="papers.mamba3.experiments:state_tracking",
        variants=_ROWS,
        settings={
            "task": task,
            "task_settings": task_settings,
            "num_layers": (1, num_layers, num_layers),
            "widths": ([32], [64], [32, 64]),
            # At paper 8 of them, as far apart on a logarithmic scale.
            "learning_rates": (
                [1e-3],
                [4e-3, 2e-3],
                [1e-4, 1.9e-4, 3.7e-4, 7.2e-4, 1.4e-3, 2.7e-3, 5.2e-3, 1e-2],
            ),
            "min_length": 3,
            "stages": ([8, 12], [10, 20, 40, 80, 160], [40, 80, 120, 160]),
            "stage_steps": (2, 600, 10_000),
            "batch_size": (4, 64, 256),
            "short_length": (12, 40, 40),
            "test_length": (16, 256, 256),
            "eval_every": (2, 300, 1000),
            "eval_size": (8, 512, 2048),
            "test_size": (8, 2048, 2048),
            "stop_accuracy": 0.999,
            # On a CPU XLA takes longer.
            "jit_compile": (False, False, True),
        },
        minutes=minutes,
        reduces="600 updates with each largest length for 10,000, and words of up to 10 and 20 "
        "first; batch 64 for 256, width 64 for the better of 32 and 64, two learning rates for "
        "eight.",
        metrics=(
            "scaled_accuracy",
            "short_accuracy",
            "validation_accuracy",
            "learning_rate",
            "units",
            "updates",
        ),
        untrained={"scaled_accuracy": 0.0, "short_accuracy": 0.0},
        smoke_variants=("mamba3",),
        seeds=seeds,
    )


PARITY = _language("parity", "Parity", "Parity", {}, 1, (0.5, 17, 60), seeds=(0, 1, 2, 3, 4))
ARITHMETIC = _language(
    "arithmetic", "Arithmetic modulo 5 without brackets", "ModularArithmetic", {}, 3, (0.3, 40, 180)
)
BRACKETS = _language(
    "brackets",
    "Arithmetic modulo 5 with brackets",
    "ModularArithmetic",
    {"brackets": True},
    3,
    (0.3, 40, 180),
)

PARAMETERS = parameters(
    "papers.mamba3.experiments:parameters",
    "Parameters of the language model, in millions",
    sizes=("1.5B", "1.5B-mimo"),
)

# Table 5b, parity and arithmetic without and with brackets: what the tolerance is for.
_SOLVED = (
    "Solved in the paper: 2,048 test words, of which few are wrong, stand within a point of it.",
    within_absolute(1.0),
)
_GUESSES = (
    "Guesses in the paper: twice the standard error of 2,048 words of which half are right is 4.4 "
    "points of scaled accuracy, and the paper's own number is as far from 0.",
    within_absolute(6.0),
)
_LEARNED = (
    "In between: five times the standard error of 2,048 words, as the paper gives one number, of "
    "the best of its runs, without a deviation.",
    within_absolute(6.0),
)


def _cells(experiment: Experiment, *accepted: tuple[str, Acceptance]) -> tuple[Claim, ...]:
    """A claim a row of a column of the table. Who guesses there has learned some short words."""
    claims: list[Claim] = []
    for variant, (reason, tolerance) in zip(_ROWS, accepted, strict=True):
        name = f"{experiment.name}-{variant}"
        controls: tuple[str, ...] = ()
        if (reason, tolerance) == _GUESSES:
            claims += experiment.orderings(
                {f"{name}-short": Quantity(variant, "short_accuracy")},
                each=between(5.0, 90.0),
                controls=(f"{experiment.name}-mamba3",),
                reason="Failing is one word in ten wrong, of words of 3 to 40; who "
                "learned nothing is at 0, with a standard error of 2.2.",
            )
            controls = (f"{experiment.name}-mamba3", f"{name}-short")
        claims += experiment.numbers(
            {name: Quantity(variant, "scaled_accuracy")},
            mean=tolerance,
            controls=controls,
            reason=reason,
        )
    return tuple(claims)


PAPER = Paper(
    name="mamba3",
    title="Mamba-3: Improved Sequence Modeling using State Space Principles",
    authors="Aakash Lahoti, Kevin Y. Li, Berlin Chen, Caitlin Wang, Aviv Bick, J. Zico Kolter, "
    "Tri Dao, Albert Gu",
    year=2026,
    venue="ICLR",
    url="https://arxiv.org/abs/2603.15569v1",
    layers=(
        LayerCase(
            name="mamba3",
            factory="papers.mamba3:Mamba3",
            config={"units": 4, "state_dim": 4, "head_dim": 4, "chunk_size": 16},
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
            # As Mamba-2's: 8 heads of 64 channels.
            benchmark=dict(units=256, state_dim=64, head_dim=64, chunk_size=64, input_dim=256),
        ),
    ),
    experiments=(PARITY, ARITHMETIC, BRACKETS, PARAMETERS),
    claims=(
        *_cells(PARITY, _SOLVED, _GUESSES, _GUESSES, _GUESSES, _SOLVED),
        *_cells(ARITHMETIC, _SOLVED, _LEARNED, _GUESSES, _LEARNED, _SOLVED),
        *_cells(BRACKETS, _LEARNED, _GUESSES, _GUESSES, _GUESSES, _LEARNED),
        *parameter_claims(
            PARAMETERS, within_relative(0.02), "The model is named by a rounded number."
        ),
    ),
    headline="One layer whose state turns as the inputs say solves parity, where one with rotary "
    "positions, one without and Mamba-2 guess",
    headline_claims=("parity-mamba3", "parity-standard", "parity-none", "parity-mamba2"),
    not_attempted=(
        "MIMO's better language models at the speed of decoding (Tables 3 and 6)",
        "language models of 180M to 1.5B parameters, and their retrieval (Tables 3 and 4)",
        "perplexity without biases, trapezoidal rule and convolution at 440M (Table 5a)",
        "half of Mamba-2's state at its perplexity (Figure 3)",
        "kernels: decoding and prefill as fast as Mamba-2's (Tables 6 and 7)",
    ),
)
