"""sLSTM and mLSTM (Beck et al., 2024): exponential gates over a scalar and a matrix memory."""

from functools import partial

import keras
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import (
    check_choice,
    check_divides,
    check_integers,
    check_numbers,
    check_positive,
    check_powers_of_two,
)
from common.layers import ScanLayer, SequenceLayer, StateSpec, initializer_of
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    parallel_gated_attention,
    recurrent_gated_attention,
)
from common.ops.linear_scan import LOG_ZERO, maximum
from common.ops.scan import scan_marked
from common.ops.short_convolution import causal_convolution, causal_convolution_step
from papers.xlstm.cell import (
    FORGET_GATES,
    by_blocks,
    log_forget_gate,
    mix,
    slstm_cell,
    slstm_scan,
)
from papers.xlstm.memory import memory_divisor, memory_scan, memory_spec, memory_step, norm_heads

# Least divisor of what is read, which the authors' code adds to it, in units of exp(m); and what is
# added to a variance, as there.
_DIVISOR, _VARIANCE = 1e-6, 1e-5

# h, c, n and m of the sLSTM.
_STATES = ("hidden", "cell", "normaliser", "stabiliser")


class _XLSTMLayer(SequenceLayer):
    """What the two layers share: heads and their norm, the short convolution, the forget gate."""

    def __init__(self, units: int, num_heads: int, kernel_size: int, forget_gate: str, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_heads=num_heads)
        check_choice(self, FORGET_GATES, forget_gate=forget_gate)
        self.units = units
        self.num_heads = num_heads
        self.kernel_size = kernel_size
        self.forget_gate = forget_gate

    @property
    def output_dim(self) -> int:
        return self.units

    def _add_convolution(self, width: int) -> None:
        # PyTorch's default for a depthwise convolution, which the authors' code leaves as it is.
        bound = self.kernel_size**-0.5
        shape = (self.kernel_size, width)
        self.conv_kernel = self.add_weight(shape, _uniform(bound), name="conv_kernel")
        self.conv_bias = self.add_weight((width,), _uniform(bound), name="conv_bias")

    def _window_spec(self, width: int) -> StateSpec:
        return StateSpec((self.kernel_size - 1, width), self.compute_dtype)

    def _convolve(self, x, window, mask, reset):
        """The convolution with its activation over all steps, and the last window."""
        y, window = causal_convolution(
            x, self.cast(self.conv_kernel), window, mask=mask, reset=reset
        )
        return ops.silu(y + self.cast(self.conv_bias)), window

    def _convolve_step(self, x, window):
        y, window = causal_convolution_step(x, self.cast(self.conv_kernel), window)
        return ops.silu(y + self.cast(self.conv_bias)), window

    def _norm_heads(self, x):
        """The layer norm of each head, `(B, T, H, d)` to `(B, T, H d)`, in the compute dtype."""
        return self.cast(norm_heads(x, _VARIANCE)) * self.cast(self.norm_scale)


@keras.saving.register_keras_serializable(package="papers")
class MLSTM(_XLSTMLayer, ScanLayer):
    """The mLSTM with its projections, the mixer of a pre up-projection block (figure 11).

    `x, z = W x_t`, each of width `D = expansion units`, and `a = silu(conv(x))`. Keys and queries
    are projections of a, values of x, in blocks of `block_size`; a head's gates see all three.
    In each head of width d (eq. 19-26):

        C_t = f_t C_{t-1} + i_t v_t k_t^T,   n_t = f_t n_{t-1} + i_t k_t,   k_t over sqrt(d)
        h_t = C_t q_t / max(|n_t . q_t|, 1)

    and the output is `W_o ((norm(h_t) + s a_t) silu(z_t))` with a norm for each head.

    Exponential gates overflow, so C and n are kept divided by `exp(m_t)` (`papers.xlstm.memory`).

    State: `{"memory": (B, H, d, d), "normaliser": (B, H, d), "stabiliser": (B, H),
    "window": (B, kernel_size - 1, D)}`: the transpose of C, n, m, and the last inputs of the
    convolution, in the compute dtype, in which they were computed.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        expansion: Width D over that of the output.
        kernel_size: Steps that the convolution sees.
        block_size: Width of the blocks of the projections to queries, keys and values.
        forget_gate: `"sigmoid"`, as in the paper's experiments, or `"exponential"`.
        num_layers: Blocks in the stack that the layer is part of, by which the initial output
            kernel is divided.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `num_heads` or `block_size` does not
            divide D, `chunk_size` is no power of two, or `forget_gate` is unknown.
    """

    forms = ("chunkwise", "parallel", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        expansion: int = 2,
        kernel_size: int = 4,
        block_size: int = 4,
        forget_gate: str = "sigmoid",
        num_layers: int = 1,
        chunk_size: int = 64,
        **kwargs,
    ):
        super().__init__(units, num_heads, kernel_size, forget_gate, **kwargs)
        check_positive(
            self,
            expansion=expansion,
            kernel_size=kernel_size,
            block_size=block_size,
            num_layers=num_layers,
        )
        check_powers_of_two(self, chunk_size=chunk_size)
        self.expansion = expansion
        self.block_size = block_size
        self.num_layers = num_layers
        self.chunk_size = chunk_size
        divisors = {"num_heads": num_heads, "block_size": block_size}
        check_divides(self, "`expansion` `units`", self.inner_dim, **divisors)

    @property
    def inner_dim(self) -> int:
        """Width D of the mLSTM, all heads together."""
        return self.expansion * self.units

    @property
    def head_dim(self) -> int:
        """Width d of a head: its keys, queries and values."""
        return self.inner_dim // self.num_heads

    def state_spec(self) -> dict:
        heads, size = self.num_heads, self.head_dim
        return {
            **memory_spec(heads, size, size),
            "window": self._window_spec(self.inner_dim),
        }

    def build(self, input_shape):
        super().build(input_shape)
        inner, block = self.inner_dim, self.block_size
        small = (2 / (5 * input_shape[-1])) ** 0.5
        self.kernel = self.add_weight((input_shape[-1], 2 * inner), _normal(small), name="kernel")
        self._add_convolution(inner)
        shape = (inner // block, block, block)
        self.query_kernel = self.add_weight(shape, _normal(small), name="query_kernel")
        self.key_kernel = self.add_weight(shape, _normal(small), name="key_kernel")
        self.value_kernel = self.add_weight(shape, _normal(small), name="value_kernel")
        gates = 2 * self.num_heads
        self.gate_kernel = self.add_weight((3 * inner, gates), "zeros", name="gate_kernel")
        self.gate_bias = self.add_weight((gates,), self._initial_gate_bias, name="gate_bias")
        self.norm_scale = self.add_weight((inner,), "ones", name="norm_scale")
        self.skip_scale = self.add_weight((inner,), "ones", name="skip_scale")
        scale = _normal(2 / self.num_layers / self.units**0.5)
        self.output_kernel = self.add_weight((inner, self.units), scale, name="output_kernel")

    def _initial_gate_bias(self, shape, dtype=None):
        forget = ops.linspace(3.0, 6.0, self.num_heads, dtype=dtype)
        return ops.concatenate([_normal(0.1)((self.num_heads,), dtype), forget])

    def features(self, inputs, training=None):
        x, gate = ops.split(ops.matmul(inputs, self.cast(self.kernel)), 2, axis=-1)
        return {"x": x, "gate": gate}

    def _project(self, x, activated):
        """q, k and v, `(..., H, d)`, and log f and log i, `(..., H)`, in the state's dtype."""
        x, activated = (
            rearrange(y, "... (n b) -> ... n b", b=self.block_size) for y in (x, activated)
        )
        q, k, v = (
            rearrange(by_blocks(y, self.cast(kernel)), "... n b -> ... (n b)")
            for y, kernel in (
                (activated, self.query_kernel),
                (activated, self.key_kernel),
                (x, self.value_kernel),
            )
        )
        gates = ops.matmul(ops.concatenate([q, k, v], axis=-1), self.cast(self.gate_kernel))
        gates = ops.cast(gates, self.state_dtype) + ops.cast(self.gate_bias, self.state_dtype)
        log_i, forget = ops.split(gates, 2, axis=-1)
        heads = (
            rearrange(ops.cast(y, self.state_dtype), "... (h d) -> ... h d", h=self.num_heads)
            for y in (q, k * self.head_dim**-0.5, v)
        )
        return *heads, log_forget_gate(forget, self.forget_gate), log_i

    def recur(self, features, state):
        activated, window = self._convolve_step(features["x"], state["window"])
        read, memory = memory_step(self._project(features["x"], activated), state)
        emitted = {"read": _divided(*read), "activated": activated, "gate": features["gate"]}
        return emitted, {**memory, "window": window}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_gated_attention, features, state, mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        return self._mix(parallel_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._mix(attention, features, state, mask, reset)

    def _mix(self, attention, features, state, mask, reset):
        activated, window = self._convolve(features["x"], state["window"], mask, reset)
        inputs = self._project(features["x"], activated)
        read, memory = memory_scan(inputs, state, mask, reset, attention, self.scan)
        emitted = {"read": _divided(*read), "activated": activated, "gate": features["gate"]}
        return emitted, {**memory, "window": window}

    def readout(self, emitted):
        read = self._norm_heads(emitted["read"])
        read = read + self.cast(self.skip_scale) * emitted["activated"]
        return ops.matmul(read * ops.silu(emitted["gate"]), self.cast(self.output_kernel))

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T D (2 D_in + 3 block_size + 6 H + units)`, and those of the gated attention.

        There n is one more value: K = d, V = d + 1.
        """
        heads, size = self.num_heads, self.head_dim
        widths = 2 * self.kernel.shape[0] + 3 * self.block_size + 6 * heads + self.units
        mixing = gated_attention_flops(
            self.resolved_form, length, heads, size, size + 1, chunk_size=self.chunk_size
        )
        return batch_size * (2 * length * self.inner_dim * widths + mixing)


@keras.saving.register_keras_serializable(package="papers")
class SLSTM(_XLSTMLayer):
    """The sLSTM with its norm, the mixer of a post up-projection block (figure 10).

    A recurrent layer with exponential gates, in heads that do not see each other (eq. 8-17, 36):

        z, o = tanh(z~), sigmoid(o~),   i = exp(i~),   f = sigmoid(f~) or exp(f~)
        c_t = f_t c_{t-1} + i_t z_t,   n_t = f_t n_{t-1} + i_t,   h_t = o_t c_t / n_t

    where each of the four pre-activations is `W x_t + R h_{t-1} + b`, W and R block-diagonal, a
    block a head; with a convolution, those of i and f are `W silu(conv(x))_t + R h_{t-1} + b`. The
    output is the norm of each head's h. c and n are kept divided by `exp(m_t)`, with
    `m_t = max(log f_t + m_{t-1}, log i_t)`.

    State: `{"hidden": (B, H, d), "cell": (B, H, d), "normaliser": (B, H, d), "stabiliser":
    (B, H, d)}`: h, c, n, m, all zero before the first step but m, which is then the logarithm of
    (nearly) zero, so that the first step writes with a weight of 1; and with a convolution
    `"window": (B, kernel_size - 1, D)`, its last inputs in the compute dtype.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        kernel_size: Steps that the convolution sees; 0 is no convolution.
        forget_gate: `"sigmoid"`, as in the authors' code, or `"exponential"`.
        depth: Place of the block in its stack, from 0, the first, to 1, the last; the deeper, the
            more forget gates start nearly open.
        recurrent_initializer: Initializer of R; zeros in the authors' code.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `num_heads` does not divide `units` or,
            when built, the input's width, `depth` is not from 0 to 1, or `forget_gate` is unknown.
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        kernel_size: int = 4,
        forget_gate: str = "sigmoid",
        depth: float = 0.0,
        recurrent_initializer="zeros",
        **kwargs,
    ):
        super().__init__(units, num_heads, kernel_size, forget_gate, **kwargs)
        check_integers(self, 0, kernel_size=kernel_size)
        check_numbers(self, at_least=0, at_most=1, depth=depth)
        check_divides(self, "`units`", units, num_heads=num_heads)
        self.depth = depth
        self.recurrent_initializer = initializer_of(
            self, "recurrent_initializer", recurrent_initializer
        )

    @property
    def head_dim(self) -> int:
        """Width d of a head."""
        return self.units // self.num_heads

    def state_spec(self) -> dict:
        shape = (self.num_heads, self.head_dim)
        spec = {name: StateSpec(shape) for name in _STATES}
        if self.kernel_size:
            spec["window"] = self._window_spec(self.num_heads * self.kernel.shape[1])
        return spec

    def initial_values(self) -> dict:
        values = super().initial_values()
        return {**values, "stabiliser": ops.full_like(values["stabiliser"], LOG_ZERO)}

    def build(self, input_shape):
        super().build(input_shape)
        width, heads, size = input_shape[-1], self.num_heads, self.head_dim
        check_divides(self, "the inputs' width", width, num_heads=heads)
        if self.kernel_size:
            self._add_convolution(width)
        shape = (heads, width // heads, 4 * size)
        self.kernel = self.add_weight(shape, _normal((2 / (5 * width)) ** 0.5), name="kernel")
        self.recurrent_kernel = self.add_weight(
            (heads, size, 4 * size), self.recurrent_initializer, name="recurrent_kernel"
        )
        self.bias = self.add_weight((heads, 4 * size), self._initial_bias, name="bias")
        self.norm_scale = self.add_weight((self.units,), "ones", name="norm_scale")

    def _initial_bias(self, shape, dtype=None):
        # A power law from 5 to -7 over the cells of a head, more of them near 5 in deeper blocks.
        place = np.arange(self.head_dim) / max(1, self.head_dim - 1)
        bias = np.zeros((self.num_heads, 4, self.head_dim))
        bias[:, 1] = 5 - 12 * place ** (0.3 + 1.3 * self.depth)
        return ops.cast(bias.reshape(shape), dtype)

    def _gates(self, x, activated):
        """What the inputs add to the pre-activations of i, f, z and o, `(..., H, 4 d)`."""
        kernel, half = self.cast(self.kernel), 2 * self.head_dim
        x, activated = (
            rearrange(y, "... (h n) -> ... h n", h=self.num_heads) for y in (x, activated)
        )
        if self.kernel_size:
            parts = [by_blocks(activated, kernel[..., :half]), by_blocks(x, kernel[..., half:])]
            gates = ops.concatenate(parts, axis=-1)
        else:
            gates = by_blocks(x, kernel)
        return ops.cast(gates, self.state_dtype) + ops.cast(self.bias, self.state_dtype)

    def recur(self, features, state):
        activated, window = features, {}
        if self.kernel_size:
            activated, window["window"] = self._convolve_step(features, state["window"])
        gates, kernel = self._gates(features, activated), self.cast(self.recurrent_kernel)
        cells = self._advance(gates, {name: state[name] for name in _STATES}, kernel)
        return cells["hidden"], cells | window

    def _advance(self, gates, cells, kernel):
        hidden, cell, normaliser, stabiliser = (cells[name] for name in _STATES)
        gates = gates + mix(hidden, kernel)
        states = slstm_cell(gates, cell, normaliser, stabiliser, self.forget_gate)
        return dict(zip(_STATES, states, strict=True))

    def recurrent(self, features, state, initial, mask, reset):
        activated, window = features, {}
        if self.kernel_size:
            activated, window["window"] = self._convolve(features, state["window"], mask, reset)
        gates, kernel = self._gates(features, activated), self.cast(self.recurrent_kernel)
        cells, initial = ({name: x[name] for name in _STATES} for x in (state, initial))
        if mask is None and reset is None:
            hidden, cell, normaliser, stabiliser = cells.values()
            states = slstm_scan(
                gates, hidden, cell, normaliser, stabiliser, kernel, self.forget_gate
            )
            cells = {name: x[:, -1] for name, x in zip(_STATES, states, strict=True)}
            return states[0], cells | window

        def step(cells, gates):
            cells = self._advance(gates, cells, kernel)
            return cells, cells["hidden"]

        cells, hidden = scan_marked(step, cells, gates, initial, mask, reset)
        return hidden, cells | window

    def readout(self, emitted):
        return self._norm_heads(emitted)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T 4 units (D + units) / H`."""
        width = self.kernel.shape[1] + self.head_dim
        return 2 * batch_size * length * 4 * self.units * width


def _divided(read, weight, m):
    """What is read (eq. 21), of `memory_step` or `memory_scan`."""
    divisor, scale = memory_divisor(weight, m)
    return read * scale / maximum(divisor, ops.full_like(divisor, _DIVISOR))


def _normal(stddev: float):
    return keras.initializers.RandomNormal(0, stddev)


def _uniform(bound: float):
    return keras.initializers.RandomUniform(-bound, bound)
