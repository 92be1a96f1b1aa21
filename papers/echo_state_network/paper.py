"""Echo state networks: what it declares. A tuple in settings is for smoke, cpu and paper."""

from common.declarations import experiment
from common.reproduce.declare.spec import LayerCase, Paper, Quantity
from common.reproduce.declare.tolerances import at_most, within_relative

MEMORY_CAPACITY = experiment(
    name="memory_capacity",
    description="The past inputs that linear readouts find in the state, summed over delays",
    trial="papers.echo_state_network.experiments:memory_capacity",
    variants={
        "linear-orthogonal": {"activation": "linear", "matrix": "orthogonal"},
        "linear-gaussian": {"activation": "linear", "matrix": "gaussian"},
        "tanh-orthogonal": {"activation": "tanh", "matrix": "orthogonal"},
    },
    settings={
        "units": (10, 50, 100),
        "delays": (40, 250, 500),
        "steps": (1000, 20_000, 50_000),
        "washout": (100, 500, 1000),
        "spectral_radius": (0.9, 0.95, 0.97),
        "ridge": 1e-12,
    },
    minutes=(0.2, 0.5, 2),
    smoke_variants=("linear-orthogonal",),
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
        *MEMORY_CAPACITY.numbers(
            {
                f"capacity-linear-{matrix}": Quantity(f"linear-{matrix}", "capacity_per_unit")
                for matrix in ("orthogonal", "gaussian")
            },
            mean=within_relative(0.02),
            reason="A theorem; its estimate from a sequence has an error of a percent.",
        ),
        *MEMORY_CAPACITY.orderings(
            {"capacity-bound": Quantity("linear-orthogonal", "capacity_per_unit")},
            mean=at_most(),
            controls=("capacity-linear-orthogonal",),
            reason="A bound. It means something where the capacity comes near to it.",
        ),
    ),
    headline="A random recurrence of N units remembers N inputs at most, a linear one N",
    headline_claims=("capacity-linear-orthogonal", "capacity-bound"),
    not_attempted=(
        "forgetting curves of networks with sigmoid units, noise and slow units (the figures)",
        "the Mackey-Glass attractor (Jaeger and Haas 2004)",
    ),
)
