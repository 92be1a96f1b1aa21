"""Feature maps that make attention linear: they replace the softmax by `phi(q) . phi(k)`."""

from keras import ops

from common.typing import Tensor


def elu_plus_one(x: Tensor) -> Tensor:
    """`elu(x) + 1`, positive and smooth, of the same width (Katharopoulos 2020, eq. 7)."""
    return ops.where(x > 0, x + 1, ops.exp(ops.where(x > 0, ops.zeros_like(x), x)))


def dpfp(x: Tensor, nu: int = 1) -> Tensor:
    """Deterministic parameter-free projection (Schlag 2021, eq. 37 and 38).

    With `r = relu([x, -x])`, the features are `r_i r_{i-j}` for shifts `j = 1..nu`, the indices
    taken around the end: sparse and, for `x` of different signs, orthogonal.

    Args:
        x: `(..., K)`.
        nu: How many shifts to take, from 1 to 2 K - 1.

    Returns:
        `(..., 2 * K * nu)`, not negative.
    """
    width = 2 * x.shape[-1]
    if not 1 <= nu < width:
        raise ValueError(f"`nu` must be from 1 to {width - 1} for width {width // 2}, got {nu}")
    r = ops.relu(ops.concatenate([x, -x], axis=-1))
    return ops.concatenate([r * ops.roll(r, j, axis=-1) for j in range(1, nu + 1)], axis=-1)


def sum_normalise(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Divides not negative features `(..., K)` by their sum (Schlag 2021, section 4.2)."""
    return x / (ops.sum(x, axis=-1, keepdims=True) + epsilon)
