"""Were RNNs all we needed?: what it declares. A tuple in settings is for smoke, cpu and paper."""

from common.declarations import DEFAULT, experiment, timing, training
from common.reproduce.declare.spec import LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_least, within_absolute, within_relative

_CELLS = ("mingru", "minlstm")

SELECTIVE_COPYING = training(
    name="selective_copying",
    description="Selective copying with 1, 2 and 3 layers",
    trial="papers.min_rnn.experiments:selective_copying",
    variants={
        f"{cell}-layers{layers}": {"cell": cell, "num_layers": layers}
        for cell in _CELLS
        for layers in (1, 2, 3)
    },
    settings={
        "length": (12, 32, 4096),
        "num_tokens": (2, 4, 16),
        "units": (8, 64, 64),
        "expansion": (2, 2, 6),
        "batch_size": (8, 32, 64),
        "learning_rate": (3e-3, 3e-3, 3e-4),
        "steps": (10, 4000, 400_000),
        "validation_size": (16, 512, 12_800),
        "test_size": (16, 2048, 12_800),
    },
    minutes=(0.3, 1.5, 60_000),
    reduces="4 tokens in 32 for 16 in 4096, expansion 2 for 6, batch 32 for 64, 4,000 updates at "
    "3e-3 for 400,000 at 3e-4.",
    smoke_variants=("mingru-layers1", "minlstm-layers2"),
    metrics=("accuracy", "sequence_accuracy"),
    # One of 14 data tokens.
    untrained={"accuracy": 100 / 14, "sequence_accuracy": 0.0},
)

PARAMETERS = experiment(
    name="parameters",
    description="Parameters relative to GRU and LSTM at state expansions 1 to 4",
    trial="papers.min_rnn.experiments:parameters",
    variants={
        f"{cell}-expansion{expansion}": {"cell": cell, "expansion": expansion}
        for cell in _CELLS
        for expansion in (1, 2, 3, 4)
    },
    settings={"units": (8, 64, 64)},
    minutes=(0.1, 0.1, 0.1),
    kind="static",
    seeds=(0,),
    metrics=("fraction",),
)

TRAINING_TIME = timing(
    name="training_time",
    description="Training time of keras.layers.GRU and LSTM over minGRU's and minLSTM's",
    trial="papers.min_rnn.experiments:training_time",
    variants={cell: {"cell": cell} for cell in _CELLS},
    settings={
        "lengths": ([16, 32, 64], [64, 512, 4096], [64, 512, 4096]),
        "units": (8, 64, 64),
        "batch_size": (4, 8, 64),
        "samples": (3, 10, 30),
    },
    minutes=(0.2, 1.5, 5),
    reduces="A 2-core CPU for a T4 GPU, 8 sequences for 64; the baseline is a compiled loop.",
    metrics=("first_ratio", "middle_ratio", "last_ratio"),
)

SHAKESPEARE = training(
    name="shakespeare",
    description="The next character of tiny Shakespeare; needs its text",
    trial="papers.min_rnn.shakespeare:shakespeare",
    # Three blocks of width 384, as the paper has; the Transformer's positions are learned, as in
    # nanoGPT, on which its experiment stands.
    variants={
        "mingru": {"mixer": "papers.min_rnn:MinGRU", "mixer_settings": {}},
        "minlstm": {"mixer": "papers.min_rnn:MinLSTM", "mixer_settings": {"forget_bias": 3.0}},
        "mamba": {"mixer": "papers.mamba:Mamba", "mixer_settings": {}},
        "transformer": {
            "mixer": "common.layers:SoftmaxAttention",
            "mixer_settings": {"num_heads": 4, "window": 256},
            "max_positions": 256,
        },
    },
    settings={
        "units": (8, 128, 384),
        "num_layers": (1, 3, 3),
        "hidden_units": (16, 512, 1536),
        "dropout": (0.0, 0.0, 0.2),
        "length": (16, 128, 256),
        "batch_size": (4, 32, 64),
        "learning_rate": 1e-3,
        "steps": (4, 3000, 5000),
        "eval_every": (2, 250, 250),
        "eval_size": (8, DEFAULT, DEFAULT),
    },
    minutes=(0.3, 15, 180),
    reduces="Width 128 for 384, windows of 128 for 256, batch 32 for 64, 3,000 updates for 5,000, "
    "no dropout for 0.2.",
    paper_reduces="Blocks of the layer and an MLP, without the convolution of the authors' code.",
    smoke_variants=("mingru",),
    metrics=("loss", "validation_loss", "updates"),
    # The entropy of the characters by themselves.
    untrained={"loss": 3.3},
)
# A layer as it is timed there.
_SPEED_SIZE = {"units": 64, "input_dim": 64}

_A_POINT = "A point below the paper's at most; above it is no failure, at this size."

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
            config=dict(units=5, learned_initial_state=True),
            input_dim=3,
            forms=("chunkwise", "parallel", "recurrent"),
            benchmark=_SPEED_SIZE,
        ),
        LayerCase(
            name="minlstm",
            factory="papers.min_rnn:MinLSTM",
            config=dict(units=5, positive=False, forget_bias=3.0),
            input_dim=3,
            forms=("chunkwise", "recurrent"),
            benchmark=_SPEED_SIZE,
        ),
    ),
    experiments=(SELECTIVE_COPYING, SHAKESPEARE, PARAMETERS, TRAINING_TIME),
    claims=(
        *SELECTIVE_COPYING.numbers(
            {"selective-copying-mingru": Quantity("mingru-layers3", "accuracy")},
            mean=at_least(98.5),
            reason=_A_POINT,
        ),
        *SELECTIVE_COPYING.numbers(
            {"selective-copying-minlstm": Quantity("minlstm-layers3", "accuracy")},
            mean=at_least(95.0),
            reason=_A_POINT,
        ),
        *SHAKESPEARE.numbers(
            {f"shakespeare-{name}": Quantity(name, "loss") for name in SHAKESPEARE.variants},
            mean=within_absolute(0.1),
            reason="One run, tested on twice as much text; the four of the paper lie within 0.03.",
        ),
        *PARAMETERS.counts(
            {
                f"parameters-{cell}-expansion{n}": Quantity(f"{cell}-expansion{n}", "fraction")
                for cell in _CELLS
                for n in (1, 4)
            },
            mean=within_absolute(0.005),
            reason="The paper prints whole percents.",
        ),
        *TRAINING_TIME.numbers(
            {
                f"speed-{cell}-t{length}": Quantity(cell, metric)
                for cell in _CELLS
                for length, metric in ((512, "middle_ratio"), (4096, "last_ratio"))
            },
            mean=within_relative(0.5),
            reason="A ratio of two implementations on other hardware: within a half.",
        ),
        *TRAINING_TIME.orderings(
            {
                f"speed-{cell}-growth": Quantity(cell, "last_ratio").over(metric="middle_ratio")
                for cell in _CELLS
            },
            mean=at_least(1.0),
            reason="Growth is a quotient above 1; how much depends on the hardware.",
        ),
    ),
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
        "the updates that character-level Shakespeare takes (Figure 2)",
        "offline reinforcement learning on D4RL (section 4)",
        "Long Range Arena and formal languages (appendix)",
    ),
)
