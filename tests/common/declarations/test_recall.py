from common.declarations import mqar

MODELS = {
    "a": {"model": "papers.gla:GLA", "model_settings": {"units": 8}},
    "b": {"model": "papers.retnet:RetNet", "model_settings": {"units": 8}},
}


def test_variants_differ_in_the_model_only():
    experiment = mqar(64, 4, MODELS, minutes=1)
    assert experiment.name == "mqar_64_4"
    for preset in experiment.presets:
        a, b = (experiment.settings(preset, name) for name in "ab")
        assert a.pop("model") != b.pop("model")
        assert a == b


def test_the_paper_preset_is_zoologys():
    settings = mqar(128, 8, MODELS, minutes=1).settings("paper", "a")
    assert settings["task_settings"] == {"length": 128, "num_pairs": 8, "vocabulary_size": 8192}
    # 64 passes through 100,000 examples.
    assert settings["steps"] * settings["batch_size"] == 64 * 100_000
    assert settings["learning_rates"] == [2.15e-3, 1e-2, 4.6e-4, 1e-4]
