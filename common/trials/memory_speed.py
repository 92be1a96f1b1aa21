"""The forms of a matrix memory at the heads of a paper's models. Data only."""

from collections.abc import Mapping

from common.reproduce.spec import Claim, Experiment, Preset, Quantity, Settings, at_least


def memory_speed(layer: str, sizes: Mapping[str, Settings], reduces: str) -> Experiment:
    """The experiment `memory_speed`: the recurrent form over the chunkwise one, at T = 4,096.

    The projections, which both forms have in common, are not timed.

    Args:
        layer: `"package.module:Class"` of a `SequenceLayer`.
        sizes: Name of a model to the arguments of its layer, `units` among them.
        reduces: What the cpu preset reduces.

    Returns:
        The experiment; its metrics are those of `common.trials.form_speed`.
    """
    return Experiment(
        name="memory_speed",
        description="Time of the recurrent form over the chunkwise one's, without projections",
        trial="common.trials.form_speed:form_speed",
        variants={
            name: {
                "layer": layer,
                "layer_settings": settings,
                "forms": ["chunkwise", "recurrent"],
                "projections": False,
                "batch_size": 1,
            }
            for name, settings in sizes.items()
        },
        presets={
            "smoke": Preset(
                settings={"lengths": [16, 64], "samples": 3},
                minutes=0.5,
                scale="reduced",
                reduces="Shows that the code runs.",
                variants=tuple(sizes)[:1],
            ),
            "cpu": Preset(
                settings={"lengths": [1024, 4096], "samples": 5},
                minutes=2,
                scale="reduced",
                reduces=reduces,
            ),
            "paper": Preset(
                settings={"lengths": [1024, 4096], "samples": 15},
                minutes=5,
                scale="reduced",
                reduces=reduces,
            ),
        },
        kind="timing",
        seeds=(0, 1, 2, 3, 4),
        metrics=(
            "chunkwise_speedup",
            "first_speedup",
            "chunkwise_milliseconds",
            "recurrent_milliseconds",
        ),
    )


def memory_speed_claims(experiment: Experiment) -> tuple[Claim, ...]:
    """The claims `speed-memory-<size>` of an experiment that `memory_speed` made.

    Args:
        experiment: The experiment.
    """
    return tuple(
        Claim(
            id=f"speed-memory-{size}",
            experiment=experiment.name,
            quantity=Quantity(size, "chunkwise_speedup"),
            kind="ordering",
            accept=at_least(),
            reason="The bar of speed-chunkwise, for what the forms do differently.",
        )
        for size in experiment.variants
    )
