"""The LSTM, as the simplest example of a layer with a nonlinear recurrence."""

from typing import Any

import keras
from keras import ops

from common.checks import check_numbers, check_positive
from common.layers.initializers import output_gate_third
from common.layers.sequence_layer import SequenceLayer
from common.layers.state import StateSpec
from common.ops.lstm import lstm_cell, lstm_scan
from common.typing import DType, Shape, State, Tensor


@keras.saving.register_keras_serializable(package="papers")
class LSTM(SequenceLayer):
    """Long short-term memory with forget gates and without peepholes.

    Gates lie as in Keras's and torch's LSTM: input, forget, cell input, output.

    State: `{"hidden": (B, units), "cell": (B, units)}`.

    Args:
        units: Width of the output and of the state.
        forget_bias: Initial bias of the forget gates.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` is not a positive integer or `forget_bias` not a finite number.
    """

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        check_numbers(self, forget_bias=forget_bias)
        self.units = units
        self.forget_bias = forget_bias

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        n = self.units
        uniform, orthogonal = output_gate_third("glorot_uniform"), output_gate_third("orthogonal")
        self.kernel = self.add_weight((input_shape[-1], 4 * n), uniform, name="kernel")
        self.recurrent_kernel = self.add_weight((n, 4 * n), orthogonal, name="recurrent_kernel")
        self.bias = self.add_weight((4 * n,), self._initial_bias, name="bias")

    def _initial_bias(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        return ops.repeat(ops.cast([0.0, self.forget_bias, 0.0, 0.0], dtype), self.units)

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict[str, StateSpec]:
        return {"hidden": StateSpec((self.units,)), "cell": StateSpec((self.units,))}

    def features(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)

    def recur(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = self.cast(state["hidden"])
        gates = features + ops.matmul(hidden, self.cast(self.recurrent_kernel))
        hidden, cell = lstm_cell(gates, state["cell"])
        return self.cast(hidden), {"hidden": hidden, "cell": cell}

    def recurrent(
        self,
        features: Tensor,
        state: State,
        initial: State,
        mask: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, State]:
        if mask is not None or reset is not None:
            return super().recurrent(features, state, initial, mask, reset)
        kernel = self.cast(self.recurrent_kernel)
        hidden, cell = lstm_scan(features, state["hidden"], state["cell"], kernel)
        return self.cast(hidden), {"hidden": hidden[:, -1], "cell": cell[:, -1]}

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D + units) 4 units`."""
        return 2 * batch_size * length * sum(self.kernel.shape[:1] + (self.units,)) * 4 * self.units
