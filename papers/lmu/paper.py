"""Legendre memory units: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_most,
    within_absolute,
    within_relative,
)

_WINDOWS = (100, 1000, 10_000, 100_000)
_DELAYS = (0, 25, 50, 75, 100)

CAPACITY = Experiment(
    name="capacity",
    description="Delaying white noise by up to T steps with a linear hidden state, untrained",
    trial="papers.lmu.experiments:capacity",
    variants={f"T={window}": {"window": window} for window in _WINDOWS},
    presets={
        "smoke": Preset(
            settings={"order": 100, "signals": 10},
            minutes=0.2,
            scale="reduced",
            reduces="10 test signals for 100.",
            variants=("T=100", "T=1000"),
        ),
        "cpu": Preset(
            settings={"order": 100, "signals": 100},
            minutes=0.2,
            scale="paper",
            variants=("T=100", "T=1000", "T=10000"),
        ),
        "paper": Preset(settings={"order": 100, "signals": 100}, minutes=1, scale="paper"),
    },
    kind="static",
    seeds=(0, 1, 2, 3, 4),
    metrics=("highest_mse", "lowest_mse", *(f"mse_{percent}" for percent in _DELAYS)),
)

LSTM_CAPACITY = Experiment(
    name="lstm-capacity",
    description="The capacity task with a trained LSTM of 100 units, the paper's baseline",
    trial="papers.lmu.experiments:lstm_capacity",
    variants={f"T={window}": {"window": window} for window in (25, 100, 400, 1600)},
    presets={
        "smoke": Preset(
            settings={"units": 8, "signals": 20, "epochs": 2, "batch_size": 10},
            minutes=0.2,
            scale="reduced",
            reduces="Shows that the code runs.",
            variants=("T=25",),
        ),
        "cpu": Preset(
            settings={"units": 100, "signals": 100, "epochs": 500, "batch_size": 50},
            minutes=5,
            scale="paper",
            variants=("T=25", "T=100"),
        ),
        "paper": Preset(
            settings={"units": 100, "signals": 100, "epochs": 500, "batch_size": 50},
            minutes=90,
            scale="paper",
        ),
    },
    kind="training",
    metrics=("highest_mse", "lowest_mse", "mse"),
    # The signals' mean square over steps and delays, which a constant 0 leaves.
    untrained={"highest_mse": 0.14, "lowest_mse": 0.14},
)

_NETWORKS: dict[str, dict[str, list[str] | str]] = {
    "lstm": {"recurrent": ["lstm-25"] * 4, "output_activation": "tanh"},
    "lmu": {"recurrent": ["lmu-49"] * 4, "output_activation": "linear"},
    "hybrid": {"recurrent": ["lmu-40", "lstm-25"] * 2, "output_activation": "tanh"},
}

MACKEY_GLASS = Experiment(
    name="mackey-glass",
    description="Predicting a chaotic series 15 steps ahead: four layers of LSTM, LMU, or both",
    trial="papers.lmu.experiments:mackey_glass",
    variants=_NETWORKS,
    presets={
        "smoke": Preset(
            settings={"series": 8, "length": 60, "crop": 30, "updates": 4, "eval_every": 2},
            minutes=0.4,
            scale="reduced",
            reduces="Shows that the code runs.",
            variants=("hybrid",),
        ),
        "cpu": Preset(
            settings={
                "series": 128,
                "length": 5000,
                "crop": 400,
                "updates": 500,
                "eval_every": 25,
            },
            minutes=3,
            scale="reduced",
            reduces="An update is on 400 steps for 5,000; validated every 25 updates.",
        ),
        "paper": Preset(
            settings={
                "series": 128,
                "length": 5000,
                "crop": 5000,
                "updates": 500,
                "eval_every": 1,
            },
            minutes=60,
            scale="paper",
        ),
    },
    kind="training",
    metrics=("nrmse", "mse", "baseline_nrmse", "update_seconds"),
    # In percent, of a constant at the series' mean.
    untrained={"nrmse": 100.0},
)

SPEED = Experiment(
    name="speed",
    description="Seconds an epoch of Mackey-Glass, one update and one validation pass",
    trial="papers.lmu.experiments:speed",
    variants={"epoch": {"networks": _NETWORKS}},
    presets={
        "smoke": Preset(
            settings={"series": 8, "length": 20, "samples": 3},
            minutes=0.5,
            scale="reduced",
            reduces="Shows that the code runs.",
        ),
        "cpu": Preset(
            settings={"series": 128, "length": 500, "samples": 10},
            minutes=3,
            scale="reduced",
            reduces="Series of 500 steps for 5,000.",
        ),
        "paper": Preset(
            settings={"series": 128, "length": 5000, "samples": 10}, minutes=15, scale="paper"
        ),
    },
    kind="timing",
    seeds=(0, 1, 2, 3, 4),
    metrics=("lmu", "hybrid", "lstm"),
)

PSMNIST = Experiment(
    name="psmnist",
    description="Digits from their pixels in a fixed random order; needs MNIST",
    trial="papers.lmu.experiments:psmnist",
    variants={"lmu": {"units": 212, "order": 256}},
    presets={
        "smoke": Preset(
            settings={"steps": 2, "batch_size": 4, "examples": 8},
            minutes=1,
            scale="reduced",
            reduces="Shows that the code runs.",
        ),
        "cpu": Preset(
            settings={"steps": 500, "batch_size": 100, "examples": 1000},
            minutes=20,
            scale="reduced",
            reduces="One epoch for ten; 1,000 images to validate and to test for 10,000.",
        ),
        "paper": Preset(
            settings={"steps": 5000, "batch_size": 100, "examples": 10_000},
            minutes=180,
            scale="paper",
        ),
    },
    kind="training",
    metrics=("accuracy", "validation_accuracy"),
    untrained={"accuracy": 10.0},
)


def _capacity_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"capacity-lmu0-t{window}-{bound}",
            experiment="capacity",
            quantity=Quantity(f"T={window}", f"{bound}est_mse"),
            kind="number",
            accept=within_relative(0.25),
            reason="Read off a logarithmic axis to 5 to 10 %, and other noise than the authors'.",
        )
        for window in _WINDOWS
        for bound in ("low", "high")
    )


def _lstm_capacity_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            id=f"capacity-lstm-t{window}-{bound}",
            experiment="lstm-capacity",
            quantity=Quantity(f"T={window}", f"{bound}est_mse"),
            kind="number",
            accept=within_relative(0.5),
            reason="Read off a logarithmic axis to 5 to 10 %; one training run.",
        )
        for window in (25, 100)
        for bound in ("low", "high")
    )


def _mackey_glass_claims() -> tuple[Claim, ...]:
    nrmse = tuple(
        Claim(
            id=f"mackey-glass-{name}-nrmse",
            experiment="mackey-glass",
            quantity=Quantity(name, "nrmse"),
            kind="number",
            accept=within_relative(0.25),
            reason="One run without a seed; the notebook's two versions differ by up to 35 %.",
        )
        for name in _NETWORKS
    )
    ratios = tuple(
        Claim(
            id=f"mackey-glass-{name}-lstm-nrmse-ratio",
            experiment="mackey-glass",
            quantity=Quantity(name, "nrmse"),
            relative_to=Quantity("lstm", "nrmse"),
            kind="ordering",
            accept=at_most(0.95),
            controls=("mackey-glass-lstm-nrmse", f"mackey-glass-{name}-nrmse"),
            reason="The claim is that it beats the LSTM: by 5 % at least.",
        )
        for name in ("lmu", "hybrid")
    )
    seconds = tuple(
        Claim(
            id=f"mackey-glass-{name}-lstm-time-ratio",
            experiment="speed",
            quantity=Quantity("epoch", name),
            relative_to=Quantity("epoch", "lstm"),
            kind="ordering",
            accept=at_most(1.0),
            reason="The claim is that it is no slower; how much faster, the implementation says.",
        )
        for name in ("lmu", "hybrid")
    )
    return nrmse + ratios + seconds


PSMNIST_CLAIM = Claim(
    id="psmnist-accuracy",
    experiment="psmnist",
    quantity=Quantity("lmu", "accuracy"),
    kind="number",
    accept=within_absolute(0.5),
    reason="One seed in the notebook, and another permutation.",
)

PAPER = Paper(
    name="lmu",
    title="Legendre Memory Units: Continuous-Time Representation in Recurrent Neural Networks",
    authors="Aaron R. Voelker, Ivana Kajić, Chris Eliasmith",
    year=2019,
    venue="NeurIPS",
    url="https://papers.nips.cc/paper/9689-legendre-memory-units-continuous-time-representation-in-recurrent-neural-networks",
    layers=(
        LayerCase(
            name="lmu",
            factory="papers.lmu:LMU",
            config={"units": 5, "order": 4, "theta": 20.0, "use_bias": True},
            input_dim=3,
            forms=("recurrent",),
            # Permuted sequential MNIST: one pixel a step.
            benchmark={
                "units": 212,
                "order": 256,
                "theta": 784.0,
                "use_bias": False,
                "input_dim": 1,
            },
        ),
        LayerCase(
            name="memory",
            factory="papers.lmu:LegendreMemory",
            config={"order": 6, "theta": 10.0, "channels": 2},
            input_dim=2,
            forms=("parallel", "recurrent"),
            benchmark={"order": 256, "theta": 784.0, "channels": 1, "input_dim": 1},
        ),
    ),
    experiments=(CAPACITY, LSTM_CAPACITY, MACKEY_GLASS, SPEED, PSMNIST),
    claims=(
        *_capacity_claims(),
        *_lstm_capacity_claims(),
        *_mackey_glass_claims(),
        PSMNIST_CLAIM,
    ),
    default_experiment="capacity",
    headline="Remembers 100,000 steps; beats the LSTM on Mackey-Glass; 97.15 % of psMNIST",
    headline_claims=(
        "capacity-lmu0-t100000-low",
        "capacity-lmu0-t100000-high",
        "mackey-glass-lmu-lstm-nrmse-ratio",
        "mackey-glass-hybrid-lstm-nrmse-ratio",
        "psmnist-accuracy",
    ),
    not_attempted=(
        "the memory in spiking neurons (figures/poisson-performance.py)",
        "the phased LSTM on psMNIST (experiments/psMNIST-phased-lstm.ipynb)",
    ),
)
