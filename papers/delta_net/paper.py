"""Parallelizing linear transformers with the delta rule: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_least,
    at_most,
)

_SMOKE = "Shows that the code runs."
_LABELLING = "common.trials.labelling:labelling"

# Grazzi et al. 2024: two models that differ in the range of beta only.
_EIGENVALUES = {
    name: {"model": f"papers.delta_net.experiments:{name}"} for name in ("positive", "negative")
}
_LONG = {"long": {"min_length": 40, "max_length": 256}}


def _formal(task: str, chance: float, **settings) -> dict:
    """Settings that every preset of an experiment on a formal language shares."""
    return {"task": task, "task_settings": {}, "chance": chance, "tests": _LONG, **settings}


def _smoke(task: str, chance: float) -> Preset:
    return Preset(
        settings=_formal(
            task,
            chance,
            model_settings={"units": 8, "num_layers": 1, "num_heads": 2, "mlp_units": 0},
            batch_size=8,
            steps=10,
            learning_rates=[3e-3],
            eval_every=5,
            eval_size=16,
            test_size=16,
        ),
        minutes=0.2,
        scale="reduced",
        reduces=_SMOKE,
    )


PARITY = Experiment(
    name="parity",
    description="Parity to length 40, tested from 40 to 256: eigenvalues in [0, 1] and [-1, 1]",
    trial=_LABELLING,
    variants=_EIGENVALUES,
    presets={
        "smoke": _smoke("Parity", 0.5),
        "cpu": Preset(
            settings=_formal(
                "Parity",
                0.5,
                model_settings={"units": 32, "num_layers": 2, "num_heads": 4, "mlp_units": 64},
                batch_size=64,
                steps=2000,
                learning_rates=[3e-3],
                schedule="cosine",
                warmup=0.1,
                eval_every=100,
                eval_size=512,
                test_size=1024,
            ),
            minutes=4,
            scale="reduced",
            reduces="Width 32 for 128, batch 64 for 256, 2,000 updates for 20,000.",
        ),
        "paper": Preset(
            settings=_formal(
                "Parity",
                0.5,
                model_settings={"units": 128, "num_layers": 2, "num_heads": 4},
                batch_size=256,
                steps=20_000,
                learning_rates=[1e-3],
                schedule="cosine",
                warmup=0.1,
                eval_every=200,
                eval_size=8192,
                test_size=8192,
                clip=None,
            ),
            minutes=120,
            scale="paper",
        ),
    },
    metrics=("accuracy_long", "accuracy", "learning_rate", "updates"),
)

PAPER = Paper(
    name="delta_net",
    title="Parallelizing Linear Transformers with the Delta Rule over Sequence Length",
    authors="Songlin Yang, Bailin Wang, Yu Zhang, Yikang Shen, Yoon Kim",
    year=2024,
    venue="NeurIPS",
    url="https://arxiv.org/abs/2406.06484",
    layers=(
        LayerCase(
            name="delta-net",
            factory="papers.delta_net:DeltaNet",
            config={
                "units": 6,
                "num_heads": 2,
                "key_dim": 4,
                "negative_eigenvalues": True,
                "chunk_size": 16,
            },
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            # A quarter of the 340M model's width, with its heads of 128.
            benchmark={
                "units": 256,
                "num_heads": 2,
                "key_dim": 128,
                "chunk_size": 64,
                "input_dim": 256,
            },
        ),
        LayerCase(
            name="gated-delta-net",
            factory="papers.delta_net:DeltaNet",
            config={
                "units": 6,
                "num_heads": 2,
                "key_dim": 4,
                "conv_width": None,
                "gated": True,
                "chunk_size": 16,
            },
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            benchmark={
                "units": 256,
                "num_heads": 2,
                "key_dim": 128,
                "conv_width": 4,
                "chunk_size": 64,
                "input_dim": 256,
            },
        ),
    ),
    experiments=(PARITY,),
    claims=(
        Claim(
            id="parity-negative",
            experiment="parity",
            quantity=Quantity("negative", "accuracy_long"),
            aggregate="max",
            accept=at_least(0.99),
            reason="Solved; the paper gives the best of 3 seeds.",
        ),
        Claim(
            id="parity-positive",
            experiment="parity",
            quantity=Quantity("positive", "accuracy_long"),
            aggregate="max",
            accept=at_most(0.1),
            reason="Near guessing, whose accuracy on 8,192 sequences varies by 0.01.",
        ),
    ),
    default_experiment="parity",
)
