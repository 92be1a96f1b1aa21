"""Mamba's block: a convolution, a selective state-space model, a gate (Gu and Dao, 2023)."""

import math
from functools import partial
from typing import Any

import keras
from keras import ops

from common.checks import check_flags, check_integers, check_positive
from common.layers import ScanLayer, StateSpec
from common.ops.selective_scan import (
    BLOCK,
    fused_selective_scan,
    recurrent_selective_scan,
    selective_scan_step,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# Range of the initial step sizes, and the least one (section 3.6 and the authors' code).
DELTA_RANGE = (1e-3, 1e-1)
SMALLEST_DELTA = 1e-4


@keras.saving.register_keras_serializable(package="papers")
class Mamba(ScanLayer):
    """A Mamba block (section 3.4, figure 3; algorithm 2), without its norm and residual connection.

        x_t, z_t = W_in u_t
        x_t      = silu(convolution(x)_t)              depthwise, causal, over kernel_size steps
        r_t, B_t, C_t = W_x x_t                        of R, N and N numbers
        Delta_t  = softplus(W_dt r_t + b_dt)
        h_t      = exp(Delta_t A) h_{t-1} + Delta_t B_t x_t,   A = -exp(A_log)
        y_t      = C_t . h_t + D x_t
        o_t      = W_out (y_t silu(z_t))

    Each of the E channels of x has a state of N numbers. The step size Delta decides how far a
    channel forgets and lets its input in; Delta, B and C see the input, which is the selection.

    State: `{"conv": (B, kernel_size - 1, E), "ssm": (B, E, N)}`: the last inputs of the
    convolution, in the compute dtype, in which they were computed, and h.

    `a_log` and `skip`, A_log and D of the equations, are float32 under mixed policies and are not
    to decay: `optimizer.exclude_from_weight_decay(var_names=Mamba.no_decay)`.

    Args:
        units: Width of the output.
        state_dim: N, numbers in the state of a channel.
        kernel_size: Steps that the convolution sees, at least 2.
        expansion: E over `units`.
        dt_rank: R, rank of the projection to Delta; `"auto"` is `units / 16`, rounded up.
        negative_eigenvalues: Whether the decay is `2 exp(Delta_t A) - 1`, which reaches from -1
            to 1 and can track states (Grazzi et al., 2024), in place of `exp(Delta_t A)`.
        num_layers: Layers in the stack; the initial W_out is divided by its square root, as in the
            authors' code.
        use_bias: Whether W_in and W_out have biases.
        use_conv_bias: Whether the convolution has one.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `kernel_size` is 1.
    """

    forms = ("chunkwise", "recurrent")
    no_decay = ("a_log", "skip")

    def __init__(
        self,
        units: int,
        state_dim: int = 16,
        kernel_size: int = 4,
        expansion: int = 2,
        dt_rank: int | str = "auto",
        negative_eigenvalues: bool = False,
        num_layers: int = 1,
        use_bias: bool = False,
        use_conv_bias: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            self, units=units, state_dim=state_dim, expansion=expansion, num_layers=num_layers
        )
        check_integers(self, 2, kernel_size=kernel_size)
        check_flags(
            self,
            negative_eigenvalues=negative_eigenvalues,
            use_bias=use_bias,
            use_conv_bias=use_conv_bias,
        )
        rank: Any = (
            math.ceil(units / 16) if isinstance(dt_rank, str) and dt_rank == "auto" else dt_rank
        )
        check_positive(self, dt_rank=rank)
        self.units = units
        self.state_dim = state_dim
        self.kernel_size = kernel_size
        self.expansion = expansion
        self.dt_rank = dt_rank
        self.negative_eigenvalues = negative_eigenvalues
        self.num_layers = num_layers
        self.use_bias = use_bias
        self.use_conv_bias = use_conv_bias
        self.inner_units = expansion * units
        self.rank: int = rank

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {
            "conv": StateSpec((self.kernel_size - 1, self.inner_units), self.compute_dtype),
            "ssm": StateSpec((self.inner_units, self.state_dim)),
        }

    def build(self, input_shape):
        super().build(input_shape)
        inner, rank, states = self.inner_units, self.rank, self.state_dim

        def weight(name, shape, fan_in, scale=1.0):
            # PyTorch's default, which the authors' code leaves as it is.
            return self.add_weight(shape, _uniform(scale * fan_in**-0.5), name=name)

        self.kernel = weight("kernel", (input_shape[-1], 2 * inner), input_shape[-1])
        self.conv_kernel = weight("conv_kernel", (self.kernel_size, inner), self.kernel_size)
        if self.use_conv_bias:
            self.conv_bias = weight("conv_bias", (inner,), self.kernel_size)
        self.x_kernel = weight("x_kernel", (inner, rank + 2 * states), inner)
        self.dt_kernel = weight("dt_kernel", (rank, inner), rank)
        self.dt_bias = self.add_weight((inner,), _initial_dt_bias, name="dt_bias")
        self.a_log = self.add_weight(
            (inner, states), _initial_a_log, name="a_log", dtype=self.state_dtype
        )
        self.skip = self.add_weight((inner,), "ones", name="skip", dtype=self.state_dtype)
        self.output_kernel = weight(
            "output_kernel", (inner, self.units), inner, scale=self.num_layers**-0.5
        )
        if self.use_bias:
            self.bias = weight("bias", (2 * inner,), input_shape[-1])
            self.output_bias = weight("output_bias", (self.units,), inner)

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel))
        if self.use_bias:
            projected = projected + self.cast(self.bias)
        x, z = ops.split(projected, 2, axis=-1)
        return {"x": x, "z": z}

    def recur(self, features, state):
        x, conv = causal_convolution_step(features["x"], self.cast(self.conv_kernel), state["conv"])
        x, selected = self._select(x)
        delta, b, c, a = selected
        wide = ops.cast(x, self.state_dtype)
        y, ssm = selective_scan_step(wide, delta, b, c, a, state["ssm"], self.negative_eigenvalues)
        return self._gate(y, x, features["z"]), {"conv": conv, "ssm": ssm}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_selective_scan, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        scan = partial(fused_selective_scan, scan=self.scan)
        return self._mix(scan, features, state, mask, reset)

    def _mix(self, scan, features, state, mask, reset):
        x, conv = causal_convolution(
            features["x"], self.cast(self.conv_kernel), state["conv"], mask=mask, reset=reset
        )
        x, selected = self._select(x)
        y, ssm = scan(
            ops.cast(x, self.state_dtype),
            *selected,
            state["ssm"],
            mask=mask,
            reset=reset,
            negative=self.negative_eigenvalues,
        )
        return self._gate(y, x, features["z"]), {"conv": conv, "ssm": ssm}

    def _select(self, convolved):
        """x from what the convolution gave, and from it Delta, B, C and A in the state dtype."""
        if self.use_conv_bias:
            convolved = convolved + self.cast(self.conv_bias)
        x = ops.silu(convolved)
        projected = ops.matmul(x, self.cast(self.x_kernel))
        low, b, c = ops.split(projected, (self.rank, self.rank + self.state_dim), axis=-1)
        low = ops.matmul(low, self.cast(self.dt_kernel))
        low, b, c = (ops.cast(value, self.state_dtype) for value in (low, b, c))
        delta = ops.softplus(low + ops.cast(self.dt_bias, self.state_dtype))
        return x, (delta, b, c, -ops.exp(ops.convert_to_tensor(self.a_log)))

    def _gate(self, y, x, z):
        y = y + ops.cast(x, self.state_dtype) * self.skip
        return self.cast(y) * ops.silu(z)

    def readout(self, emitted):
        outputs = ops.matmul(emitted, self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D 2E + E (R + 2N) + R E + E units)` and `2 B T E N` for reading the state.

        The chunkwise form reads whole blocks of steps. The rest of the scan is elementwise.
        """
        inner, rank, states = self.inner_units, self.rank, self.state_dim
        weights = inner * (2 * self.kernel.shape[0] + rank + 2 * states + rank + self.units)
        steps = length
        if self.resolved_form == "chunkwise":
            steps = -(-length // BLOCK) * BLOCK
        return 2 * batch_size * (length * weights + steps * inner * states)


def _uniform(bound: float):
    return keras.initializers.RandomUniform(-bound, bound)


def _initial_a_log(shape, dtype=None):
    """`A = -(1, ..., N)` in every channel: S4D-Real (section 3.6)."""
    numbers = ops.arange(1, shape[1] + 1, dtype=dtype)
    # Torch can't assign to a variable that began as one row, broadcast.
    return ops.tile(ops.log(numbers)[None], (shape[0], 1))


def _initial_dt_bias(shape, dtype=None):
    """The bias whose softplus is log-uniform in `DELTA_RANGE`."""
    low, high = (math.log(bound) for bound in DELTA_RANGE)
    delta = ops.exp(keras.initializers.RandomUniform(low, high)(shape, dtype))
    delta = ops.where(delta > SMALLEST_DELTA, delta, ops.full_like(delta, SMALLEST_DELTA))
    return delta + ops.log(-ops.expm1(-delta))  # inverse of softplus
