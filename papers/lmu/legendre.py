"""The Legendre memory's matrices: the linear system, its discretisation, its readout."""

import keras
import numpy as np

# Terms of the exponential's series: below 2^-s of norm 1/2, the 18th is under float64's rounding.
_TERMS = 18


def legendre_system(order: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B of `theta dm/dt = A m + B u` (Voelker 2019, equations 1 and 2).

    Args:
        order: Number of components d.

    Returns:
        `(A, B)`, float64 `(d, d)` and `(d,)`.
    """
    i = np.arange(order)
    scale = 2.0 * i + 1
    sign = np.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    return scale[:, None] * sign, scale * (-1.0) ** i


def discretised_system(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Zero-order hold with steps of 1: the system's exact solution for a stepwise input.

    The exponential of the matrix `[[A, B], [0, 0]] / theta` holds both results. It is taken by
    scaling and squaring in the basis of the normalised polynomials, in which A + A^T is negative
    semidefinite: every factor is a contraction, so the squarings amplify no rounding errors. In
    the paper's own basis they would.

    Args:
        order: Number of components d.
        theta: Length of the window in steps.

    Returns:
        `(A, B)` of `m_t = A m_{t-1} + B u_t`, float64 `(d, d)` and `(d,)`.
    """
    a, b = legendre_system(order)
    norm = np.sqrt(2.0 * np.arange(order) + 1)
    system = np.zeros((order + 1, order + 1))
    system[:order, :order] = a * norm / norm[:, None] / theta
    system[:order, order] = b / norm / theta
    squarings = max(0, int(np.ceil(np.log2(2 * np.linalg.norm(system, 1)))))
    system /= 2.0**squarings
    exponential = np.eye(order + 1)
    for term in range(_TERMS, 0, -1):
        exponential = np.eye(order + 1) + system @ exponential / term
    for _ in range(squarings):
        exponential = exponential @ exponential
    a, b = exponential[:order, :order], exponential[:order, order]
    return a * norm[:, None] / norm, b * norm


def legendre_polynomials(order: int, points: np.ndarray) -> np.ndarray:
    """Legendre polynomials by their three-term recurrence, stable to any degree.

    Args:
        order: Number of polynomials d.
        points: Where to take them, in [-1, 1], `(N,)`.

    Returns:
        `P_i(points)` for i below d, float64 `(d, N)`.
    """
    points = np.asarray(points, "float64")
    rows = [np.ones_like(points), points]
    for i in range(1, order - 1):
        # (i + 1) P_{i+1} = (2i + 1) x P_i - i P_{i-1}
        rows.append(((2 * i + 1) * points * rows[i] - i * rows[i - 1]) / (i + 1))
    return np.stack(rows[:order])


@keras.saving.register_keras_serializable(package="papers")
class LegendreReadout(keras.initializers.Initializer):
    """Memory kernel `(d, N)` that reads the signal at N delays, evenly from 0 to theta.

    Equation 3: column j is `P_i(2 r - 1)` with `r = j / (N - 1)`, the delay in units of theta.
    """

    def __call__(self, shape, dtype=None):
        values = legendre_polynomials(shape[0], np.linspace(-1, 1, shape[1]))
        return keras.ops.convert_to_tensor(values, dtype or keras.config.floatx())
