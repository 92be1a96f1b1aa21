"""Gated linear attention (Yang et al., 2023, section 4)."""

from functools import partial

import keras
from einops import rearrange
from keras import ops

from common.checks import check_numbers, check_positive, check_powers_of_two, refuse
from common.layers import SMALL_GAIN, MultiHead, StateSpec, glorot
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    gated_attention_step,
    recurrent_gated_attention,
)

# Added to the mean square in the norm of the heads, as in the authors' code.
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="papers")
class GatedLinearAttention(MultiHead):
    """Linear attention whose memory forgets at a rate of its own for every key dimension.

    A head keeps the matrix S, K x V (eq. 3 and section 4.4):

        alpha_t = sigmoid(W_2 W_1 x_t + b)^(1 / temperature)
        S_t     = diag(alpha_t) S_{t-1} + k_t v_t^T
        o_t     = norm(S_t^T q_t / sqrt(K))
        y_t     = W_o (silu(W_r x_t) * o_t)          the heads' o_t side by side

    The temperature keeps alpha close to 1. The gates are products of W_1, D x gate_rank, and W_2.
    The norm is an RMS norm of each head with one scale for all heads, as in the authors' code.

    Forms: chunk by chunk, and step by step. The memory and the gates are float32 under mixed
    policies.

    State: `{"memory": (B, H, K, V)}`.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        key_dim: Key size K of a head; half of `units / num_heads` by default (section 4.4).
        value_dim: Value size V of a head; `units / num_heads` by default.
        gate_rank: Rank of the product that alpha comes from.
        temperature: tau.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `chunk_size` no power of two,
            `temperature` not positive, or `2 num_heads` does not divide `units` where it has to.
    """

    forms = ("chunkwise", "recurrent")
    has_output_bias = False
    kernel_gain = SMALL_GAIN
    output_gain = SMALL_GAIN

    def __init__(
        self,
        units: int,
        num_heads: int = 4,
        key_dim: int | None = None,
        value_dim: int | None = None,
        gate_rank: int = 16,
        temperature: float = 16.0,
        chunk_size: int = 64,
        **kwargs,
    ):
        check_positive(self, units=units, num_heads=num_heads)
        if key_dim is None:
            pairs = 2 * num_heads
            if units % pairs:
                expected = f"divisible by 2 `num_heads` = {pairs} unless `key_dim` is given"
                refuse(self, "units", expected, units)
            key_dim = units // (2 * num_heads)
        super().__init__(units, num_heads, key_dim, value_dim, **kwargs)
        check_positive(self, gate_rank=gate_rank)
        check_powers_of_two(self, chunk_size=chunk_size)
        check_numbers(self, above=0, temperature=temperature)
        self.gate_rank = gate_rank
        self.temperature = temperature
        self.chunk_size = chunk_size

    def state_spec(self) -> dict:
        return {"memory": StateSpec((self.num_heads, self.key_dim, self.value_dim))}

    def build(self, input_shape):
        super().build(input_shape)
        width, keys, _ = input_shape[-1], *self._split_sizes[1:]
        self.decay_in_kernel = self.add_weight(
            (width, self.gate_rank), glorot(SMALL_GAIN), name="decay_in_kernel"
        )
        self.decay_kernel = self.add_weight(
            (self.gate_rank, keys), glorot(SMALL_GAIN), name="decay_kernel"
        )
        self.decay_bias = self.add_weight((keys,), "zeros", name="decay_bias")
        self.gate_kernel = self.add_weight(
            (width, self._split_sizes[2]), glorot(SMALL_GAIN), name="gate_kernel"
        )
        self.norm_scale = self.add_weight((self.value_dim,), "ones", name="norm_scale")

    def features(self, inputs, training=None):
        heads = super().features(inputs, training)
        low = ops.matmul(inputs, self.cast(self.decay_in_kernel))
        logits = ops.matmul(low, self.cast(self.decay_kernel))
        # Gates multiply along the whole sequence: they are float32 at least.
        logits = ops.cast(logits, self.state_dtype) + ops.cast(self.decay_bias, self.state_dtype)
        log_decay = -ops.softplus(-logits) / self.temperature
        return {
            "q": ops.cast(heads["q"], self.state_dtype) * self.key_dim**-0.5,
            "k": heads["k"],
            "v": heads["v"],
            "log_decay": rearrange(log_decay, "b t (h k) -> b t h k", h=self.num_heads),
            "gate": ops.matmul(inputs, self.cast(self.gate_kernel)),
        }

    def recur(self, features, state):
        q, k, v = (ops.cast(features[name], self.state_dtype) for name in "qkv")
        read, memory = gated_attention_step(q, k, v, features["log_decay"], state["memory"])
        return {"read": read, "gate": features["gate"]}, {"memory": memory}

    def recurrent(self, features, state, initial, mask, reset):
        return self._attend(recurrent_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._attend(attention, features, state, mask, reset)

    def _attend(self, attention, features, state, mask, reset):
        # A reset puts zeros back, which is what the ops do by default.
        read, memory = attention(
            features["q"],
            features["k"],
            ops.cast(features["v"], self.state_dtype),
            features["log_decay"],
            state["memory"],
            mask=mask,
            reset=reset,
        )
        return {"read": read, "gate": features["gate"]}, {"memory": memory}

    def readout(self, emitted):
        read = emitted["read"]
        power = ops.mean(ops.square(read), axis=-1, keepdims=True)
        normed = read * ops.rsqrt(power + EPSILON) * ops.cast(self.norm_scale, self.state_dtype)
        joined = rearrange(self.cast(normed), "b t h v -> b t (h v)")
        return ops.matmul(joined * ops.silu(emitted["gate"]), self.cast(self.output_kernel))

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and `2 B T (D (R + H V) + R H K)` for the two gates, R their rank."""
        width, (_, keys, values) = self.kernel.shape[0], self._split_sizes
        gates = width * (self.gate_rank + values) + self.gate_rank * keys
        return super().count_flops(batch_size, length) + 2 * batch_size * length * gates

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Those of `common.ops.gated_attention` with a gate a key dimension."""
        return batch_size * gated_attention_flops(
            self.resolved_form,
            length,
            self.num_heads,
            self.key_dim,
            self.value_dim,
            gates=self.key_dim,
            chunk_size=self.chunk_size,
        )
