"""PaTH attention (Yang et al., 2025), with forget gates (PaTH-FoX), and the gates alone (FoX)."""

from functools import partial
from typing import Any

import keras
from einops import rearrange
from keras import ops

from common.checks import check_flags, check_integers, check_positive, given
from common.layers import MultiHead, StateSpec
from common.ops.path_attention import (
    chunkwise_path_attention,
    parallel_path_attention,
    path_attention_flops,
    path_attention_step,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# Keeps the length of a direction from zero, as in the authors' code.
_LENGTH = 1e-6


class _QueueAttention(MultiHead):
    """Softmax attention over a queue of keys that later steps change.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        window: How many steps a query sees, its own included.
        chunk_size: Steps in a chunk of the chunkwise form.
        **kwargs: Arguments of `common.layers.MultiHead`.
    """

    forms = ("chunkwise", "parallel", "recurrent")

    # Whether scores fade, and whether keys are turned.
    forget_gate = True
    turns = False

    def __init__(
        self,
        units: int,
        num_heads: int,
        window: int,
        chunk_size: int = 64,
        **kwargs: Any,
    ):
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, window=window, chunk_size=chunk_size)
        self.window = window
        self.chunk_size = chunk_size

    def build(self, input_shape):
        super().build(input_shape)
        if self.forget_gate:
            self.forget_kernel = self.add_weight(
                (input_shape[-1], self.num_heads), "glorot_uniform", name="forget_kernel"
            )
            self.forget_bias = self.add_weight((self.num_heads,), "zeros", name="forget_bias")

    def state_spec(self) -> dict:
        entries = (self.num_heads, self.window)
        spec = {
            "keys": StateSpec((*entries, self.key_dim), None if self.turns else self.compute_dtype),
            "values": StateSpec((*entries, self.value_dim), self.compute_dtype),
            "filled": StateSpec((), "int32"),
        }
        return spec | {"faded": StateSpec(entries)} if self.forget_gate else spec

    def features(self, inputs, training=None):
        features = super().features(inputs, training)
        if self.forget_gate:
            gate = ops.matmul(inputs, self.cast(self.forget_kernel))
            features["log_forget"] = ops.log_sigmoid(
                self._wide(gate) + self._wide(self.forget_bias)
            )
        return features

    def recur(self, features, state):
        return path_attention_step(state=state, **features)

    def parallel(self, features, state, initial, mask, reset):
        return self._attend(parallel_path_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attend = partial(chunkwise_path_attention, chunk_size=self.chunk_size)
        return self._attend(attend, features, state, mask, reset)

    def _attend(self, attend, features, state, mask, reset):
        return attend(state=state, window=self.window, mask=mask, reset=reset, **features)

    def _wide(self, x):
        return ops.cast(x, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and `2 B T D H` for the forget gates."""
        gates = self.num_heads if self.forget_gate else 0
        gates *= 2 * batch_size * length * self.kernel.shape[0]
        return super().count_flops(batch_size, length) + gates

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """`common.ops.path_attention.path_attention_flops` for each head."""
        flops = path_attention_flops(
            self.resolved_form,
            length,
            self.key_dim,
            self.value_dim,
            self.window,
            turns=self.turns,
            chunk_size=self.chunk_size,
        )
        return batch_size * self.num_heads * flops


@keras.saving.register_keras_serializable(package="papers")
class ForgettingAttention(_QueueAttention):
    """The forgetting transformer's attention, FoX (Lin et al., 2025, arXiv:2503.02130, eq. 3).

        q_t, k_t, v_t = W_q x_t, W_k x_t, W_v x_t,   f_t = sigmoid(W_f x_t + b_f)
        s_ij = k_j^T q_i / sqrt(K) + log f_{j+1} + ... + log f_i,   o_i = sum_j softmax_j(s_ij) v_j

    There are no positions but what the gates tell. A gate of 1 is plain softmax attention.

    State: `{"keys": (B, H, L, K), "values": (B, H, L, V), "faded": (B, H, L), "filled": (B,)
    int32}`, L = `window`: a queue, the newest step last, of which the last `filled` are there, and
    the sums of log f since. Keys and values are in the compute dtype, in which they were computed.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        window: How many steps a query sees, its own included.
        chunk_size: Steps in a chunk of the chunkwise form.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, and as `MultiHead` does.
    """


@keras.saving.register_keras_serializable(package="papers")
class PaTHAttention(_QueueAttention):
    """Softmax attention whose scores pass the transitions of the steps in between (section 2.2).

        q_t, k_t, v_t = W_q x_t, W_k x_t, W_v x_t,   beta_t = 2 sigmoid(W_b x_t + b)
        w_t = silu(conv(W_2 W_1 x)_t) over its length,   H_t = I - beta_t w_t w_t^T
        s_ij = k_j^T (H_{j+1} ... H_i) q_i / sqrt(K),    o_i = sum_j softmax_j(s_ij) v_j

    There are no other positions. `forget_gate` adds `log f_{j+1} + ... + log f_i` to `s_ij`, f_t =
    sigmoid(W_f x_t + b_f): PaTH-FoX. A beta of 0 is plain softmax attention.

    State: `{"keys": (B, H, L, K), "values": (B, H, L, V), "filled": (B,) int32, "conv": (B,
    kernel_size - 1, H K)}`, L = `window`, and `"faded": (B, H, L)` with the gate. A queue, the
    newest step last, of which the last `filled` are there; every step multiplies all keys by its H
    (section 3.4). Values and the convolution's last inputs are in the compute dtype, in which they
    were computed; `"conv"` only with a convolution.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        window: How many steps a query sees, its own included.
        forget_gate: Whether scores fade, too.
        rank: Of the projection to w, or `None` for a full one.
        kernel_size: Steps that the convolution sees, at least 2, or `None` for no convolution.
        chunk_size: Steps in a chunk of the chunkwise form.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if `kernel_size` is no integer from 2, a size not a positive integer, another
            argument of the wrong type, and as `MultiHead` does.
    """

    turns = True

    def __init__(
        self,
        units: int,
        num_heads: int,
        window: int,
        forget_gate: bool = False,
        rank: int | None = 32,
        kernel_size: int | None = 3,
        chunk_size: int = 64,
        **kwargs,
    ):
        super().__init__(units, num_heads, window, chunk_size, **kwargs)
        check_flags(self, forget_gate=forget_gate)
        self.forget_gate = forget_gate
        check_positive(self, **given(rank=rank))
        check_integers(self, 2, **given(kernel_size=kernel_size))
        self.rank = rank
        self.kernel_size = kernel_size

    def build(self, input_shape):
        super().build(input_shape)
        inputs, joined = input_shape[-1], self.num_heads * self.key_dim
        if self.rank is not None:
            self.turn_in_kernel = self.add_weight(
                (inputs, self.rank), "glorot_uniform", name="turn_in_kernel"
            )
            inputs = self.rank
        self.turn_kernel = self.add_weight((inputs, joined), "glorot_uniform", name="turn_kernel")
        self.strength_kernel = self.add_weight(
            (input_shape[-1], self.num_heads), "glorot_uniform", name="strength_kernel"
        )
        self.strength_bias = self.add_weight((self.num_heads,), "zeros", name="strength_bias")
        if self.kernel_size is not None:
            # PyTorch's default for a depthwise convolution, which the authors' code leaves as is.
            bound = self.kernel_size**-0.5
            self.conv_kernel = self.add_weight(
                (self.kernel_size, joined),
                keras.initializers.RandomUniform(-bound, bound),
                name="conv_kernel",
            )

    def state_spec(self) -> dict:
        spec = super().state_spec()
        if self.kernel_size is not None:
            shape = (self.kernel_size - 1, self.num_heads * self.key_dim)
            spec["conv"] = StateSpec(shape, self.compute_dtype)
        return spec

    def features(self, inputs, training=None):
        features = super().features(inputs, training)
        strength = ops.matmul(inputs, self.cast(self.strength_kernel))
        strength = self._wide(strength) + self._wide(self.strength_bias)
        if self.rank is not None:
            inputs = ops.matmul(inputs, self.cast(self.turn_in_kernel))
        return features | {
            "beta": 2 * ops.sigmoid(strength),
            "w": ops.matmul(inputs, self.cast(self.turn_kernel)),
        }

    def recur(self, features, state):
        features, state, new = dict(features), dict(state), {}
        w = features.pop("w")
        if self.kernel_size is not None:
            w, new["conv"] = causal_convolution_step(
                w, self.cast(self.conv_kernel), state.pop("conv")
            )
        emitted, queue = path_attention_step(state=state, w=self._directions(w), **features)
        return emitted, queue | new

    def _attend(self, attend, features, state, mask, reset):
        features, state, new = dict(features), dict(state), {}
        w = features.pop("w")
        if self.kernel_size is not None:
            w, new["conv"] = causal_convolution(
                w, self.cast(self.conv_kernel), state.pop("conv"), mask=mask, reset=reset
            )
        emitted, queue = super()._attend(
            attend, features | {"w": self._directions(w)}, state, mask, reset
        )
        return emitted, queue | new

    def _directions(self, w):
        """Of length 1, `(..., H, K)`."""
        w = self._wide(w)
        w = rearrange(
            w if self.kernel_size is None else ops.silu(w), "... (h k) -> ... h k", k=self.key_dim
        )
        return w * ops.rsqrt(ops.sum(w * w, axis=-1, keepdims=True) + _LENGTH)

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and 2 B T times the sizes of the other kernels, but the convolution's."""
        kernels = [self.turn_kernel, self.strength_kernel]
        if self.rank is not None:
            kernels.append(self.turn_in_kernel)
        weights = sum(kernel.shape[0] * kernel.shape[1] for kernel in kernels)
        return super().count_flops(batch_size, length) + 2 * batch_size * length * weights
