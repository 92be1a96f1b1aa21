import pytest

from common.declarations import DEFAULT, presets, timing, training
from common.reproduce.declare.spec import TIMING_SEEDS

DECLARED = {
    "name": "fit",
    "description": "Fits.",
    "trial": "papers.tiny.experiments:fit",
    "variants": {"a": {"width": 1}, "b": {"width": 2}},
    "settings": {"steps": (1, 20, 300)},
    "minutes": (0.1, 2, 30),
    "metrics": ("mse",),
}


def test_a_tuple_has_the_values_at_smoke_cpu_and_paper():
    table = {
        "steps": (1, 20, 300),
        "rates": [0.1, 0.2],
        "clip": (None, None, 1.0),
        "warmup": (DEFAULT, 0.1, DEFAULT),
        "task": {"length": (8, 16, 32), "vocabulary_size": 4, "special": (DEFAULT, DEFAULT, True)},
    }
    made = presets(table, (0.1, 2, 30))
    assert {name: preset.settings for name, preset in made.items()} == {
        "smoke": {
            "steps": 1,
            "rates": [0.1, 0.2],
            "clip": None,
            "task": {"length": 8, "vocabulary_size": 4},
        },
        "cpu": {
            "steps": 20,
            "rates": [0.1, 0.2],
            "clip": None,
            "warmup": 0.1,
            "task": {"length": 16, "vocabulary_size": 4},
        },
        "paper": {
            "steps": 300,
            "rates": [0.1, 0.2],
            "clip": 1.0,
            "task": {"length": 32, "vocabulary_size": 4, "special": True},
        },
    }
    assert [preset.minutes for preset in made.values()] == [0.1, 2, 30]


def test_a_preset_is_at_the_papers_scale_unless_it_reduces_something():
    made = presets({}, (0.1, 2, 30))
    assert [preset.scale for preset in made.values()] == ["reduced", "paper", "paper"]
    made = presets({}, (0.1, 2, 30), reduces="Less.", paper_reduces="A little less.")
    assert [preset.reduces for preset in made.values()][1:] == ["Less.", "A little less."]


def test_variants_of_smoke_and_cpu():
    made = presets({}, (0.1, 2, 30), smoke_variants=("a",), cpu_variants=("a", "b"))
    assert [preset.variants for preset in made.values()] == [("a",), ("a", "b"), None]


@pytest.mark.parametrize(
    "table, minutes, message",
    [
        ({"steps": (1, 2)}, (0.1, 2, 30), r"steps is \(1, 2\), expected a value for each of"),
        ({"task": {"length": ()}}, (0.1, 2, 30), r"length is \(\), expected a value for each"),
        ({}, (0.1, 2), r"minutes is \(0.1, 2\), expected one for each of"),
    ],
)
def test_a_tuple_of_another_length_is_named(table, minutes, message):
    with pytest.raises(ValueError, match=message):
        presets(table, minutes)


def test_training_has_three_seeds_and_timing_a_process_each():
    trained = training(**DECLARED, untrained={"mse": 1.0}, smoke_variants=("a",))
    assert (trained.kind, trained.seeds) == ("training", (0, 1, 2))
    assert trained.preset_variants("smoke") == ("a",)
    assert trained.settings("paper", "b") == {"steps": 300, "width": 2}
    timed = timing(**DECLARED, reduces="Less.")
    assert (timed.kind, timed.seeds) == ("timing", TIMING_SEEDS)
    assert timed.presets["cpu"].reduces == "Less."
