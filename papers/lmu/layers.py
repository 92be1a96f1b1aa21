"""Legendre memories: the linear system alone, and the unit with a nonlinear hidden state."""

import keras
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import check_choice, check_flags, check_numbers, check_positive
from common.layers import SequenceLayer, StateSpec, initializer_of
from common.ops.dense_ssm import fft_dense_ssm, recurrent_dense_ssm
from common.ops.time_axis import expand_like, zero_unless
from papers.lmu.legendre import discretised_system
from papers.lmu.recurrence import ACTIVATIONS, advance, lmu_scan

# Bits of the step counts that a reset's correction goes through where T is not known.
_MOST_BITS = 31


@keras.saving.register_keras_serializable(package="papers")
class LegendreMemory(SequenceLayer):
    """The linear memory alone: each channel's last `theta` steps in Legendre polynomials.

    Voelker et al. (2019), equations 1 to 4, without weights. Every channel of the input drives a
    memory of its own, computed in the state dtype throughout. The parallel form is a convolution
    by FFT (Chilkuri & Eliasmith 2021).

    State: `{"memory": (B, D, order)}`.

    Args:
        order: Components d of a memory.
        theta: Length of the window in steps.
        channels: Width D of the input.
        **kwargs: Arguments of `SequenceLayer`.

    Returns:
        The memories side by side, `(B, T, D order)`.

    Raises:
        ValueError: if `order` or `channels` is not a positive integer, `theta` is below 1, or the
            input has another width.
    """

    forms = ("parallel", "recurrent")

    def __init__(self, order: int, theta: float, channels: int = 1, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, order=order, channels=channels)
        check_numbers(self, at_least=1, theta=theta)
        self.order = order
        self.theta = theta
        self.channels = channels
        self._a, self._b = discretised_system(order, theta)

    def build(self, input_shape):
        super().build(input_shape)
        if input_shape[-1] != self.channels:
            raise ValueError(
                f"LegendreMemory: `inputs` must have as many features as `channels`, "
                f"{self.channels}; got shape {tuple(input_shape)}."
            )

    @property
    def output_dim(self) -> int:
        return self.channels * self.order

    def state_spec(self) -> dict:
        return {"memory": StateSpec((self.channels, self.order))}

    def features(self, inputs, training=None):
        return ops.cast(inputs, self.state_dtype)

    def recur(self, features, state):
        a, b = self._system()
        # m_t = A m_{t-1} + B u_t
        memory = ops.matmul(state["memory"], ops.transpose(a)) + features[..., None] * b
        return memory, {"memory": memory}

    def recurrent(self, features, state, initial, mask, reset):
        a, b = self._system()
        memories, final = recurrent_dense_ssm(
            features,
            a,
            b,
            state["memory"],
            initial=initial["memory"],
            mask=mask,
            reset=reset,
        )
        return memories, {"memory": final}

    def parallel(self, features, state, initial, mask, reset):
        a, b = self._system()
        memories, final = fft_dense_ssm(features, a, b, state["memory"], mask=mask)
        if reset is not None:
            memories = _forget(memories, a, state["memory"], mask, reset)
            final = memories[:, -1]
        return memories, {"memory": final}

    def readout(self, emitted):
        return rearrange(emitted, "b t c n -> b t (c n)")

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B D T N^2`; parallel, with R = 1 + B D responses and J blocks of 64 steps, those.

        That is `2 N^2 (R (63 + 64 J) + B D) + 12 N^3`. Transforms are not counted.
        """
        memories, square = batch_size * self.channels, self.order**2
        if self.resolved_form == "recurrent":
            return 2 * memories * length * square
        responses, blocks = 1 + memories, -(-length // 64)
        powers = responses * (63 + 64 * blocks) + memories
        return 2 * square * powers + 12 * self.order**3

    def _system(self):
        return tuple(ops.convert_to_tensor(x, self.state_dtype) for x in (self._a, self._b))


def _forget(memories, a, state, mask, reset):
    """Takes out of each memory what was there before the last reset, `(B, T, D, N)`.

    The system is linear, so that is `A^k m_r`: m_r the memory just before the reset and k the
    steps taken since. A power for every step would take T N^2 numbers; bit by bit, k takes log T
    products instead.
    """
    length = ops.shape(reset)[1]
    steps = ops.cumsum(ops.ones_like(reset, "int32"), axis=1)
    taken = steps if mask is None else ops.cumsum(ops.cast(mask, "int32"), axis=1)
    taken = ops.pad(taken, ((0, 0), (1, 0)))
    # The step, from 1, of the last reset, 0 for none: the resets sorted, looked up by their count.
    resets = ops.cumsum(ops.cast(reset, "int32"), axis=1)
    ordered = ops.sort(ops.where(reset, steps, 0), axis=1)
    last = ops.take_along_axis(ordered, length - 1 - resets[:, -1:] + resets, axis=1)
    before = ops.maximum(last - 1, 0)
    count = taken[:, 1:] - ops.take_along_axis(taken, before, axis=1)

    states = ops.concatenate([state[:, None], memories], axis=1)
    old = ops.take_along_axis(states, expand_like(before, states), axis=1)
    old = zero_unless(expand_like(last > 0, old), old)
    power = ops.transpose(a)
    for bit in range(length.bit_length() if isinstance(length, int) else _MOST_BITS):
        chosen = expand_like(ops.bitwise_and(count, 2**bit) > 0, old)
        old = ops.where(chosen, ops.matmul(old, power), old)
        power = ops.matmul(power, power)
    return memories - old


@keras.saving.register_keras_serializable(package="papers")
class LMU(SequenceLayer):
    """Legendre memory unit: a linear memory written and read by a nonlinear hidden state.

    Voelker et al. (2019), equations 1, 2, 4, 6 and 7. Written out, a step is

        u_t = e_x . x_t + e_h . h_{t-1} + e_m . m_{t-1}
        m_t = A m_{t-1} + B u_t
        h_t = f(W_x x_t + W_h h_{t-1} + W_m m_t + b)

    Both updates are linear before f, so a step is computed as one product of `[h, m]` with a
    matrix put together from A, B and the weights before the loop. It is computed in the state
    dtype, as a memory of thousands of steps needs.

    State: `{"hidden": (B, units), "memory": (B, order)}`.

    Args:
        units: Width n of the output and of the hidden state.
        order: Components d of the memory.
        theta: Length of the window in steps.
        activation: f, `"tanh"` or `"linear"`.
        use_bias: Whether there is a bias b; the paper's code has one for Mackey-Glass only.
        input_encoders_initializer: Of e_x, `(D, 1)`.
        hidden_encoders_initializer: Of e_h, `(units, 1)`.
        memory_encoders_initializer: Of e_m, `(order, 1)`.
        input_kernel_initializer: Of W_x, `(D, units)`.
        hidden_kernel_initializer: Of W_h, `(units, units)`.
        memory_kernel_initializer: Of W_m, `(order, units)`.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `units` or `order` is not a positive integer, `theta` below 1, or
            `activation` unknown.
    """

    def __init__(
        self,
        units: int,
        order: int,
        theta: float,
        activation: str = "tanh",
        use_bias: bool = False,
        input_encoders_initializer="lecun_uniform",
        hidden_encoders_initializer="lecun_uniform",
        memory_encoders_initializer="zeros",
        input_kernel_initializer="glorot_normal",
        hidden_kernel_initializer="glorot_normal",
        memory_kernel_initializer="glorot_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, order=order)
        check_numbers(self, at_least=1, theta=theta)
        check_choice(self, tuple(ACTIVATIONS), activation=activation)
        check_flags(self, use_bias=use_bias)
        self.units = units
        self.order = order
        self.theta = theta
        self.activation = activation
        self.use_bias = use_bias
        given = {
            "input_encoders_initializer": input_encoders_initializer,
            "hidden_encoders_initializer": hidden_encoders_initializer,
            "memory_encoders_initializer": memory_encoders_initializer,
            "input_kernel_initializer": input_kernel_initializer,
            "hidden_kernel_initializer": hidden_kernel_initializer,
            "memory_kernel_initializer": memory_kernel_initializer,
        }
        for name, initializer in given.items():
            setattr(self, name, initializer_of(self, name, initializer))
        self._a, self._b = discretised_system(order, theta)

    def build(self, input_shape):
        super().build(input_shape)
        width, n, d = input_shape[-1], self.units, self.order
        shapes = {
            "input_encoders": (width, 1),
            "hidden_encoders": (n, 1),
            "memory_encoders": (d, 1),
            "input_kernel": (width, n),
            "hidden_kernel": (n, n),
            "memory_kernel": (d, n),
        }
        for name, shape in shapes.items():
            initializer = getattr(self, f"{name}_initializer")
            setattr(self, name, self.add_weight(shape, initializer, name=name))
        if self.use_bias:
            self.bias = self.add_weight((n,), "zeros", name="bias")

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,)), "memory": StateSpec((self.order,))}

    def features(self, inputs, training=None):
        # What x contributes: to h before f, through W_x and through u and m, and to m's change.
        written = self._wide(self.input_encoders) * self._constant(self._b)  # e_x B^T, (D, d)
        kernel = ops.concatenate(
            [self._wide(self.input_kernel) + self._read(written), written], axis=-1
        )
        features = ops.matmul(inputs, self.cast(kernel))
        if not self.use_bias:
            return features
        return features + self.cast(ops.pad(self._wide(self.bias), (0, self.order)))

    def recur(self, features, state):
        before = ops.concatenate([state["hidden"], state["memory"]], axis=-1)
        features = ops.cast(features, self.state_dtype)
        after = advance(features, before, self._transition(), self.units, self.activation)
        return after[:, : self.units], self._split(after)

    def recurrent(self, features, state, initial, mask, reset):
        states = lmu_scan(
            ops.cast(features, self.state_dtype),
            ops.concatenate([state["hidden"], state["memory"]], axis=-1),
            self._transition(),
            self.units,
            self.activation,
            mask=mask,
            reset=reset,
        )
        return states[..., : self.units], self._split(states[:, -1])

    def _transition(self):
        """From `[h, m]` to what they add to the next h before f and to m, `(n + d, n + d)`."""
        encoders = ops.concatenate(
            [self._wide(self.hidden_encoders), self._wide(self.memory_encoders)], axis=0
        )
        kernels = ops.concatenate(
            [self._wide(self.hidden_kernel), self._wide(self.memory_kernel)], axis=0
        )
        # W_m m_t = W_m m_{t-1} + W_m (m_t - m_{t-1}), so W_m stands in `kernels`, and
        # m_t - m_{t-1} = (A - I) m + B (e_h . h + e_m . m): with a window of thousands of steps,
        # A is too close to I to be told from it in float32.
        decay = self._constant(self._a.T - np.eye(self.order))
        change = encoders * self._constant(self._b) + ops.pad(decay, ((self.units, 0), (0, 0)))
        return ops.concatenate([kernels + self._read(change), change], axis=-1)

    def _split(self, state):
        return {"hidden": state[:, : self.units], "memory": state[:, self.units :]}

    def _read(self, memory):
        return ops.matmul(memory, self._wide(self.memory_kernel))  # W_m m

    def _wide(self, weight):
        return ops.cast(self.adapted(weight), self.state_dtype)

    def _constant(self, value):
        return ops.convert_to_tensor(value, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (n + d) (D + n + d) + 2 (D + n + d) d n`, the second for the fused matrices."""
        width, state = self.input_kernel.shape[0], self.units + self.order
        steps = 2 * batch_size * length * state * (width + state)
        return steps + 2 * (width + state) * self.order * self.units
