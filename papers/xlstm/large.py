"""xLSTM 7B (Beck et al., 2025, arXiv 2503.13427): mLSTMs without convolution, each with an MLP."""

from functools import partial

import keras
from einops import rearrange
from keras import ops

from common.checks import check_divides, check_numbers, check_positive, check_powers_of_two, given
from common.layers import ScanLayer
from common.models import GatedMLP, LanguageModel
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    parallel_gated_attention,
    recurrent_gated_attention,
)
from papers.xlstm.cell import log_forget_gate
from papers.xlstm.memory import memory_divisor, memory_scan, memory_spec, memory_step, norm_heads

# Added to what the read values are divided by, in units of exp(m).
_DIVISOR = 1e-6

# What the memory takes, in its order.
_INPUTS = ("q", "k", "v", "log_f", "log_i")


@keras.saving.register_keras_serializable(package="papers")
class PostUpMLSTM(ScanLayer):
    """The mLSTM of a post up-projection block, at the width of the stream.

    With `cap(x) = c tanh(x / c)`, in each head:

        q_t, k_t, v_t, o_t = W x_t
        i_t = exp(cap(w_i x_t + b_i)),   f_t = sigmoid(cap(w_f x_t + b_f))
        C_t = f_t C_{t-1} + i_t v_t k_t^T,   n_t = f_t n_{t-1} + i_t k_t,   k_t over sqrt(K)
        h_t = C_t q_t / max(|n_t . q_t|, 1)

    and the output is `W_o (sigmoid(o_t) norm(h_t))` with a layer norm for each head. As in `MLSTM`,
    C and n are kept divided by `exp(m_t)`.

    State: `{"memory": (B, H, K, V), "normaliser": (B, H, K), "stabiliser": (B, H)}`: the transpose
    of C, n and m.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        key_dim: Key size K of a head; half of V by default.
        value_dim: Value size V of a head; `units / num_heads` by default.
        gate_cap: c; no cap if `None`.
        epsilon: Added to the variance in the norm.
        num_layers: Blocks in the stack that the layer is part of, by which the initial output
            kernel is divided.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `num_heads` does not divide `units`, or V
            is odd, where they have to be divided, `gate_cap` or `epsilon` is not positive, or
            `chunk_size` is no power of two.
    """

    forms = ("chunkwise", "parallel", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int = 8,
        key_dim: int | None = None,
        value_dim: int | None = None,
        gate_cap: float | None = 15.0,
        epsilon: float = 1e-6,
        num_layers: int = 1,
        chunk_size: int = 64,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_heads=num_heads, num_layers=num_layers)
        check_positive(self, **given(key_dim=key_dim, value_dim=value_dim))
        check_numbers(self, above=0, epsilon=epsilon, **given(gate_cap=gate_cap))
        check_powers_of_two(self, chunk_size=chunk_size)
        if value_dim is None:
            check_divides(self, "`units`", units, num_heads=num_heads)
            value_dim = units // num_heads
        if key_dim is None and value_dim % 2:
            raise ValueError(
                f"PostUpMLSTM: `value_dim` must be even unless `key_dim` is given; got {value_dim}."
            )
        self.units = units
        self.num_heads = num_heads
        self.key_dim = value_dim // 2 if key_dim is None else key_dim
        self.value_dim = value_dim
        self.gate_cap = gate_cap
        self.epsilon = epsilon
        self.num_layers = num_layers
        self.chunk_size = chunk_size

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return memory_spec(self.num_heads, self.key_dim, self.value_dim)

    def build(self, input_shape):
        super().build(input_shape)
        width, keys, values = input_shape[-1], *self._widths
        small = keras.initializers.RandomNormal(0, (2 / (5 * width)) ** 0.5)
        # W_q, W_k, W_v and W_o side by side.
        self.kernel = self.add_weight((width, 2 * keys + 2 * values), small, name="kernel")
        gates = 2 * self.num_heads
        self.gate_kernel = self.add_weight((width, gates), "zeros", name="gate_kernel")
        self.gate_bias = self.add_weight((gates,), self._initial_gate_bias, name="gate_bias")
        self.norm_scale = self.add_weight((values,), "ones", name="norm_scale")
        scale = keras.initializers.RandomNormal(0, 2 / self.num_layers / self.units**0.5)
        self.output_kernel = self.add_weight((values, self.units), scale, name="output_kernel")

    @property
    def _widths(self) -> tuple[int, int]:
        """Of the keys and of the values, all heads together."""
        return self.num_heads * self.key_dim, self.num_heads * self.value_dim

    def _initial_gate_bias(self, shape, dtype=None):
        forget = ops.linspace(3.0, 6.0, self.num_heads, dtype=dtype)
        return ops.concatenate([ops.full_like(forget, -10.0), forget])

    def features(self, inputs, training=None):
        keys, values = self._widths
        projected = ops.matmul(inputs, self.cast(self.kernel))
        *heads, gate = ops.split(projected, (keys, 2 * keys, 2 * keys + values), axis=-1)
        q, k, v = (
            rearrange(ops.cast(x, self.state_dtype), "b t (h n) -> b t h n", h=self.num_heads)
            for x in heads
        )
        gates = ops.matmul(inputs, self.cast(self.gate_kernel))
        gates = ops.cast(gates, self.state_dtype) + ops.cast(self.gate_bias, self.state_dtype)
        if self.gate_cap is not None:
            gates = self.gate_cap * ops.tanh(gates / self.gate_cap)
        log_i, forget = ops.split(gates, 2, axis=-1)
        return {
            "q": q,
            "k": k * self.key_dim**-0.5,
            "v": v,
            "log_f": log_forget_gate(forget, "sigmoid"),
            "log_i": log_i,
            "gate": gate,
        }

    def recur(self, features, state):
        read, state = memory_step([features[name] for name in _INPUTS], state)
        return {"read": _divided(*read), "gate": features["gate"]}, state

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_gated_attention, features, state, mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        return self._mix(parallel_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._mix(attention, features, state, mask, reset)

    def _mix(self, attention, features, state, mask, reset):
        inputs = [features[name] for name in _INPUTS]
        read, state = memory_scan(inputs, state, mask, reset, attention, self.scan)
        return {"read": _divided(*read), "gate": features["gate"]}, state

    def readout(self, emitted):
        read = self.cast(norm_heads(emitted["read"], self.epsilon)) * self.cast(self.norm_scale)
        return ops.matmul(ops.sigmoid(emitted["gate"]) * read, self.cast(self.output_kernel))

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T H (D (2 K + 2 V + 2) + V units)`, and those of the gated attention.

        There n is one more value: it has V + 1.
        """
        heads, keys, values = self.num_heads, self.key_dim, self.value_dim
        weights = heads * (self.kernel.shape[0] * 2 * (keys + values + 1) + values * self.units)
        mixing = gated_attention_flops(
            self.resolved_form, length, heads, keys, values + 1, chunk_size=self.chunk_size
        )
        return batch_size * (2 * length * weights + mixing)


def _divided(read, weight, m):
    """What is read, with the authors' code's addition to the divisor."""
    divisor, scale = memory_divisor(weight, m)
    return read * scale / (divisor + _DIVISOR * scale)


# The published model (section 3 and appendix).
LARGE_SIZES = {"7B": {"vocabulary_size": 50304, "units": 4096, "num_layers": 32}}


@keras.saving.register_keras_serializable(package="papers")
class XLSTMLarge(LanguageModel):
    """A language model of mLSTM blocks with MLPs, the architecture of xLSTM 7B.

    A block is `y = x + mLSTM(norm(x))`, then `y + mlp(norm(y))` with a SwiGLU. The norms are RMS
    norms; the gates of the mLSTM and the logits are capped.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every mLSTM.
        key_dim: Key size of a head; half of its value size by default.
        value_dim: Value size of a head; `units / num_heads` by default.
        hidden_units: Width of the MLPs; `8 / 3 units` by default, up to the next multiple of 64.
        gate_cap: Of the gates' pre-activations, `cap tanh(x / cap)`; none if `None`.
        logits_cap: Of the logits likewise.
        epsilon: Of all norms.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        form: Form of the mLSTM.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if `num_layers` or a size is not a positive integer, and as the layers do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int = 8,
        key_dim: int | None = None,
        value_dim: int | None = None,
        hidden_units: int | None = None,
        gate_cap: float | None = 15.0,
        logits_cap: float | None = 30.0,
        epsilon: float = 1e-6,
        chunk_size: int = 64,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers)
        hidden_units = -(-8 * units // 192) * 64 if hidden_units is None else hidden_units
        small = (2 / (5 * units)) ** 0.5
        super().__init__(
            vocabulary_size,
            units,
            [
                PostUpMLSTM(
                    units,
                    num_heads,
                    key_dim,
                    value_dim,
                    gate_cap,
                    epsilon,
                    num_layers,
                    chunk_size,
                    form=form,
                    dtype=dtype,
                )
                for _ in range(num_layers)
            ],
            [GatedMLP(hidden_units, dtype=dtype) for _ in range(num_layers)],
            epsilon=epsilon,
            embedding_stddev=small,
            head_stddev=small,
            logits_cap=logits_cap,
            dtype=dtype,
            **kwargs,
        )
