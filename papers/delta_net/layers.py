"""DeltaNet (Yang et al., 2024), with eigenvalues in [-1, 1] (Grazzi 2024) and gates (Yang 2025)."""

from functools import partial

import keras
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import check_flags, check_integers, check_numbers, check_positive, given
from common.layers import MultiHead, StateSpec
from common.ops.delta_rule import (
    chunkwise_delta_rule,
    delta_rule_flops,
    delta_rule_step,
    recurrent_delta_rule,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# Keeps the length of a key from zero, as in the authors' code.
_LENGTH = 1e-6

# Mamba-2's ranges, which the gated variant takes over: of `exp(log_rate)`, and of the step sizes
# that the gate's biases stand for.
_RATES, _STEP_SIZES = (0.0, 16.0), (1e-3, 1e-1)


@keras.saving.register_keras_serializable(package="papers")
class DeltaNet(MultiHead):
    """Causal attention as a matrix memory S that is written by the delta rule, with a norm.

    Queries, keys and values pass a short convolution over time and a SiLU (section 3.3):

        q_t, k_t, v_t = silu(conv(W_q x)_t), silu(conv(W_k x)_t), silu(conv(W_v x)_t)
        q_t, k_t over their lengths, q_t also over sqrt(K),   beta_t = sigmoid(W_b x_t)
        S_t = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T
        y_t = W_o norm(S_t^T q_t)

    with an RMS norm for each head, whose scale the heads share. `negative_eigenvalues` doubles
    beta, so that the transition's eigenvalue `1 - beta_t` lies in [-1, 1] and not in [0, 1]
    (Grazzi 2024, table 2). `gated` forgets first and gates the output (Yang 2025, "Gated delta
    networks", eq. 10 and section 3.4):

        S_t = a_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T
        a_t = exp(-exp(log_rate) softplus(W_a x_t + decay_bias))
        y_t = W_o (norm(S_t^T q_t) silu(W_g x_t))

    State: `{"memory": (B, H, K, V), "conv": (B, kernel_size - 1, H (2 K + V))}`: the transpose of
    the paper's S, and the last inputs of the convolution, queries, keys and values side by side,
    in the compute dtype, in which they were computed; `"conv"` only with a convolution.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        kernel_size: Steps that the convolution sees, at least 2, or `None` for no convolution.
        negative_eigenvalues: Whether beta goes up to 2.
        gated: Whether the memory forgets and the output is gated.
        chunk_size: Steps in a chunk of the chunkwise form.
        epsilon: Of the norm.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if `kernel_size` is no integer from 2, a size not a positive integer, `epsilon`
            not positive, or another argument of the wrong type.
    """

    forms = ("chunkwise", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int,
        kernel_size: int | None = 4,
        negative_eigenvalues: bool = False,
        gated: bool = False,
        chunk_size: int = 64,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, chunk_size=chunk_size)
        check_integers(self, 2, **given(kernel_size=kernel_size))
        check_flags(self, negative_eigenvalues=negative_eigenvalues, gated=gated)
        check_numbers(self, above=0, epsilon=epsilon)
        self.kernel_size = kernel_size
        self.negative_eigenvalues = negative_eigenvalues
        self.gated = gated
        self.chunk_size = chunk_size
        self.epsilon = epsilon

    def build(self, input_shape):
        super().build(input_shape)
        inputs, heads, joined = input_shape[-1], self.num_heads, self.num_heads * self.value_dim
        self.strength_kernel = self.add_weight(
            (inputs, heads), "glorot_uniform", name="strength_kernel"
        )
        self.norm_scale = self.add_weight((self.value_dim,), "ones", name="norm_scale")
        if self.kernel_size is not None:
            # PyTorch's default for a depthwise convolution, which the authors' code leaves as is.
            bound = self.kernel_size**-0.5
            self.conv_kernel = self.add_weight(
                (self.kernel_size, sum(self._split_sizes)),
                keras.initializers.RandomUniform(-bound, bound),
                name="conv_kernel",
            )
        if self.gated:
            self.decay_kernel = self.add_weight(
                (inputs, heads), "glorot_uniform", name="decay_kernel"
            )
            self.log_rate = self.add_weight((heads,), _initial_log_rate, name="log_rate")
            self.decay_bias = self.add_weight((heads,), _initial_decay_bias, name="decay_bias")
            self.gate_kernel = self.add_weight(
                (inputs, joined), "glorot_uniform", name="gate_kernel"
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
        strength = ops.sigmoid(self._wide(ops.matmul(inputs, self.cast(self.strength_kernel))))
        features = {
            "qkv": projected,
            "beta": 2 * strength if self.negative_eigenvalues else strength,
        }
        if self.gated:
            step = self._wide(ops.matmul(inputs, self.cast(self.decay_kernel)))
            step = ops.softplus(step + self._wide(self.decay_bias))
            features["log_decay"] = -ops.exp(self._wide(self.log_rate)) * step
            features["gate"] = ops.matmul(inputs, self.cast(self.gate_kernel))
        return features

    def recur(self, features, state):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution_step(
                projected, self.cast(self.conv_kernel), state["conv"]
            )
        q, k, v = self._heads(projected)
        log_decay = features["log_decay"] if self.gated else None
        read, new["memory"] = delta_rule_step(
            q, k, v, features["beta"], state["memory"], log_decay=log_decay
        )
        return self._normalise(read, features), new

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_delta_rule, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        rule = partial(chunkwise_delta_rule, chunk_size=self.chunk_size)
        return self._mix(rule, features, state, mask, reset)

    def _mix(self, rule, features, state, mask, reset):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution(
                projected, self.cast(self.conv_kernel), state["conv"], mask=mask, reset=reset
            )
        read, new["memory"] = rule(
            *self._heads(projected),
            features["beta"],
            state["memory"],
            log_decay=features.get("log_decay"),
            mask=mask,
            reset=reset,
        )
        return self._normalise(read, features), new

    def _heads(self, projected):
        """Queries and keys of length 1, queries over sqrt(K), and values: `(..., H, K or V)`."""
        queries, keys, _ = self._split_sizes
        parts = ops.split(ops.silu(self._wide(projected)), (queries, queries + keys), axis=-1)
        q, k, v = (rearrange(x, "... (h n) -> ... h n", h=self.num_heads) for x in parts)
        return _unit(q) * self.key_dim**-0.5, _unit(k), v

    def _normalise(self, read, features):
        """The norm of each head and, if gated, the gate; heads side by side, `(..., H V)`."""
        size = ops.rsqrt(ops.mean(read * read, axis=-1, keepdims=True) + self.epsilon)
        normal = self.cast(read * size * self._wide(self.norm_scale))
        joined = rearrange(normal, "... h v -> ... (h v)")
        return joined * ops.silu(features["gate"]) if self.gated else joined

    def readout(self, emitted):
        outputs = ops.matmul(emitted, self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def _wide(self, x):
        return ops.cast(x, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, `2 B T D H` for beta and, if gated, `2 B T D (H + H V)` for the gates."""
        width = self.num_heads
        if self.gated:
            width += self.num_heads * (1 + self.value_dim)
        gates = 2 * batch_size * length * self.kernel.shape[0] * width
        return super().count_flops(batch_size, length) + gates

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Recurrent: `4 B H T K V`, a read with the key and one with the query.

        Chunkwise: `2 B H T (2 C K + 2 C V + 3 K V)` and the inverses, `delta_rule_flops`.
        """
        heads = batch_size * self.num_heads
        if self.resolved_form == "recurrent":
            return 4 * heads * length * self.key_dim * self.value_dim
        return heads * delta_rule_flops(length, self.key_dim, self.value_dim, self.chunk_size)


def _unit(x):
    return x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + _LENGTH)


def _initial_log_rate(shape, dtype=None):
    # The smallest number keeps the logarithm finite.
    rates = keras.random.uniform(shape, *_RATES, dtype=dtype)
    return ops.log(rates + np.finfo("float32").tiny)


def _initial_decay_bias(shape, dtype=None):
    """The inverse of softplus at step sizes between the bounds, evenly on a logarithmic scale."""
    low, high = np.log(_STEP_SIZES)
    step = ops.exp(keras.random.uniform(shape, float(low), float(high), dtype=dtype))
    return step + ops.log(-ops.expm1(-step))
