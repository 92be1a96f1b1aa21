"""Kimi delta attention (Kimi Team, 2025), with Gated DeltaNet-2's gates (Hatamizadeh, 2026)."""

from functools import partial

import keras
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import (
    check_flags,
    check_integers,
    check_numbers,
    check_positive,
    check_powers_of_two,
    given,
)
from common.layers import MultiHead, StateSpec
from common.ops.generalized_delta_rule import (
    chunkwise_generalized_delta_rule,
    generalized_delta_rule_flops,
    generalized_delta_rule_step,
    recurrent_generalized_delta_rule,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# Keeps the length of a key from zero, as in the authors' code.
_LENGTH = 1e-6

# Of `exp(log_rate)`, and of the step sizes that the decays' biases stand for, as in the authors'
# code.
_RATES, _STEP_SIZES = (1.0, 16.0), (1e-3, 1e-1)


@keras.saving.register_keras_serializable(package="papers")
class KimiDelta(MultiHead):
    """The delta rule in a memory S that forgets at a rate of its own for every key dimension.

    Queries, keys and values pass a short convolution over time and a SiLU (section 4):

        q_t, k_t, v_t = silu(conv(W_q x)_t), silu(conv(W_k x)_t), silu(conv(W_v x)_t)
        q_t, k_t over their lengths, q_t also over sqrt(K)
        a_t = exp(-exp(log_rate) softplus(W_a^up W_a^down x_t + decay_bias)),   K of a head
        beta_t = sigmoid(W_b x_t)
        S_t = (I - beta_t k_t k_t^T) diag(a_t) S_{t-1} + beta_t k_t v_t^T           (eq. 1)
        y_t = W_o (norm(S_t^T q_t) sigmoid(W_g^up W_g^down x_t))                    (eq. 10)

    with an RMS norm for each head, whose scale the heads share. `channel_gates` are those of Gated
    DeltaNet-2: what is erased is chosen by key dimension and what is written by value dimension,

        b_t, w_t = sigmoid(W_b x_t), sigmoid(W_w x_t),   K and V of a head
        S_t = (I - k_t (b_t k_t)^T) diag(a_t) S_{t-1} + k_t (w_t v_t)^T

    which is the rule above where all of b and w are one number.

    Forms: chunk by chunk, and step by step. Memory, gates, queries, keys and values are float32
    under mixed policies.

    State: `{"memory": (B, H, K, V), "conv": (B, kernel_size - 1, H (2 K + V))}`: S, and the last
    inputs of the convolution, queries, keys and values side by side, in the compute dtype, in which
    they were computed; `"conv"` only with a convolution.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        kernel_size: Steps that the convolution sees, at least 2, or `None` for no convolution.
        rank: Of the products that the decays and the output's gate come from; V by default.
        channel_gates: Whether the gates that erase and write are Gated DeltaNet-2's.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        epsilon: Of the norm.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if `kernel_size` is no integer from 2, a size not a positive integer,
            `chunk_size` no power of two, `epsilon` not positive, or another argument of the wrong
            type.
    """

    forms = ("chunkwise", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int,
        kernel_size: int | None = 4,
        rank: int | None = None,
        channel_gates: bool = False,
        chunk_size: int = 64,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(units, num_heads, **kwargs)
        check_integers(self, 2, **given(kernel_size=kernel_size))
        check_positive(self, **given(rank=rank))
        check_flags(self, channel_gates=channel_gates)
        check_powers_of_two(self, chunk_size=chunk_size)
        check_numbers(self, above=0, epsilon=epsilon)
        self.kernel_size = kernel_size
        self.rank = self.value_dim if rank is None else rank
        self.channel_gates = channel_gates
        self.chunk_size = chunk_size
        self.epsilon = epsilon

    def build(self, input_shape):
        super().build(input_shape)
        inputs, (_, keys, values) = input_shape[-1], self._split_sizes
        kernels = {
            "decay_in_kernel": (inputs, self.rank),
            "decay_kernel": (self.rank, keys),
            "gate_in_kernel": (inputs, self.rank),
            "gate_kernel": (self.rank, values),
        }
        if self.channel_gates:
            kernels |= {"erase_kernel": (inputs, keys), "write_kernel": (inputs, values)}
        else:
            kernels["strength_kernel"] = (inputs, self.num_heads)
        for name, shape in kernels.items():
            setattr(self, name, self.add_weight(shape, "glorot_uniform", name=name))
        self.log_rate = self.add_weight((self.num_heads,), _initial_log_rate, name="log_rate")
        self.decay_bias = self.add_weight((keys,), _initial_decay_bias, name="decay_bias")
        self.norm_scale = self.add_weight((self.value_dim,), "ones", name="norm_scale")
        if self.kernel_size is not None:
            # PyTorch's default for a depthwise convolution, which the authors' code leaves as is.
            bound = self.kernel_size**-0.5
            self.conv_kernel = self.add_weight(
                (self.kernel_size, sum(self._split_sizes)),
                keras.initializers.RandomUniform(-bound, bound),
                name="conv_kernel",
            )

    def state_spec(self) -> dict:
        spec = {"memory": StateSpec((self.num_heads, self.key_dim, self.value_dim))}
        if self.kernel_size is not None:
            shape = (self.kernel_size - 1, sum(self._split_sizes))
            spec["conv"] = StateSpec(shape, self.compute_dtype)
        return spec

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel))
        if self.use_bias:
            projected = projected + self.cast(self.bias)
        # Strengths and gates multiply along the whole sequence: they are float32 at least.
        step = self._heads(
            self._wide(self._product(inputs, self.decay_in_kernel, self.decay_kernel))
            + self._wide(self.decay_bias)
        )
        rate = ops.exp(self._wide(self.log_rate))[:, None]
        features = {
            "qkv": projected,
            "log_decay": -rate * ops.softplus(step),
            "gate": self._product(inputs, self.gate_in_kernel, self.gate_kernel),
        }
        if self.channel_gates:
            features["erase"] = self._strength(inputs, self.erase_kernel)
            features["write"] = self._strength(inputs, self.write_kernel)
        else:
            features["erase"] = self._strength(inputs, self.strength_kernel)
        return features

    def recur(self, features, state):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution_step(
                projected, self.cast(self.conv_kernel), state["conv"]
            )
        q, k, v, right, log_decay = self._rule(projected, features)
        read, new["memory"] = generalized_delta_rule_step(
            q, k, v, right, log_decay, state["memory"]
        )
        return self._normalise(read, features), new

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_generalized_delta_rule, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        rule = partial(chunkwise_generalized_delta_rule, chunk_size=self.chunk_size)
        return self._mix(rule, features, state, mask, reset)

    def _mix(self, rule, features, state, mask, reset):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution(
                projected, self.cast(self.conv_kernel), state["conv"], mask=mask, reset=reset
            )
        read, new["memory"] = rule(
            *self._rule(projected, features), state["memory"], mask=mask, reset=reset
        )
        return self._normalise(read, features), new

    def _rule(self, projected, features):
        """Queries, keys, values, what the memory is read with, and the logarithms of its gates."""
        queries, keys, _ = self._split_sizes
        parts = ops.split(ops.silu(self._wide(projected)), (queries, queries + keys), axis=-1)
        q, k, v = (self._heads(x) for x in parts)
        q, k, log_decay = _unit(q) * self.key_dim**-0.5, _unit(k), features["log_decay"]
        erase = features["erase"]
        # The rule reads the memory as it was, and these once it has forgotten.
        right = ops.exp(log_decay) * erase * k
        return q, k, features.get("write", erase) * v, right, log_decay

    def _normalise(self, read, features):
        """The norm of each head, and the gate; heads side by side, `(..., H V)`."""
        size = ops.rsqrt(ops.mean(read * read, axis=-1, keepdims=True) + self.epsilon)
        normal = self.cast(read * size * self._wide(self.norm_scale))
        return rearrange(normal, "... h v -> ... (h v)") * ops.sigmoid(features["gate"])

    def readout(self, emitted):
        outputs = ops.matmul(emitted, self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def _product(self, inputs, down, up):
        return ops.matmul(ops.matmul(inputs, self.cast(down)), self.cast(up))

    def _strength(self, inputs, kernel):
        return ops.sigmoid(self._heads(self._wide(ops.matmul(inputs, self.cast(kernel)))))

    def _heads(self, x):
        return rearrange(x, "... (h n) -> ... h n", h=self.num_heads)

    def _wide(self, x):
        return ops.cast(x, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and `2 B T (2 D R + R H (K + V) + D N)` for the gates.

        R is their rank, and N is H or, with `channel_gates`, H (K + V).
        """
        width, (_, keys, values) = self.kernel.shape[0], self._split_sizes
        strengths = keys + values if self.channel_gates else self.num_heads
        gates = width * (2 * self.rank + strengths) + self.rank * (keys + values)
        return super().count_flops(batch_size, length) + 2 * batch_size * length * gates

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Recurrent: `4 B H T K V`, to read before and after the step.

        Chunkwise: `B H` times `generalized_delta_rule_flops`.
        """
        heads = batch_size * self.num_heads
        if self.resolved_form == "recurrent":
            return 4 * heads * length * self.key_dim * self.value_dim
        return heads * generalized_delta_rule_flops(
            length, self.key_dim, self.value_dim, self.chunk_size
        )


def _unit(x):
    return x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + _LENGTH)


def _initial_log_rate(shape, dtype=None):
    return ops.log(keras.random.uniform(shape, *_RATES, dtype=dtype))


def _initial_decay_bias(shape, dtype=None):
    """The inverse of softplus at step sizes between the bounds, evenly on a logarithmic scale."""
    low, high = np.log(_STEP_SIZES)
    step = ops.exp(keras.random.uniform(shape, float(low), float(high), dtype=dtype))
    return step + ops.log(-ops.expm1(-step))
