"""Were RNNs all we needed?: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_least,
    within_absolute,
    within_relative,
)

_SMOKE = "Shows that the code runs."
_CELLS = ("mingru", "minlstm")
# As in `TRAINING_TIME`.
_SPEED_SIZE = {"units": 64, "input_dim": 64}

PARAMETERS = Experiment(
    name="parameters",
    description="Parameters relative to GRU and LSTM at state expansions 1 to 4",
    trial="papers.min_rnn.experiments:parameters",
    variants={
        f"{cell}-expansion{expansion}": {"cell": cell, "expansion": expansion}
        for cell in _CELLS
        for expansion in (1, 2, 3, 4)
    },
    presets={
        "smoke": Preset(settings={"units": 8}, minutes=0.1, scale="reduced", reduces=_SMOKE),
        "cpu": Preset(settings={"units": 64}, minutes=0.1, scale="paper"),
        "paper": Preset(settings={"units": 64}, minutes=0.1, scale="paper"),
    },
    kind="static",
    seeds=(0,),
    metrics=("fraction",),
)

TRAINING_TIME = Experiment(
    name="training_time",
    description="Training time of keras.layers.GRU and LSTM over minGRU's and minLSTM's",
    trial="papers.min_rnn.experiments:training_time",
    variants={cell: {"cell": cell} for cell in _CELLS},
    presets={
        "smoke": Preset(
            settings={"lengths": [16, 32, 64], "units": 8, "batch_size": 4, "samples": 3},
            minutes=0.2,
            scale="reduced",
            reduces=_SMOKE,
        ),
        "cpu": Preset(
            settings={
                "lengths": [64, 512, 4096],
                "units": 64,
                "batch_size": 8,
                "samples": 10,
            },
            minutes=1.5,
            scale="reduced",
            reduces="A 2-core CPU for a T4 GPU, 8 sequences for 64; the baseline is a compiled "
            "loop.",
        ),
        "paper": Preset(
            settings={
                "lengths": [64, 512, 4096],
                "units": 64,
                "batch_size": 64,
                "samples": 30,
            },
            minutes=5,
            scale="paper",
        ),
    },
    kind="timing",
    seeds=(0, 1, 2, 3, 4),
    metrics=("first_ratio", "middle_ratio", "last_ratio"),
)

SELECTIVE_COPYING = Experiment(
    name="selective_copying",
    description="Selective copying with 1, 2 and 3 layers",
    trial="papers.min_rnn.experiments:selective_copying",
    variants={
        f"{cell}-layers{layers}": {"cell": cell, "num_layers": layers}
        for cell in _CELLS
        for layers in (1, 2, 3)
    },
    presets={
        "smoke": Preset(
            settings={
                "length": 12,
                "num_tokens": 2,
                "units": 8,
                "expansion": 2,
                "batch_size": 8,
                "learning_rate": 3e-3,
                "steps": 10,
                "validation_size": 16,
                "test_size": 16,
            },
            minutes=0.3,
            scale="reduced",
            reduces=_SMOKE,
            variants=("mingru-layers1", "minlstm-layers2"),
        ),
        "cpu": Preset(
            settings={
                "length": 32,
                "num_tokens": 4,
                "units": 64,
                "expansion": 2,
                "batch_size": 32,
                "learning_rate": 3e-3,
                "steps": 4000,
                "validation_size": 512,
                "test_size": 2048,
            },
            minutes=1.5,
            scale="reduced",
            reduces="4 tokens in 32 for 16 in 4096, expansion 2 for 6, batch 32 for 64, 4,000 "
            "updates at 3e-3 for 400,000 at 3e-4.",
        ),
        "paper": Preset(
            settings={
                "length": 4096,
                "num_tokens": 16,
                "units": 64,
                "expansion": 6,
                "batch_size": 64,
                "learning_rate": 3e-4,
                "steps": 400_000,
                "validation_size": 12800,
                "test_size": 12800,
            },
            minutes=60_000,
            scale="paper",
        ),
    },
    kind="training",
    metrics=("accuracy", "sequence_accuracy"),
    # One of 14 data tokens.
    untrained={"accuracy": 100 / 14, "sequence_accuracy": 0.0},
)


def _copying_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"selective-copying-{cell}",
            experiment="selective_copying",
            quantity=Quantity(f"{cell}-layers3", "accuracy"),
            kind="number",
            accept=at_least(bound),
            reason="A point below the paper's at most; above it is no failure, at this size.",
        )
        for cell, bound in (("mingru", 98.5), ("minlstm", 95.0))
    )


def _parameter_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"parameters-{cell}-expansion{expansion}",
            experiment="parameters",
            quantity=Quantity(f"{cell}-expansion{expansion}", "fraction"),
            kind="static",
            accept=within_absolute(0.005),
            reason="The paper prints whole percents.",
        )
        for cell in _CELLS
        for expansion in (1, 4)
    )


def _time_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"speed-{cell}-t{length}",
            experiment="training_time",
            quantity=Quantity(cell, metric),
            kind="number",
            accept=within_relative(0.5),
            reason="A ratio of two implementations on other hardware: within a half.",
        )
        for cell in _CELLS
        for length, metric in ((512, "middle_ratio"), (4096, "last_ratio"))
    )


def _growth_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"speed-{cell}-growth",
            experiment="training_time",
            quantity=Quantity(cell, "last_ratio"),
            relative_to=Quantity(cell, "middle_ratio"),
            kind="ordering",
            accept=at_least(1.0),
            reason="Growth is a quotient above 1; how much depends on the hardware.",
        )
        for cell in _CELLS
    )


PAPER = Paper(
    name="min_rnn",
    title="Were RNNs All We Needed?",
    authors="Leo Feng, Frederick Tung, Mohamed Osama Ahmed, Yoshua Bengio, Hossein Hajimirsadeghi",
    year=2024,
    venue="arXiv",
    url="https://arxiv.org/abs/2410.01201v3",
    layers=(
        LayerCase(
            name="mingru",
            factory="papers.min_rnn:MinGRU",
            config={"units": 5, "learned_initial_state": True},
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
            benchmark=_SPEED_SIZE,
        ),
        LayerCase(
            name="minlstm",
            factory="papers.min_rnn:MinLSTM",
            config={"units": 5, "positive": False, "forget_bias": 3.0},
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            benchmark=_SPEED_SIZE,
        ),
    ),
    experiments=(SELECTIVE_COPYING, PARAMETERS, TRAINING_TIME),
    claims=(*_copying_claims(), *_parameter_claims(), *_time_claims(), *_growth_claims()),
    default_experiment="selective_copying",
    headline="Without the state in their gates GRU and LSTM train 175 to 1,361 times faster",
    headline_claims=(
        "selective-copying-mingru",
        "selective-copying-minlstm",
        "speed-mingru-t512",
        "speed-minlstm-t512",
        "speed-mingru-t4096",
        "speed-minlstm-t4096",
    ),
    not_attempted=(
        "selective copying with one layer and with two (section 4)",
        "as fast to train as Mamba (Figure 1, left)",
        "memory against GRU, LSTM and Mamba (Figure 1, right)",
        "character-level Shakespeare (section 4, language modelling)",
        "offline reinforcement learning on D4RL (section 4)",
        "Long Range Arena and formal languages (appendix)",
    ),
)
