"""Mamba: what it declares."""

from common.reproduce.spec import (
    Experiment,
    LayerCase,
    Paper,
    Preset,
)

_SMOKE = "Shows that the code runs."

SCAN_SPEED = Experiment(
    name="scan_speed",
    description="Time of a standard scan over the fused scan's, forward and backward",
    trial="papers.mamba.experiments:scan_speed",
    variants={"associative": {"baseline": "associative"}, "loop": {"baseline": "loop"}},
    presets={
        "smoke": Preset(
            settings={
                "lengths": [16, 32],
                "batch_size": 1,
                "channels": 8,
                "state_dim": 4,
                "samples": 3,
                "compilers": [False],
            },
            minutes=0.3,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "lengths": [512, 1024, 2048],
                "batch_size": 1,
                "channels": 512,
                "state_dim": 16,
                "samples": 7,
                "compilers": [False, True],
            },
            minutes=2,
            scale="reduced",
            reduces="A CPU for an A100, 512 channels for 1024, 2,048 steps at most.",
        ),
        "paper": Preset(
            settings={
                "lengths": [2048, 8192, 32768],
                "batch_size": 1,
                "channels": 1024,
                "state_dim": 16,
                "samples": 15,
                "compilers": [False, True],
            },
            minutes=10,
            scale="paper",
        ),
    },
    seeds=(0,),
    metrics=("ratio", "first_ratio"),
)

PAPER = Paper(
    name="mamba",
    title="Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
    authors="Albert Gu, Tri Dao",
    year=2023,
    venue="COLM 2024",
    url="https://arxiv.org/abs/2312.00752",
    layers=(
        LayerCase(
            name="mamba",
            factory="papers.mamba:Mamba",
            config={"units": 4, "state_dim": 3},
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            benchmark={"units": 256, "state_dim": 16, "input_dim": 256},
        ),
    ),
    experiments=(SCAN_SPEED,),
    default_experiment="scan_speed",
)
