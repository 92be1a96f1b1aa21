"""Parameters of the paper's networks."""

from common.reproduce import Run
from papers.tcn.model import SIZES, TCN


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a network of table 2, in thousands, the gains of weight normalisation too."""
    width, settings = SIZES[size]
    network = TCN(**settings)
    network.build((None, None, width))
    return {"thousands": network.count_params() / 1e3}
