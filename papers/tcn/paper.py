"""Temporal convolutional networks: what it declares. A tuple is for smoke, cpu and paper."""

from common.declarations import DEFAULT, training
from common.reproduce.declare.spec import Claim, Experiment, LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_most, within_relative

_METRICS = ("nll", "validation_nll", "parameters", "epoch")

JSB = training(
    name="jsb",
    description="The next chord of chorales by Bach, 88 keys at once",
    trial="papers.tcn.experiments:music",
    # Tables 2 and 3; of the GRU and the RNN, which these leave out, the 300K parameters of table 1.
    variants={
        "tcn": {
            "network": {
                "kind": "tcn", "units": 150, "num_layers": 2, "kernel_size": 3, "dropout": 0.5
            },
            "clip": 0.4,
        },
        "lstm": {
            "network": {
                "kind": "lstm", "units": 200, "num_layers": 2, "dropout": 0.2, "forget_bias": 10.0
            },
            "clip": 1.0,
        },
        "gru": {
            "network": {"kind": "gru", "units": 163, "num_layers": 2, "dropout": 0.2},
            "clip": 1.0,
        },
        "rnn": {
            "network": {"kind": "rnn", "units": 288, "num_layers": 2, "dropout": 0.2},
            "clip": 1.0,
        },
    },
    settings={
        "dataset": "JSBChorales",
        "learning_rate": 2e-3,
        "epochs": (1, 100, 100),
        "patience": (1, 10, 10),
        "narrowing": (20, 1, 1),
        "songs": (2, DEFAULT, DEFAULT),
        "crop": (16, DEFAULT, DEFAULT),
    },
    minutes=(0.2, 5, 5),
    metrics=_METRICS,
    # Every key on its own with its frequency in training.
    untrained={"nll": 11.09},
)  # fmt: skip

NOTTINGHAM = training(
    name="nottingham",
    description="The next notes of folk tunes, 88 keys at once",
    trial="papers.tcn.experiments:music",
    # Likewise, with the 1M parameters of table 1.
    variants={
        "tcn": {
            "network": {
                "kind": "tcn", "units": 150, "num_layers": 4, "kernel_size": 6, "dropout": 0.2
            },
            "learning_rate": 2e-3,
            "clip": 0.4,
        },
        "lstm": {
            "network": {"kind": "lstm", "units": 500, "num_layers": 1, "dropout": 0.1},
            "learning_rate": 4e-3,
            "clip": 1.0,
        },
        "gru": {
            "network": {"kind": "gru", "units": 520, "num_layers": 1, "dropout": 0.1},
            "learning_rate": 4e-3,
            "clip": 1.0,
        },
        "rnn": {
            "network": {"kind": "rnn", "units": 914, "num_layers": 1, "dropout": 0.1},
            "learning_rate": 4e-3,
            "clip": 1.0,
        },
    },
    settings={
        "dataset": "Nottingham",
        "epochs": (1, 15, 100),
        "patience": (1, 10, 10),
        "narrowing": (20, 2, DEFAULT),
        "songs": (2, DEFAULT, DEFAULT),
        "crop": (16, 128, DEFAULT),
    },
    minutes=(0.2, 5, 240),
    reduces="Half the width, 15 epochs for 100, 128 steps of a song an update.",
    metrics=_METRICS,
    untrained={"nll": 10.26},
)  # fmt: skip

PAPER = Paper(
    name="tcn",
    title="An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence "
    "Modeling",
    authors="Shaojie Bai, J. Zico Kolter, Vladlen Koltun",
    year=2018,
    venue="arXiv",
    url="https://arxiv.org/abs/1803.01271",
    experiments=(JSB, NOTTINGHAM),
)
