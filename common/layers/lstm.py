"""The LSTM, as the simplest example of a layer with a nonlinear recurrence."""

import keras
from keras import ops

from common.layers.sequence_layer import SequenceLayer, check_positive
from common.layers.state import StateSpec
from common.ops.scan import swap_batch_and_time


def lstm_cell(gates, cell):
    """One LSTM step from its pre-activations (Hochreiter 1997; forget gate: Gers 2000).

    Args:
        gates: Pre-activations `(B, 4 units)`: input, forget and output gate, cell input.
        cell: Cell state `(B, units)`, in the state dtype, which is computed in.

    Returns:
        `(hidden, cell)`, both `(B, units)` in the state dtype.
    """
    # Split, not sliced: the gradient of a split is one concatenation.
    inputs, forget, output, update = ops.split(ops.cast(gates, cell.dtype), 4, axis=-1)
    cell = ops.sigmoid(forget) * cell + ops.sigmoid(inputs) * ops.tanh(update)  # c = f c + i g
    return ops.sigmoid(output) * ops.tanh(cell), cell  # h = o tanh(c)


@keras.saving.register_keras_serializable(package="papers")
class LSTM(SequenceLayer):
    """Long short-term memory with forget gates and without peepholes.

    State: `{"hidden": (B, units), "cell": (B, units)}`.

    Args:
        units: Width of the output and of the state.
        forget_bias: Initial bias of the forget gates.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` is not a positive integer.
    """

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        self.units = units
        self.forget_bias = forget_bias

    def build(self, input_shape):
        super().build(input_shape)
        n = self.units
        self.kernel = self.add_weight((input_shape[-1], 4 * n), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((n, 4 * n), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((4 * n,), self._initial_bias, name="bias")

    def _initial_bias(self, shape, dtype=None):
        return ops.repeat(ops.cast([0.0, self.forget_bias, 0.0, 0.0], dtype), self.units)

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,)), "cell": StateSpec((self.units,))}

    def features(self, inputs, training=None):
        # Time first, as the loop takes it: the compiler cancels the second transposition against
        # the loop's, and the wide gates are never transposed.
        inputs = swap_batch_and_time(inputs)
        gates = ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)
        return swap_batch_and_time(gates)

    def recur(self, features, state):
        hidden = self.cast(state["hidden"])
        gates = features + ops.matmul(hidden, self.cast(self.recurrent_kernel))
        hidden, cell = lstm_cell(gates, state["cell"])
        return self.cast(hidden), {"hidden": hidden, "cell": cell}

    def flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D + units) 4 units`."""
        return 2 * batch_size * length * sum(self.kernel.shape[:1] + (self.units,)) * 4 * self.units

    def get_config(self):
        return {**super().get_config(), "units": self.units, "forget_bias": self.forget_bias}
