"""What a paper declares: citation, layer cases, experiments and claims. Standard library only.

A `papers/<name>/paper.py` holds one `PAPER = Paper(...)` and imports nothing but this module,
`tolerances` and `common.declarations`, so that the ledger, `--help` and `--list` answer at once.
Python imports `papers/<name>/__init__.py` before any submodule, so for the same reason it exports
its layers lazily (`lazy_exports`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from common.reproduce.declare.require import (
    require,
    require_match,
    require_name,
    require_number,
    require_one_of,
    require_settings,
    require_target,
    require_tuple,
    require_type,
    require_unique,
)
from common.reproduce.declare.tolerances import Acceptance

Settings = Mapping[str, Any]

PRESETS = ("smoke", "cpu", "paper")
AGGREGATES = ("mean", "median", "each", "best")
CLAIM_KINDS = ("number", "ordering", "static")
EXPERIMENT_KINDS = ("training", "timing", "static")
TIMING_SEEDS = (0, 1, 2, 3, 4)
FORMS = ("parallel", "chunkwise", "recurrent")

_PACKAGE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class LayerCase:
    """A layer as the contract suite and the benchmarks build it.

    Args:
        name: unique within the paper.
        factory: `"papers.lmu:LMU"`, imported when the case is built.
        config: constructor keyword arguments.
        input_dim: width D of the input (B, T, D).
        forms: the forms to test and to time, of "parallel", "chunkwise", "recurrent".
        benchmark: constructor arguments, and `input_dim`, that the benchmarks put in place of
            those above, which are tiny: the paper's size, or a realistic one.
    """

    name: str
    factory: str
    config: Settings
    input_dim: int
    forms: tuple[str, ...]
    benchmark: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name("LayerCase.name", self.name)
        require_target("LayerCase.factory", self.factory)
        require_settings("LayerCase.config", self.config)
        valid = isinstance(self.input_dim, int) and self.input_dim > 0
        require(valid, "LayerCase.input_dim", self.input_dim, "a positive integer")
        expected = f"a non-empty tuple of {FORMS}"
        require_tuple("LayerCase.forms", self.forms, expected)
        require(set(self.forms) <= set(FORMS), "LayerCase.forms", self.forms, expected)
        require_settings("LayerCase.benchmark", self.benchmark)

    def at_benchmark_size(self) -> "LayerCase":
        """The case with the arguments of `benchmark` in place of its own."""
        arguments = dict(self.benchmark)
        input_dim = arguments.pop("input_dim", self.input_dim)
        config = {**self.config, **arguments}
        return replace(self, config=config, input_dim=input_dim, benchmark={})


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One size of an experiment.

    Args:
        settings: keyword arguments of the trial; a variant's settings override them.
        minutes: expected minutes for one (variant, seed) on 2 cores ("paper": on the paper's kind
            of hardware).
        scale: "paper" if the settings are the paper's, or depart from them only in ways that
            cannot help the result; otherwise "reduced".
        reduces: at reduced scale, one sentence saying what is reduced.
        variants: the variants run at this size; None means all.
        cpus: cores that a run takes on a cluster.
        gpus: accelerators that it takes there; None means one, where the cluster has any.
        memory_gib: main memory that it takes there, in GiB.
    """

    settings: Settings
    minutes: float
    scale: Literal["paper", "reduced"]
    reduces: str = ""
    variants: tuple[str, ...] | None = None
    cpus: int = 2
    gpus: int | None = None
    memory_gib: float = 2.0

    def __post_init__(self) -> None:
        require_settings("Preset.settings", self.settings)
        require_number("Preset.minutes", self.minutes)
        require(self.minutes > 0, "Preset.minutes", self.minutes, "a positive number")
        valid = isinstance(self.cpus, int) and self.cpus > 0
        require(valid, "Preset.cpus", self.cpus, "a positive integer")
        valid = self.gpus is None or (isinstance(self.gpus, int) and self.gpus >= 0)
        require(valid, "Preset.gpus", self.gpus, "None or an integer >= 0")
        require_number("Preset.memory_gib", self.memory_gib)
        require(self.memory_gib > 0, "Preset.memory_gib", self.memory_gib, "a positive number")
        require(self.scale in ("paper", "reduced"), "Preset.scale", self.scale, "paper or reduced")
        if self.scale == "paper":
            require(not self.reduces, "Preset.reduces", self.reduces, "'' at paper scale")
        else:
            said = self.reduces.strip()
            require(said != "", "Preset.reduces", self.reduces, "what is reduced, one sentence")
        if self.variants is not None:
            require_tuple("Preset.variants", self.variants, "None or a non-empty tuple")

    @classmethod
    def smoke(
        cls, settings: Settings, minutes: float = 0.3, variants: tuple[str, ...] | None = None
    ) -> "Preset":
        """A preset of seconds, whose numbers mean nothing.

        Args:
            settings: keyword arguments of the trial.
            minutes: expected minutes for one (variant, seed).
            variants: the variants that show it; None means all.

        Returns:
            The preset.
        """
        return cls(
            settings=settings,
            minutes=minutes,
            scale="reduced",
            reduces="Shows that the code runs.",
            variants=variants,
        )


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A trial function, the variants it compares and the sizes it runs at.

    Args:
        name: unique within the paper.
        description: one line for `--list`.
        trial: `"papers.lmu.experiments:capacity"`, a function `(run, **settings) -> metrics`.
        variants: variant name to the settings that make it.
        presets: exactly the presets "smoke" (seconds), "cpu" (minutes) and "paper".
        kind: "training"; "timing", where a seed is a process of its own; or "static", where nothing
            is trained or timed.
        seeds: the seeds a full result takes, of a timing always `TIMING_SEEDS`. The smoke preset
            takes the first only.
        metrics: names of the values the trial returns, the main one first.
        untrained: metric to the value that a guessing, untrained model gets: an accuracy's chance,
            a loss of guessing, the budget of updates. A value may be NaN, "never".
        recorded_as: setting to the name that it has in recorded runs, where that is another. The
            fingerprint is of the recorded names, so that these runs stay the experiment's own.
    """

    name: str
    description: str
    trial: str
    variants: Mapping[str, Settings]
    presets: Mapping[str, Preset]
    kind: Literal["training", "timing", "static"]
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...]
    untrained: Mapping[str, float] = field(default_factory=dict)
    recorded_as: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name("Experiment.name", self.name)
        where = f"Experiment {self.name!r}:"
        require_target(f"{where} trial", self.trial)
        require(len(self.variants) > 0, f"{where} variants", self.variants, "at least one")
        for name, settings in self.variants.items():
            require_name(f"{where} variant", name)
            require_settings(f"{where} settings of variant {name!r}", settings)
        names = tuple(self.presets)
        require(set(names) == set(PRESETS), f"{where} presets", names, f"exactly {PRESETS}")
        for name, preset in self.presets.items():
            chosen = preset.variants or ()
            valid = set(chosen) <= set(self.variants)
            allowed = f"some of {tuple(self.variants)}"
            require(valid, f"{where} variants of preset {name!r}", chosen, allowed)
        expected = "a non-empty tuple of integers >= 0"
        require_tuple(f"{where} seeds", self.seeds, expected)
        valid = all(isinstance(seed, int) and seed >= 0 for seed in self.seeds)
        require(valid, f"{where} seeds", self.seeds, expected)
        require_unique(f"{where} seeds", self.seeds)
        require_tuple(f"{where} metrics", self.metrics, "a non-empty tuple of names")
        for metric in self.metrics:
            require_name(f"{where} metric", metric)
        require_unique(f"{where} metrics", self.metrics)
        require_one_of(f"{where} kind", self.kind, EXPERIMENT_KINDS)
        if self.kind == "timing":
            require(
                self.seeds == TIMING_SEEDS,
                f"{where} seeds",
                self.seeds,
                f"{TIMING_SEEDS}, a process each, of a timing",
            )
        valid = isinstance(self.untrained, Mapping) and set(self.untrained) <= set(self.metrics)
        allowed = f"a mapping from some of {self.metrics} to numbers"
        require(valid, f"{where} untrained", self.untrained, allowed)
        for metric, value in self.untrained.items():
            valid = isinstance(value, int | float) and not isinstance(value, bool)
            require(valid, f"{where} untrained {metric!r}", value, "a number")
        if self.untrained:
            trains = self.kind == "training"
            require(trains, f"{where} untrained", self.untrained, "none where nothing is trained")
        require_settings(f"{where} recorded_as", self.recorded_as)
        require_unique(f"{where} recorded_as", self.recorded_as.values())

    def preset_variants(self, preset: str) -> tuple[str, ...]:
        """Names of the variants that run at `preset`."""
        return self.presets[preset].variants or tuple(self.variants)

    def preset_seeds(self, preset: str) -> tuple[int, ...]:
        """The default seeds at `preset`: one for smoke, else all."""
        return self.seeds[:1] if preset == "smoke" else self.seeds

    def settings(self, preset: str, variant: str) -> dict[str, Any]:
        """Keyword arguments of the trial: the preset's settings, overridden by the variant's."""
        return {**self.presets[preset].settings, **self.variants[variant]}

    def fingerprint(self, preset: str, variant: str) -> str:
        """Twelve hex digits naming the trial and its settings; results of others never mix."""
        settings = _renamed(self.settings(preset, variant), self.recorded_as)
        content = {"trial": self.trial, "settings": settings}
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def numbers(self, quantities: "Quantities", **shared: Any) -> "tuple[Claim, ...]":
        """Claims on numbers that the paper gives: `claims` of this kind."""
        return self.claims(quantities, kind="number", **shared)

    def orderings(self, quantities: "Quantities", **shared: Any) -> "tuple[Claim, ...]":
        """Claims on orders and thresholds that the paper states: `claims` of this kind."""
        return self.claims(quantities, kind="ordering", **shared)

    def counts(self, quantities: "Quantities", **shared: Any) -> "tuple[Claim, ...]":
        """Claims on counts and shapes: `claims` of the kind "static"."""
        return self.claims(quantities, kind="static", **shared)

    def claims(
        self,
        quantities: "Quantities",
        *,
        kind: Literal["number", "ordering", "static"],
        reason: str,
        controls: tuple[str, ...] = (),
        **accept: "Acceptance",
    ) -> "tuple[Claim, ...]":
        """Claims on what this experiment measures that differ in the quantity only.

        Args:
            quantities: id of a claim to its quantity, or to a ratio, `Quantity.over`.
            kind: as of `Claim`, as are reason and controls.
            reason: why this tolerance.
            controls: ids of claims that must hold.
            **accept: the tolerance, by the name of its aggregate: `mean=within_relative(0.1)`.

        Returns:
            The claims, in the order of `quantities`.

        Raises:
            ValueError: if there is not exactly one tolerance.
        """
        what = f"Experiment {self.name!r}: tolerances of {tuple(quantities)}"
        valid = len(accept) == 1 and set(accept) <= set(AGGREGATES)
        require(valid, what, accept, f"exactly one of {AGGREGATES}")
        shared: dict[str, Any] = {"kind": kind, "reason": reason, "controls": controls}
        ((shared["aggregate"], shared["accept"]),) = accept.items()
        sides = {
            id: (one, None) if isinstance(one, Quantity) else one for id, one in quantities.items()
        }
        return tuple(
            Claim(id=id, experiment=self.name, quantity=quantity, relative_to=other, **shared)
            for id, (quantity, other) in sides.items()
        )


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with other names of settings, in the settings that settings hold as well."""
    if not isinstance(value, Mapping):
        return value
    found = {names.get(key, key): _renamed(one, names) for key, one in value.items()}
    require(len(found) == len(value), "recorded_as", names, "no name of another setting")
    return found


@dataclass(frozen=True)
class Quantity:
    """A metric of a variant, e.g. `Quantity("T=100", "mse")`."""

    variant: str
    metric: str

    def over(self, variant: str | None = None, metric: str | None = None) -> "Ratio":
        """The ratio to another variant, or to another metric, what is not given staying as it is.

        Returns:
            This quantity and the one that it is relative to.
        """
        return self, Quantity(variant or self.variant, metric or self.metric)


Ratio = tuple[Quantity, Quantity]
Quantities = Mapping[str, Quantity | Ratio]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper reports and what a measurement must be to agree with it.

    Args:
        id: a row of the paper's reported.csv.
        experiment: name of the experiment that measures it.
        quantity: what is measured.
        relative_to: if given, the claim is about the ratio quantity / relative_to.
        kind: "number" compares with a number that the paper gives; "ordering" is an order or a
            threshold that the paper states; "static" is a count or a shape.
        accept: the tolerance.
        aggregate: how the seeds become one: their "mean" or "median" (of a ratio, of both sides
            before the division); "each", every seed judged alone, for what is solved or not;
            "best", the best seed, where the paper reports the best of as many runs: the highest of
            `at_least`, the lowest of `at_most`, and of nothing else.
        controls: ids of claims of the same paper that must hold, at the same preset, for this one
            to mean anything: those that show that its models learned.
        reason: why this tolerance.
    """

    id: str
    experiment: str
    quantity: Quantity
    relative_to: Quantity | None = None
    kind: Literal["number", "ordering", "static"]
    accept: Acceptance
    aggregate: Literal["mean", "median", "each", "best"] = "mean"
    controls: tuple[str, ...] = ()
    reason: str

    def __post_init__(self) -> None:
        require_name("Claim.id", self.id)
        where = f"Claim {self.id!r}:"
        require_type(f"{where} quantity", self.quantity, Quantity, "a Quantity")
        expected = "a Quantity or None"
        require_type(f"{where} relative_to", self.relative_to, Quantity | None, expected)
        require_one_of(f"{where} kind", self.kind, CLAIM_KINDS)
        require_one_of(f"{where} aggregate", self.aggregate, AGGREGATES)
        expected = "an Acceptance, e.g. within_relative(0.1)"
        require_type(f"{where} accept", self.accept, Acceptance, expected)
        if self.aggregate == "best":
            valid = self.accept.kind in ("at_least", "at_most") and self.relative_to is None
            expected = "at_least or at_most of one quantity, the best of which can be told"
            require(valid, f"{where} accept", self.accept, expected)
        expected = "a tuple of ids of claims"
        require_type(f"{where} controls", self.controls, tuple, expected)
        valid = all(isinstance(one, str) for one in self.controls)
        require(valid, f"{where} controls", self.controls, expected)
        require_unique(f"{where} controls", self.controls)
        require(bool(self.reason.strip()), f"{where} reason", self.reason, "why this tolerance")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What has to be measured: the quantity, and the one it is relative to."""
        return (self.quantity,) if self.relative_to is None else (self.quantity, self.relative_to)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper: the package `papers.<name>` and everything it declares.

    Args:
        name: the directory under `papers/`.
        title: full title.
        authors: as cited.
        year: of publication.
        venue: conference, journal or "arXiv".
        url: where the paper is.
        layers: cases for the contract suite and the benchmarks.
        experiments: at least one.
        claims: in the order of the verdict table.
        default_experiment: what `python -m papers.<name>` runs; the first one if not given.
        headline: the paper's main claim in one short line of our words.
        headline_claims: ids of the claims that stand for it; none means "not attempted".
        not_attempted: what else the paper makes much of and has no claim here, with its table or
            figure.
    """

    name: str
    title: str
    authors: str
    year: int
    venue: str
    url: str
    layers: tuple[LayerCase, ...] = ()
    experiments: tuple[Experiment, ...]
    claims: tuple[Claim, ...] = ()
    default_experiment: str = ""
    headline: str = ""
    headline_claims: tuple[str, ...] = ()
    not_attempted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_match(_PACKAGE, "Paper.name", self.name, "a package name in lower case")
        where = f"Paper {self.name!r}:"
        for name in ("layers", "experiments", "claims", "headline_claims", "not_attempted"):
            value = getattr(self, name)
            require(isinstance(value, tuple), f"{where} {name}", type(value).__name__, "a tuple")
        require_unique(f"{where} layers", (case.name for case in self.layers))
        require_unique(f"{where} experiments", (one.name for one in self.experiments))
        require_unique(f"{where} claims", (claim.id for claim in self.claims))
        if not self.default_experiment and self.experiments:
            object.__setattr__(self, "default_experiment", self.experiments[0].name)
        self.experiment(self.default_experiment)
        for claim in self.claims:
            experiment = self.experiment(claim.experiment)
            for quantity in claim.quantities:
                what = f"{where} claim {claim.id!r}:"
                require_one_of(f"{what} variant", quantity.variant, tuple(experiment.variants))
                require_one_of(f"{what} metric", quantity.metric, experiment.metrics)
        known = {claim.id for claim in self.claims}
        unknown = [one for one in self.headline_claims if one not in known]
        require(not unknown, f"{where} headline_claims", unknown, "ids of its claims")
        require_unique(f"{where} headline_claims", self.headline_claims)
        for claim in self.claims:
            what = f"{where} claim {claim.id!r}: controls"
            unknown = [one for one in claim.controls if one not in known]
            require(not unknown, what, unknown, "ids of claims of the paper")
            self.all_controls(claim)

    def claim(self, id: str) -> Claim:
        """The claim with this id, which must be there."""
        return next(claim for claim in self.claims if claim.id == id)

    def all_controls(self, claim: Claim) -> tuple[str, ...]:
        """Ids of the controls of `claim`, of theirs, and so on.

        Raises:
            ValueError: if the claim is a control of itself.
        """
        found: list[str] = []
        waiting = list(claim.controls)
        while waiting:
            one = waiting.pop()
            what = f"Paper {self.name!r}: controls of claim {claim.id!r}"
            require(one != claim.id, what, claim.controls, "none that comes back to it")
            if one not in found:
                found.append(one)
                waiting += self.claim(one).controls
        return tuple(found)

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`.

        Raises:
            ValueError: if there is none.
        """
        for experiment in self.experiments:
            if experiment.name == name:
                return experiment
        names = tuple(one.name for one in self.experiments)
        raise ValueError(f"Paper {self.name!r}: experiment is {name!r}, expected one of {names}.")
