"""The recurrent layers that the paper compares with, beside `common.layers.LSTM`."""

import keras
from keras import ops

from common.checks import check_positive
from common.layers import SequenceLayer, StateSpec


class _Recurrent(SequenceLayer):
    """What the two have in common: one vector of state, which is the output too."""

    # Columns of the kernels for each unit.
    gates = 1

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        self.units = units

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,))}

    def build(self, input_shape):
        super().build(input_shape)
        n, width = self.units, self.gates * self.units
        self.kernel = self.add_weight((input_shape[-1], width), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((n, width), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((width,), "zeros", name="bias")

    def features(self, inputs, training=None):
        return ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)

    def recur(self, features, state):
        product = ops.matmul(self.cast(state["hidden"]), self.cast(self.recurrent_kernel))
        features, product = (ops.cast(x, self.state_dtype) for x in (features, product))
        hidden = self.cell(features, product, state)
        return self.cast(hidden), {"hidden": hidden}

    def cell(self, features, product, state):
        """The new hidden state from what inputs and state contribute, `(B, gates units)`."""
        raise NotImplementedError

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D + units) gates units`."""
        width = self.kernel.shape[0] + self.units
        return 2 * batch_size * length * width * self.gates * self.units


@keras.saving.register_keras_serializable(package="papers")
class ElmanRNN(_Recurrent):
    """The vanilla recurrent network (Elman 1990).

        h_t = tanh(W x_t + U h_{t-1} + b)

    State: `{"hidden": (B, units)}`.

    Args:
        units: Width of the output and of the state.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` is not a positive integer.
    """

    def cell(self, features, product, state):
        return ops.tanh(features + product)


@keras.saving.register_keras_serializable(package="papers")
class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014), the reset after the product as in torch and Keras.

        r = sigmoid(W_r x_t + U_r h_{t-1} + b_r),   z = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + c)),   h_t = (1 - z) n + z h_{t-1}

    The kernels hold r, z and n side by side, as torch's do.

    State: `{"hidden": (B, units)}`.

    Args:
        units: Width of the output and of the state.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` is not a positive integer.
    """

    gates = 3

    def build(self, input_shape):
        super().build(input_shape)
        self.reset_bias = self.add_weight((self.units,), "zeros", name="reset_bias")  # c

    def cell(self, features, product, state):
        gates, new = ops.split(features, [2 * self.units], axis=-1)
        gates_product, new_product = ops.split(product, [2 * self.units], axis=-1)
        r, z = ops.split(ops.sigmoid(gates + gates_product), 2, axis=-1)
        new = ops.tanh(new + r * (new_product + ops.cast(self.reset_bias, self.state_dtype)))
        return (1 - z) * new + z * state["hidden"]
