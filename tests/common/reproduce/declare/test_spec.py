import dataclasses
import math

import pytest

from common.reproduce.declare.spec import Claim, Experiment, LayerCase, Paper, Preset, Quantity
from common.reproduce.declare.tolerances import at_most, within_absolute


def preset(**changes):
    values = {"settings": {"steps": 1}, "minutes": 1.0, "scale": "paper"}
    return Preset(**{**values, **changes})


def experiment(**changes):
    values = {
        "name": "fit",
        "description": "Fits.",
        "trial": "papers.tiny.experiments:fit",
        "variants": {"a": {"width": 1}, "b": {"width": 2, "steps": 7}},
        "presets": {
            "smoke": preset(scale="reduced", reduces="Less."),
            "cpu": preset(variants=("b",)),
            "paper": preset(),
        },
        "kind": "training",
        "metrics": ("mse", "mae"),
        "untrained": {"mse": 99.0, "mae": 99.0}
        if changes.get("kind") in (None, "training")
        else {},
    }
    return Experiment(**{**values, **changes})


def claim(**changes):
    values = {
        "id": "one",
        "experiment": "fit",
        "quantity": Quantity("a", "mse"),
        "kind": "number",
        "accept": at_most(),
        "reason": "A test.",
    }
    return Claim(**{**values, **changes})


def paper(**changes):
    values = {
        "name": "tiny",
        "title": "T",
        "authors": "A",
        "year": 2026,
        "venue": "V",
        "url": "U",
        "experiments": (experiment(),),
        "claims": (claim(),),
        "default_experiment": "fit",
        "headline": "It fits.",
    }
    return Paper(**{**values, **changes})


def layer_case(**changes):
    values = {
        "name": "lmu",
        "factory": "papers.lmu:LMU",
        "config": {"units": 3},
        "input_dim": 2,
        "forms": ("parallel", "recurrent"),
    }
    return LayerCase(**{**values, **changes})


def test_settings_of_a_variant_override_those_of_the_preset():
    assert experiment().settings("cpu", "a") == {"steps": 1, "width": 1}
    assert experiment().settings("cpu", "b") == {"steps": 7, "width": 2}


def test_fingerprint_follows_the_settings_and_the_trial_only():
    base = experiment().fingerprint("cpu", "a")
    assert len(base) == 12
    assert experiment(description="Other.", seeds=(5,)).fingerprint("cpu", "a") == base
    assert experiment().fingerprint("cpu", "b") != base
    assert experiment(trial="papers.tiny.experiments:other").fingerprint("cpu", "a") != base
    assert experiment(variants={"a": {"width": 3}, "b": {}}).fingerprint("cpu", "a") != base


def test_the_fingerprint_has_the_names_that_were_recorded():
    then = {"a": {"depth": 1, "model_settings": {"depth": 2, "units": 3}}}
    now = {"a": {"num_layers": 1, "model_settings": {"num_layers": 2, "units": 3}}}
    sizes = {name: preset() for name in ("smoke", "cpu", "paper")}
    old = experiment(variants=then, presets=sizes)
    new = experiment(variants=now, presets=sizes, recorded_as={"num_layers": "depth"})
    assert new.fingerprint("cpu", "a") == old.fingerprint("cpu", "a")
    other = experiment(variants=now, presets=sizes)
    assert other.fingerprint("cpu", "a") != old.fingerprint("cpu", "a")
    assert new.settings("cpu", "a") == {"steps": 1, **now["a"]}


def test_a_recorded_name_is_that_of_no_other_setting():
    both = {"a": {"depth": 1, "num_layers": 1}, "b": {}}
    one = experiment(variants=both, recorded_as={"num_layers": "depth"})
    with pytest.raises(ValueError, match="recorded_as is .*depth"):
        one.fingerprint("paper", "a")


def test_preset_selects_variants_and_seeds():
    one = experiment(seeds=(3, 4))
    assert one.preset_variants("cpu") == ("b",)
    assert one.preset_variants("paper") == ("a", "b")
    assert one.preset_seeds("smoke") == (3,)
    assert one.preset_seeds("cpu") == (3, 4)


@pytest.mark.parametrize(
    "make, changes, message",
    [
        (layer_case, {"name": "a/b"}, "LayerCase.name is 'a/b'"),
        (layer_case, {"factory": "papers.lmu.LMU"}, "factory is 'papers.lmu.LMU'"),
        (layer_case, {"config": {"units": object()}}, "expected JSON values"),
        (layer_case, {"input_dim": 0}, "input_dim is 0"),
        (layer_case, {"forms": ("fast",)}, "forms is"),
        (preset, {"minutes": math.nan}, "minutes is nan"),
        (preset, {"scale": "tiny"}, "scale is 'tiny'"),
        (preset, {"scale": "reduced"}, "reduces is ''"),
        (preset, {"reduces": "Less."}, "reduces is 'Less.'"),
        (preset, {"settings": {"a b": 1}}, "keys are argument names"),
        (preset, {"variants": ()}, "variants is"),
        (experiment, {"name": ""}, "name is ''"),
        (experiment, {"trial": "nowhere"}, "trial is 'nowhere'"),
        (experiment, {"variants": {}}, "variants is"),
        (experiment, {"presets": {"cpu": preset()}}, "exactly"),
        (experiment, {"variants": {"a": {}}}, "variants of preset 'cpu'"),
        (experiment, {"seeds": ()}, "seeds is"),
        (experiment, {"seeds": (1, 1)}, "each name once"),
        (experiment, {"metrics": ()}, "metrics is"),
        (experiment, {"kind": "speed"}, "kind is 'speed'"),
        (experiment, {"kind": "timing"}, r"seeds is \(0, 1, 2\), expected \(0, 1, 2, 3, 4\)"),
        (experiment, {"untrained": {"acc": 0.1}}, "untrained is"),
        (experiment, {"untrained": {"mse": "0"}}, "untrained 'mse' is '0'"),
        (experiment, {"kind": "static", "untrained": {"mse": 1.0}}, "untrained is"),
        (claim, {"accept": 0.1}, "accept is 0.1"),
        (claim, {"aggregate": "sum"}, "aggregate is 'sum'"),
        (claim, {"aggregate": "best", "accept": within_absolute(1.0)}, "accept is"),
        (claim, {"aggregate": "best", "relative_to": Quantity("b", "mse")}, "accept is"),
        (claim, {"kind": "exact"}, "kind is 'exact'"),
        (claim, {"controls": "one"}, "controls is 'one'"),
        (claim, {"reason": " "}, "reason is"),
        (claim, {"quantity": ("a", "mse")}, "quantity is"),
        (paper, {"name": "Tiny-Paper"}, "Paper.name is"),
        (paper, {"default_experiment": "fti"}, "experiment is 'fti', expected one of"),
        (paper, {"claims": (claim(experiment="other"),)}, "experiment is 'other'"),
        (paper, {"claims": (claim(quantity=Quantity("c", "mse")),)}, "variant is 'c'"),
        (paper, {"claims": (claim(relative_to=Quantity("a", "x")),)}, "metric is 'x'"),
        (paper, {"claims": (claim(), claim())}, "each name once"),
        (paper, {"claims": (claim(controls=("two",)),)}, r"controls is \['two'\]"),
        (paper, {"claims": (claim(controls=("one",)),)}, "none that comes back to it"),
        (paper, {"headline_claims": ("two",)}, r"headline_claims is \['two'\]"),
        (paper, {"experiments": [experiment()]}, "a tuple"),
    ],
)
def test_bad_values_are_named(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize("make", [layer_case, preset, experiment, claim, paper])
def test_good_values_are_frozen(make):
    made = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(made)[0].name, None)


def test_a_smoke_preset_shows_that_the_code_runs():
    made = Preset.smoke({"steps": 1}, minutes=0.1, variants=("a",))
    assert made == Preset(
        settings={"steps": 1},
        minutes=0.1,
        scale="reduced",
        reduces="Shows that the code runs.",
        variants=("a",),
    )


def test_the_first_experiment_is_the_default_one():
    assert paper(default_experiment="").default_experiment == "fit"


def test_a_ratio_is_to_another_variant_or_another_metric():
    one = Quantity("a", "mse")
    assert one.over("b") == (one, Quantity("b", "mse"))
    assert one.over(metric="mae") == (one, Quantity("a", "mae"))


def test_claims_of_an_experiment_differ_in_the_quantity_only():
    one = Quantity("a", "mse")
    made = experiment().numbers(
        {"one": one, "two": one.over("b")},
        median=within_absolute(0.1),
        controls=("three",),
        reason="A test.",
    )
    shared = {"accept": within_absolute(0.1), "aggregate": "median", "controls": ("three",)}
    assert made == (
        claim(id="one", quantity=one, **shared),
        claim(id="two", quantity=one, relative_to=Quantity("b", "mse"), **shared),
    )


@pytest.mark.parametrize(
    "make, kind", [("numbers", "number"), ("orderings", "ordering"), ("counts", "static")]
)
def test_claims_have_the_kind_that_makes_them(make, kind):
    (made,) = getattr(experiment(), make)(
        {"one": Quantity("a", "mse")}, mean=at_most(), reason="A test."
    )
    assert made == claim(kind=kind)


@pytest.mark.parametrize("accept", [{}, {"mean": at_most(), "each": at_most()}, {"sum": at_most()}])
def test_claims_have_one_tolerance(accept):
    with pytest.raises(ValueError, match="expected exactly one of"):
        experiment().numbers({"one": Quantity("a", "mse")}, reason="A test.", **accept)
