"""Short-term memory: how much of its past input a reservoir's state still holds."""

import numpy as np

from common.reproduce import Run
from papers.echo_state_network.model import EchoStateNetwork


def memory_capacity(
    run: Run,
    *,
    units: int,
    delays: int,
    steps: int,
    washout: int,
    activation: str,
    matrix: str,
    spectral_radius: float,
    ridge: float,
) -> dict[str, float]:
    """Trains a readout for every delay and sums how well each gives the input of then.

    Returns:
        The sum over the delays from 0 to below `delays` of the coefficient of determination on a
        sequence apart, `capacity`, and a unit's share in it, `capacity_per_unit`.
    """
    rng = np.random.default_rng([run.seed, units])
    signal = rng.uniform(-0.5, 0.5, (2, washout + steps)).astype("float32")
    targets = np.zeros((*signal.shape, delays), "float32")
    for delay in range(delays):
        targets[:, delay:, delay] = signal[:, : signal.shape[1] - delay]
    net = EchoStateNetwork(units, delays, spectral_radius, activation=activation, matrix=matrix)
    inputs = signal[..., None]
    net.fit_readout(inputs[:1], targets[:1], ridge, washout)
    predicted = net.predict(inputs[1:], verbose=0)[0, washout:]
    wanted = targets[1, washout:]
    share = 1 - ((predicted - wanted) ** 2).mean(0, dtype="float64") / wanted.var(
        0, dtype="float64"
    )
    capacity = float(share.sum())
    return {"capacity_per_unit": capacity / units, "capacity": capacity}
