"""Parameters; recall is `common.trials.labelling`."""

from common.models import count_parameters
from common.reproduce import Run
from papers.gla.model import GLA, SIZES


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of the paper, in millions."""
    return {"millions": count_parameters(lambda: GLA(**SIZES[size])) / 1e6}
