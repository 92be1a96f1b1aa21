import pytest

import benchmarks.options
from common.reproduce.spec import LayerCase


def tiny_case(name: str) -> LayerCase:
    """The case of a class of `tests.benchmarks.layers`."""
    return LayerCase(
        name=name.lower(),
        factory=f"tests.benchmarks.layers:{name}",
        config={},
        input_dim=4,
        forms=("parallel", "recurrent"),
    )


@pytest.fixture
def tiny_papers(monkeypatch):
    """Puts the layers given by name in place of those of the papers."""

    def use(*names: str) -> None:
        cases = {f"min_rnn/{name.lower()}": tiny_case(name) for name in names}
        monkeypatch.setattr(benchmarks.options, "_names", lambda papers: cases)

    return use
