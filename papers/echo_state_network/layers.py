"""The reservoir of an echo state network (Jaeger, 2001; leaky units: Jaeger et al., 2007)."""

import keras
import numpy as np
from keras import ops

from common.checks import check_choice, check_numbers, check_positive, refuse
from common.layers import SequenceLayer, StateSpec

ACTIVATIONS = ("tanh", "linear")
MATRICES = ("gaussian", "orthogonal")


@keras.saving.register_keras_serializable(package="papers")
class Reservoir(SequenceLayer):
    """A recurrent layer with fixed random weights; only what reads its state is trained.

        x_t = (1 - a) x_{t-1} + a f(W x_{t-1} + W_in u_t)

    W is drawn once and scaled to its spectral radius. Below 1 the state forgets where it started
    if f is the identity, and as a rule if f is tanh: the echo state property.

    State: `{"hidden": (B, units)}`, x.

    Args:
        units: Number of units N, the width of the output.
        spectral_radius: Largest absolute eigenvalue of W.
        input_scale: Entries of W_in are uniform between minus this and this.
        leak_rate: a, above 0 and at most 1; 1 is a unit without a leak.
        activation: f, `"tanh"` or `"linear"`.
        matrix: `"gaussian"`, independent normal entries, or `"orthogonal"`.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` is not a positive integer, a number is not positive, `leak_rate` is
            above 1, or `activation` or `matrix` is unknown.
    """

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        input_scale: float = 1.0,
        leak_rate: float = 1.0,
        activation: str = "tanh",
        matrix: str = "gaussian",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        check_numbers(self, above=0, spectral_radius=spectral_radius, input_scale=input_scale)
        check_numbers(self, above=0, leak_rate=leak_rate)
        if leak_rate > 1:
            refuse(self, "leak_rate", "at most 1", leak_rate)
        check_choice(self, ACTIVATIONS, activation=activation)
        check_choice(self, MATRICES, matrix=matrix)
        self.units = units
        self.spectral_radius = spectral_radius
        self.input_scale = input_scale
        self.leak_rate = leak_rate
        self.activation = activation
        self.matrix = matrix

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,))}

    def build(self, input_shape):
        super().build(input_shape)
        uniform = keras.initializers.RandomUniform(-self.input_scale, self.input_scale)
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(shape, uniform, trainable=False, name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, self.units), self._draw, trainable=False, name="recurrent_kernel"
        )

    def _draw(self, shape, dtype=None):
        # In NumPy, which has eigenvalues; `keras.utils.set_random_seed` seeds it too.
        drawn = np.random.default_rng(np.random.randint(2**31)).standard_normal(shape)
        if self.matrix == "orthogonal":
            drawn, triangle = np.linalg.qr(drawn)
            drawn = drawn * np.sign(np.diag(triangle))  # any orthogonal matrix, equally likely
        else:
            drawn = drawn / np.abs(np.linalg.eigvals(drawn)).max()
        return ops.convert_to_tensor(self.spectral_radius * drawn, dtype)

    def features(self, inputs, training=None):
        return ops.matmul(inputs, self.cast(self.kernel))

    def recur(self, features, state):
        hidden = self.cast(state["hidden"])
        new = features + ops.matmul(hidden, self.cast(self.recurrent_kernel))
        new = ops.cast(ops.tanh(new) if self.activation == "tanh" else new, self.state_dtype)
        hidden = (1 - self.leak_rate) * state["hidden"] + self.leak_rate * new
        return self.cast(hidden), {"hidden": hidden}

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T N (D + N)`."""
        return 2 * batch_size * length * self.units * (self.kernel.shape[0] + self.units)
