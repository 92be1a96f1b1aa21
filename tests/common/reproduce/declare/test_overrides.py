import pytest

from common.reproduce.declare.overrides import override, override_words, read_overrides
from tests.common.reproduce.declare.test_spec import experiment


def test_values_are_json_or_else_strings():
    read = read_overrides(("steps=3", "rates=[0.1, 1e-3]", "clip=null", "task=MQAR", "text=a=b"))
    assert read == {"steps": 3, "rates": [0.1, 1e-3], "clip": None, "task": "MQAR", "text": "a=b"}
    assert read_overrides(override_words(read)) == read


@pytest.mark.parametrize(
    "words, message",
    [
        (("steps",), "--set is 'steps', expected KEY=VALUE"),
        (("=3",), "--set is '=3'"),
        (("a b=3",), "--set is 'a b=3'"),
        (("steps=3", "steps=4"), "--set gives steps more than once"),
    ],
)
def test_other_words_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        read_overrides(words)


def test_an_override_wins_and_makes_another_fingerprint():
    changed = override(experiment(), {"steps": 9})
    assert changed.settings("cpu", "b") == {"steps": 9, "width": 2}
    for variant in ("a", "b"):
        assert changed.fingerprint("cpu", variant) != experiment().fingerprint("cpu", variant)
