"""Echo state networks: what it declares."""

from common.reproduce.spec import (
    Claim,
    Experiment,
    LayerCase,
    Paper,
    Preset,
    Quantity,
    at_most,
    within_relative,
)

MEMORY_CAPACITY = Experiment(
    name="memory_capacity",
    description="The past inputs that linear readouts find in the state, summed over delays",
    trial="papers.echo_state_network.experiments:memory_capacity",
    variants={
        "linear-orthogonal": {"activation": "linear", "matrix": "orthogonal"},
        "linear-gaussian": {"activation": "linear", "matrix": "gaussian"},
        "tanh-orthogonal": {"activation": "tanh", "matrix": "orthogonal"},
    },
    presets={
        "smoke": Preset(
            settings={
                "units": 10,
                "delays": 40,
                "steps": 1000,
                "washout": 100,
                "spectral_radius": 0.9,
                "ridge": 1e-12,
            },
            minutes=0.2,
            scale="paper",
            variants=("linear-orthogonal",),
        ),
        "cpu": Preset(
            settings={
                "units": 50,
                "delays": 250,
                "steps": 20_000,
                "washout": 500,
                "spectral_radius": 0.95,
                "ridge": 1e-12,
            },
            minutes=0.5,
            scale="paper",
        ),
        "paper": Preset(
            settings={
                "units": 100,
                "delays": 500,
                "steps": 50_000,
                "washout": 1000,
                "spectral_radius": 0.97,
                "ridge": 1e-12,
            },
            minutes=2,
            scale="paper",
        ),
    },
    kind="static",
    seeds=(0, 1, 2, 3, 4),
    metrics=("capacity_per_unit", "capacity"),
)

PAPER = Paper(
    name="echo_state_network",
    title="Short term memory in echo state networks",
    authors="Herbert Jaeger",
    year=2001,
    venue="GMD Report 152",
    url="https://www.ai.rug.nl/minds/uploads/STMEchoStatesTechRep.pdf",
    layers=(
        LayerCase(
            name="reservoir",
            factory="papers.echo_state_network:Reservoir",
            config={"units": 5, "leak_rate": 0.7},
            input_dim=3,
            forms=("recurrent",),
            benchmark={"units": 256, "input_dim": 256},
        ),
    ),
    experiments=(MEMORY_CAPACITY,),
    claims=(
        *(
            Claim(
                id=f"capacity-linear-{matrix}",
                experiment="memory_capacity",
                quantity=Quantity(f"linear-{matrix}", "capacity_per_unit"),
                kind="number",
                accept=within_relative(0.02),
                reason="A theorem; its estimate from a sequence has an error of a percent.",
            )
            for matrix in ("orthogonal", "gaussian")
        ),
        Claim(
            id="capacity-bound",
            experiment="memory_capacity",
            quantity=Quantity("linear-orthogonal", "capacity_per_unit"),
            kind="ordering",
            accept=at_most(),
            controls=("capacity-linear-orthogonal",),
            reason="A bound. It means something where the capacity comes near to it.",
        ),
    ),
    default_experiment="memory_capacity",
    headline="A random recurrence of N units remembers N inputs at most, a linear one N",
    headline_claims=("capacity-linear-orthogonal", "capacity-bound"),
    not_attempted=(
        "forgetting curves of networks with sigmoid units, noise and slow units (the figures)",
        "the Mackey-Glass attractor (Jaeger and Haas 2004)",
    ),
)
