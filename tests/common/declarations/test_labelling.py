from common.declarations import formal_language, labelling

DECLARED = {
    "name": "one",
    "description": "One.",
    "task": "Parity",
    "variants": {"a": {"model": "papers.gla:GLA"}},
    "minutes": (0.1, 2, 30),
}


def test_metrics_follow_from_the_tests():
    settings = {"steps": (1, 20, 300), "tests": {"x2": {"length": 8}, "x4": {"length": 16}}}
    made = labelling(**DECLARED, settings=settings, untrained={"accuracy": 0.5})
    assert made.trial == "common.trials.labelling:labelling"
    assert made.metrics == ("accuracy", "accuracy_x2", "accuracy_x4", "learning_rate", "updates")
    assert made.settings("cpu", "a") == {
        "task": "Parity",
        "model": "papers.gla:GLA",
        "steps": 20,
        "tests": settings["tests"],
    }


def test_a_formal_language_is_scored_on_longer_words():
    made = formal_language(
        **DECLARED, chance=0.5, settings={"steps": 1}, untrained={"accuracy_long": 0.0}
    )
    assert made.metrics == ("accuracy_long", "accuracy", "learning_rate", "updates")
    settings = made.settings("paper", "a")
    assert settings["chance"] == 0.5
    assert settings["tests"] == {"long": {"min_length": 40, "max_length": 256}}
