"""Multi-scale retention (Sun et al., 2023, section 2)."""

import math
from functools import partial

import keras
from einops import rearrange
from keras import ops

from common.checks import check_positive, check_powers_of_two, given, refuse
from common.layers import SMALL_GAIN, MultiHead, StateSpec, glorot
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    gated_attention_step,
    parallel_gated_attention,
    recurrent_gated_attention,
)
from common.ops.linear_scan import maximum
from common.ops.rotary import count_steps, rotate

# Added to the variance in the group norm, as in the authors' code.
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="papers")
class Retention(MultiHead):
    """Gated multi-scale retention: linear attention whose heads forget, each at a fixed rate.

    Head h, from 0, keeps `gamma = 1 - 2^(-5 - h)` of its memory at every step (eq. 8). Queries and
    keys are turned by their positions n, counted from the start or the last reset (eq. 5, the turn
    of xPos without its own decay, in place of which gamma stands). With n steps so far,

        S_n = gamma S_{n-1} + k_n v_n^T                                  (eq. 6)
        r_m = gamma^(n-m) q_n . k_m / sqrt(K) / sqrt(sum_{i=1}^n gamma^(n-i))
        o_n = sum_m r_m v_m / max(|sum_m r_m|, 1)
        y_n = W_o (silu(W_g x_n) * groupnorm(o_n))                       (eq. 8)

    The three divisors are the paper's "retention score normalization". The second is a function of
    the position, the third reads one more column of the memory, in which all values are 1: so
    all forms compute the same function, gradient included. The group norm, over each head, has no
    weights; up to its epsilon it does not see the divisors, which keep the numbers in range.

    Forms: chunk by chunk (eq. 7), as one masked product (eq. 5), and step by step. The memory is
    float32 under mixed policies.

    State: `{"memory": (B, H, K, V), "normaliser": (B, H, K), "position": (B,) int32}`: S, its
    column for the values of 1, and the number of steps so far.

    Args:
        units: Width of the output.
        num_heads: Number of heads H; the paper's heads have 256 keys.
        key_dim: Key size K of a head, even; `units / num_heads` by default.
        value_dim: Value size V of a head; twice the key size by default (section 3.1).
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `key_dim` odd, `chunk_size` no power of
            two, or `num_heads` does not divide `units` where it has to.
    """

    forms = ("chunkwise", "parallel", "recurrent")
    has_output_bias = False
    kernel_gain = SMALL_GAIN

    def __init__(
        self,
        units: int,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        chunk_size: int = 64,
        **kwargs,
    ):
        check_positive(self, units=units, num_heads=num_heads, **given(key_dim=key_dim))
        if value_dim is None:
            value_dim = 2 * (units // num_heads if key_dim is None else key_dim)
        super().__init__(units, num_heads, key_dim, value_dim, **kwargs)
        if self.key_dim % 2:
            refuse(self, "key_dim", "even", self.key_dim)
        check_powers_of_two(self, chunk_size=chunk_size)
        self.chunk_size = chunk_size

    def state_spec(self) -> dict:
        return {
            "memory": StateSpec((self.num_heads, self.key_dim, self.value_dim)),
            "normaliser": StateSpec((self.num_heads, self.key_dim)),
            "position": StateSpec((), "int32"),
        }

    def build(self, input_shape):
        super().build(input_shape)
        self.gate_kernel = self.add_weight(
            (input_shape[-1], self._split_sizes[2]), glorot(SMALL_GAIN), name="gate_kernel"
        )

    @property
    def log_gammas(self) -> list[float]:
        """The logarithms of the heads' gammas."""
        return [math.log1p(-(2.0 ** (-5 - h))) for h in range(self.num_heads)]

    def features(self, inputs, training=None):
        heads = super().features(inputs, training)
        heads = {name: ops.cast(x, self.state_dtype) for name, x in heads.items()}
        # The values of the normaliser, which are 1.
        ones = ops.ones_like(heads["v"][..., :1])
        return {
            "q": heads["q"],
            "k": heads["k"],
            "v": ops.concatenate([heads["v"], ones], axis=-1),
            "gate": ops.matmul(inputs, self.cast(self.gate_kernel)),
        }

    def recur(self, features, state):
        positions = state["position"][:, None]
        q, k = self._turn(features["q"][:, None], features["k"][:, None], positions)
        log_decay = ops.convert_to_tensor(self.log_gammas, self.state_dtype)[:, None]
        read, memory = gated_attention_step(
            q[:, 0], k[:, 0], features["v"], log_decay, self._join(state)
        )
        state = {**_parted(memory), "position": state["position"] + 1}
        return {"read": read, "gate": features["gate"]}, state

    def recurrent(self, features, state, initial, mask, reset):
        return self._attend(recurrent_gated_attention, features, state, mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        return self._attend(parallel_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._attend(attention, features, state, mask, reset)

    def _attend(self, attention, features, state, mask, reset):
        # A reset puts zeros back, which is what the ops do by default.
        v = features["v"]
        positions, last = count_steps(state["position"], ops.shape(v)[1], mask, reset)
        q, k = self._turn(features["q"], features["k"], positions)
        log_decay = ops.convert_to_tensor(self.log_gammas, self.state_dtype)[:, None]
        log_decay = ops.broadcast_to(log_decay, (*ops.shape(v)[:-1], 1))
        read, memory = attention(q, k, v, log_decay, self._join(state), mask=mask, reset=reset)
        return {"read": read, "gate": features["gate"]}, {**_parted(memory), "position": last}

    def _turn(self, q, k, positions):
        """Queries and keys turned by `positions` (B, T), the queries with the first two divisors.

        The sum of gamma^0 to gamma^(n-1) is `(1 - gamma^n) / (1 - gamma)`.
        """
        steps = ops.cast(positions + 1, self.state_dtype)[..., None]
        logs = ops.convert_to_tensor(self.log_gammas, self.state_dtype)
        total = ops.expm1(steps * logs) / ops.expm1(logs)  # (B, T, H)
        scale = ops.rsqrt(self.key_dim * total)[..., None]
        return rotate(q, positions) * scale, rotate(k, positions)

    def _join(self, state):
        return ops.concatenate([state["memory"], state["normaliser"][..., None]], axis=-1)

    def readout(self, emitted):
        read, weight = ops.split(emitted["read"], (self.value_dim,), axis=-1)
        divisor = maximum(ops.abs(weight), ops.ones_like(weight))
        centred = read - ops.mean(read, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        # The normalisation of `read / divisor`. Dividing before it would be a pass more, and a
        # program that XLA does not compile for GPUs (jaxlib 0.11.2, V = 512).
        normed = centred * ops.rsqrt(variance + EPSILON * ops.square(divisor))
        joined = rearrange(self.cast(normed), "b t h v -> b t (h v)")
        return ops.matmul(joined * ops.silu(emitted["gate"]), self.cast(self.output_kernel))

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and `2 B T D H V` for the gate."""
        gate = self.kernel.shape[0] * self._split_sizes[2]
        return super().count_flops(batch_size, length) + 2 * batch_size * length * gate

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Those of `common.ops.gated_attention` with V + 1 values."""
        return batch_size * gated_attention_flops(
            self.resolved_form,
            length,
            self.num_heads,
            self.key_dim,
            self.value_dim + 1,
            chunk_size=self.chunk_size,
        )


def _parted(memory) -> dict:
    """The memory and the column of the normaliser."""
    return {"memory": memory[..., :-1], "normaliser": memory[..., -1]}
