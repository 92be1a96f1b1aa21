"""Gated linear attention: what it declares."""

from common.reproduce.spec import Experiment, LayerCase, Paper, Preset

PARAMETERS = Experiment(
    name="parameters",
    description="Parameters of the language models",
    trial="papers.mamba2.experiments:parameters",
    variants={"340M": {"size": "340M"}, "1.3B": {"size": "1.3B"}},
    presets={
        name: Preset(settings={}, minutes=0.2, scale="paper") for name in ("smoke", "cpu", "paper")
    },
    seeds=(0,),
    metrics=("millions",),
)
PAPER = Paper(
    name="mamba2",
    title="Gated Linear Attention Transformers with Hardware-Efficient Training",
    authors="Songlin Yang, Bailin Wang, Yikang Shen, Rameswar Panda, Yoon Kim",
    year=2023,
    venue="ICML 2024",
    url="https://arxiv.org/abs/2312.06635",
    layers=(
        LayerCase(
            name="mamba2",
            factory="papers.mamba2:Mamba2",
            config={"units": 4, "state_dim": 3, "head_dim": 4, "chunk_size": 16},
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
        ),
    ),
    experiments=(PARAMETERS,),
    default_experiment="parameters",
)
