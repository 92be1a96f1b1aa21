"""Griffin: what it declares."""

from common.reproduce.spec import Claim, Experiment, LayerCase, Paper, Preset, Quantity

_SMOKE = "Shows that the code runs."

SPEED = Experiment(
    name="speed",
    description="Time of linear_scan against the native scan and the associative scan",
    trial="papers.griffin.experiments:speed",
    variants={"forward": {"backward": False}, "training": {"backward": True}},
    presets={
        "smoke": Preset(
            settings={"lengths": [16, 32], "batch_size": 2, "units": 8, "samples": 3},
            minutes=0.2,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "lengths": [256, 512, 1024, 2048],
                "batch_size": 8,
                "units": 1024,
                "samples": 7,
            },
            minutes=3,
            scale="reduced",
            reduces="A CPU for a TPU-v3; up to 2,048 steps.",
        ),
        "paper": Preset(
            settings={
                "lengths": [1024, 2048, 4096, 8192],
                "batch_size": 8,
                "units": 1024,
                "samples": 15,
            },
            minutes=5,
            scale="paper",
        ),
    },
    seeds=(0,),
    metrics=("exponent", "native_ratio", "associative_ratio", "associative_native_ratio"),
)

PAPER = Paper(
    name="griffin",
    title="Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language "
    "Models",
    authors="Soham De, Samuel L. Smith, Anushan Fernando, Aleksandar Botev, et al.",
    year=2024,
    venue="arXiv",
    url="https://arxiv.org/abs/2402.19427",
    layers=(
        LayerCase(
            name="rglru",
            factory="papers.griffin:RGLRU",
            config={"units": 6, "num_blocks": 2},
            input_dim=6,
            forms=("chunkwise", "recurrent"),
            benchmark={"units": 256, "num_blocks": 16, "input_dim": 256},
        ),
        LayerCase(
            name="block",
            factory="papers.griffin:RecurrentBlock",
            config={"units": 5, "recurrent_units": 6, "num_blocks": 3},
            input_dim=4,
            forms=("chunkwise", "recurrent"),
            benchmark={
                "units": 256,
                "recurrent_units": 336,
                "num_blocks": 16,
                "input_dim": 256,
            },
        ),
    ),
    experiments=(SPEED,),
    default_experiment="speed",
)
