"""Mamba-2's block: a convolution, a state-space model with one decay a head (Dao and Gu, 2024)."""

import math
from functools import partial

import keras
from einops import rearrange
from keras import ops

from common.checks import (
    check_divides,
    check_flags,
    check_integers,
    check_numbers,
    check_positive,
    check_powers_of_two,
)
from common.layers import SequenceLayer, StateSpec
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    gated_attention_step,
    parallel_gated_attention,
    recurrent_gated_attention,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# Ranges of the initial step sizes and of the initial -A, as in the authors' code.
DELTA_RANGE = (1e-3, 1e-1)
DECAY_RANGE = (1.0, 16.0)


@keras.saving.register_keras_serializable(package="papers")
class Mamba2(SequenceLayer):
    """A Mamba-2 block (section 7.1, figure 6), without its norm and residual connection.

        z_t, (x, B, C)_t, r_t = W_in u_t
        (x, B, C)_t = silu(convolution((x, B, C))_t)     depthwise, causal, over kernel_size steps
        Delta_t = softplus(r_t + b_dt)                   one number a head
        a_t     = exp(-Delta_t exp(A_log))
        H_t     = a_t H_{t-1} + B_t (Delta_t x_t)^T      N x P, a head of P of the E channels
        y_t     = H_t^T C_t + D x_t
        o_t     = W_out norm(y_t * silu(z_t))            RMS, each group's channels by themselves

    The decay is one number a head, and the heads of a group share B and C: state space duality,
    `y = (L * C B^T) (Delta x)` with `L_ts = a_{s+1} ... a_t` (section 5), is gated linear attention
    with queries C, keys B and values Delta x. The forms: chunk by chunk (section 6, listing 1), as
    the one masked product, and step by step.

    State: `{"conv": (B, kernel_size - 1, E + 2 G N), "ssm": (B, H, N, P)}`: the last inputs of the
    convolution, in the compute dtype, in which they were computed, and H.

    `a_log`, `skip` and `dt_bias` are float32 under mixed policies and are not to decay:
    `optimizer.exclude_from_weight_decay(var_names=Mamba2.no_decay)`.

    Args:
        units: Width of the output.
        state_dim: N.
        head_dim: P, a divisor of E.
        num_groups: G, groups of heads with a B, a C and a norm of their own.
        kernel_size: Steps that the convolution sees, at least 2.
        expansion: E over `units`.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        num_layers: Layers in the stack; the initial W_out is divided by its square root, as in the
            authors' code.
        epsilon: Added to the mean square in the norm before W_out.
        use_bias: Whether W_in and W_out have biases.
        use_conv_bias: Whether the convolution has one.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `chunk_size` no power of two, `kernel_size`
            1, `head_dim` no divisor of E or `num_groups` none of the number of heads.
    """

    forms = ("chunkwise", "parallel", "recurrent")
    no_decay = ("a_log", "skip", "dt_bias")

    def __init__(
        self,
        units: int,
        state_dim: int = 128,
        head_dim: int = 64,
        num_groups: int = 1,
        kernel_size: int = 4,
        expansion: int = 2,
        chunk_size: int = 64,
        num_layers: int = 1,
        epsilon: float = 1e-5,
        use_bias: bool = False,
        use_conv_bias: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            self,
            units=units,
            state_dim=state_dim,
            head_dim=head_dim,
            num_groups=num_groups,
            expansion=expansion,
            num_layers=num_layers,
        )
        check_integers(self, 2, kernel_size=kernel_size)
        check_powers_of_two(self, chunk_size=chunk_size)
        check_numbers(self, above=0, epsilon=epsilon)
        check_flags(self, use_bias=use_bias, use_conv_bias=use_conv_bias)
        inner = expansion * units
        check_divides(self, "`expansion` `units`", inner, head_dim=head_dim)
        check_divides(self, "the number of heads", inner // head_dim, num_groups=num_groups)
        self.units = units
        self.state_dim = state_dim
        self.head_dim = head_dim
        self.num_groups = num_groups
        self.kernel_size = kernel_size
        self.expansion = expansion
        self.chunk_size = chunk_size
        self.num_layers = num_layers
        self.epsilon = epsilon
        self.use_bias = use_bias
        self.use_conv_bias = use_conv_bias
        self.inner_units = inner
        self.num_heads = inner // head_dim
        self.conv_units = inner + 2 * num_groups * state_dim

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {
            "conv": StateSpec((self.kernel_size - 1, self.conv_units), self.compute_dtype),
            "ssm": StateSpec((self.num_heads, self.state_dim, self.head_dim)),
        }

    def build(self, input_shape):
        super().build(input_shape)
        inner, conv, heads = self.inner_units, self.conv_units, self.num_heads

        def weight(name, shape, fan_in, scale=1.0):
            # PyTorch's default, which the authors' code leaves as it is.
            return self.add_weight(shape, _uniform(scale * fan_in**-0.5), name=name)

        width = input_shape[-1]
        self.kernel = weight("kernel", (width, inner + conv + heads), width)
        self.conv_kernel = weight("conv_kernel", (self.kernel_size, conv), self.kernel_size)
        if self.use_conv_bias:
            self.conv_bias = weight("conv_bias", (conv,), self.kernel_size)
        kept = {"dtype": self.state_dtype}
        self.dt_bias = self.add_weight((heads,), _initial_dt_bias, name="dt_bias", **kept)
        self.a_log = self.add_weight((heads,), _initial_a_log, name="a_log", **kept)
        self.skip = self.add_weight((heads,), "ones", name="skip", **kept)
        self.norm_scale = self.add_weight((inner,), "ones", name="norm_scale")
        self.output_kernel = weight(
            "output_kernel", (inner, self.units), inner, scale=self.num_layers**-0.5
        )
        if self.use_bias:
            self.bias = weight("bias", (inner + conv + heads,), width)
            self.output_bias = weight("output_bias", (self.units,), inner)

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel))
        if self.use_bias:
            projected = projected + self.cast(self.bias)
        ends = (self.inner_units, self.inner_units + self.conv_units)
        z, xbc, dt = ops.split(projected, ends, axis=-1)
        delta = ops.softplus(ops.cast(dt, self.state_dtype) + self.dt_bias)
        return {"z": z, "xbc": xbc, "delta": delta}

    def recur(self, features, state):
        xbc, conv = causal_convolution_step(
            features["xbc"], self.cast(self.conv_kernel), state["conv"]
        )
        x, b, c = self._activate(xbc)
        repeats = self.num_heads // self.num_groups
        b, c = ops.repeat(b, repeats, axis=1), ops.repeat(c, repeats, axis=1)
        delta = features["delta"]
        y, ssm = gated_attention_step(
            c, b, delta[..., None] * x, self._log_decay(delta), state["ssm"]
        )
        return self._emit(y, x, features["z"]), {"conv": conv, "ssm": ssm}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_gated_attention, features, state, mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        return self._mix(parallel_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._mix(attention, features, state, mask, reset)

    def _mix(self, attention, features, state, mask, reset):
        # A reset puts zeros back, which is what the ops do by default.
        xbc, conv = causal_convolution(
            features["xbc"], self.cast(self.conv_kernel), state["conv"], mask=mask, reset=reset
        )
        x, b, c = self._activate(xbc)
        delta = features["delta"]
        y, ssm = attention(
            c,
            b,
            delta[..., None] * x,
            self._log_decay(delta),
            state["ssm"],
            mask=mask,
            reset=reset,
        )
        return self._emit(y, x, features["z"]), {"conv": conv, "ssm": ssm}

    def _activate(self, convolved):
        """x `(..., H, P)`, B and C `(..., G, N)` from what the convolution gave."""
        if self.use_conv_bias:
            convolved = convolved + self.cast(self.conv_bias)
        activated = ops.silu(convolved)
        size = self.num_groups * self.state_dim
        x, b, c = ops.split(
            ops.cast(activated, self.state_dtype),
            (self.inner_units, self.inner_units + size),
            axis=-1,
        )
        x = rearrange(x, "... (h p) -> ... h p", h=self.num_heads)
        b, c = (rearrange(y, "... (g n) -> ... g n", g=self.num_groups) for y in (b, c))
        return x, b, c

    def _log_decay(self, delta):
        return (-delta * ops.exp(ops.convert_to_tensor(self.a_log)))[..., None]

    def _emit(self, y, x, z):
        y = y + ops.convert_to_tensor(self.skip)[:, None] * x
        return {"y": rearrange(y, "... h p -> ... (h p)"), "z": z}

    def readout(self, emitted):
        gated = emitted["y"] * ops.cast(ops.silu(emitted["z"]), self.state_dtype)
        # Each group's channels by themselves, as in the authors' code (group_size = E / G).
        grouped = rearrange(gated, "b t (g e) -> b t g e", g=self.num_groups)
        power = ops.mean(ops.square(grouped), axis=-1, keepdims=True)
        normed = rearrange(grouped * ops.rsqrt(power + self.epsilon), "b t g e -> b t (g e)")
        normed = normed * ops.cast(self.norm_scale, self.state_dtype)
        outputs = ops.matmul(self.cast(normed), self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D (2 E + 2 G N + H) + E units)`, and those of `common.ops.gated_attention`."""
        weights = self.kernel.shape[0] * self.kernel.shape[1] + self.inner_units * self.units
        mixing = gated_attention_flops(
            self.resolved_form,
            length,
            self.num_heads,
            self.state_dim,
            self.head_dim,
            num_groups=self.num_groups,
            chunk_size=self.chunk_size,
        )
        return batch_size * (2 * length * weights + mixing)


def _uniform(bound: float):
    return keras.initializers.RandomUniform(-bound, bound)


def _initial_dt_bias(shape, dtype=None):
    """The inverse softplus of step sizes whose logarithms are uniform in `DELTA_RANGE`."""
    low, high = (math.log(value) for value in DELTA_RANGE)
    delta = ops.exp(keras.random.uniform(shape, low, high, dtype="float32"))
    return ops.cast(delta + ops.log(-ops.expm1(-delta)), dtype)


def _initial_a_log(shape, dtype=None):
    return ops.cast(ops.log(keras.random.uniform(shape, *DECAY_RANGE, dtype="float32")), dtype)
