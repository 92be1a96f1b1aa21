"""Parameters of the models that a paper names by their number. Data only."""

from collections.abc import Iterable, Mapping

from common.reproduce.declare.spec import Claim, Experiment, Preset, Quantity
from common.reproduce.declare.tolerances import Acceptance


def parameters(
    trial: str,
    description: str,
    sizes: Iterable[str] | Mapping[str, str],
    metric: str = "millions",
    minutes: float = 0.2,
    smoke_variants: tuple[str, ...] | None = None,
) -> Experiment:
    """The experiment `parameters`: nothing is trained, and each size is a variant.

    Args:
        trial: As of `Experiment`; its one setting is `size`.
        description: As of `Experiment`.
        sizes: Names of the sizes; or of the variants, each to its size.
        metric: What the trial returns.
        minutes: Of one size.
        smoke_variants: The variants at smoke; `None` means all.

    Returns:
        The experiment.
    """
    named = sizes if isinstance(sizes, Mapping) else {size: size for size in sizes}
    whole = Preset(settings={}, minutes=minutes, scale="paper")
    smoke = Preset(settings={}, minutes=minutes, scale="paper", variants=smoke_variants)
    return Experiment(
        name="parameters",
        description=description,
        trial=trial,
        variants={name: {"size": size} for name, size in named.items()},
        presets={"smoke": smoke, "cpu": whole, "paper": whole},
        kind="static",
        seeds=(0,),
        metrics=(metric,),
    )


def parameter_claims(experiment: Experiment, accept: Acceptance, reason: str) -> tuple[Claim, ...]:
    """The claims `parameters-<variant>`, one for each variant of `experiment`.

    Args:
        experiment: As `parameters` makes it.
        accept: The tolerance.
        reason: Why this tolerance.

    Returns:
        The claims, in the order of the variants.
    """
    (metric,) = experiment.metrics
    quantities = {f"parameters-{name}": Quantity(name, metric) for name in experiment.variants}
    return experiment.counts(quantities, mean=accept, reason=reason)
