"""Fast weights: a matrix memory written by the sum rule or the delta rule (Schlag et al., 2021)."""

from functools import partial

import keras
from keras import ops

from common.checks import check_choice, check_positive
from common.layers import MultiHead, StateSpec
from common.ops.delta_rule import (
    chunkwise_delta_rule,
    delta_rule_flops,
    delta_rule_step,
    recurrent_delta_rule,
)
from common.ops.feature_maps import dpfp, elu_plus_one, sum_normalise
from common.ops.linear_attention import (
    chunkwise_linear_attention,
    linear_attention_flops,
    linear_attention_step,
    parallel_linear_attention,
    recurrent_linear_attention,
)

RULES = ("delta", "sum")
FEATURE_MAPS = ("dpfp", "elu")

# Keeps the normaliser of the sum rule from zero, as in the authors' code.
EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="papers")
class FastWeightAttention(MultiHead):
    """Causal attention as a fast weight memory `W`, with a rule to write it.

    Sum rule (eq. 17-19), linear attention:

        W_t = W_{t-1} + v_t phi(k_t)^T,   z_t = z_{t-1} + phi(k_t)
        y_t = W_t phi(q_t) / (z_t . phi(q_t) + epsilon)

    Delta rule (eq. 20-25), with `phi'` the features divided by their sum (eq. 29):

        W_t = W_{t-1} + beta_t (v_t - W_{t-1} phi'(k_t)) phi'(k_t)^T,   beta_t = sigmoid(W_b x_t)
        y_t = W_t phi'(q_t)

    Both rules have a chunkwise and a recurrent form; the sum rule also a parallel one, quadratic
    in T, which the delta rule does not have.

    State: `{"memory": (B, H, P, V)}`, the transpose of W, and for the sum rule also
    `{"normaliser": (B, H, P)}`, z; P is the size of the features.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        rule: `"delta"` or `"sum"`.
        feature_map: `"dpfp"` (eq. 37; P = 2 K nu) or `"elu"` (elu + 1; P = K).
        nu: Shifts that DPFP multiplies.
        chunk_size: Steps in a chunk of the chunkwise form.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if `rule` or `feature_map` is unknown, the rule has no such form, or a size is
            not a positive integer.
    """

    forms: tuple[str, ...] = ("chunkwise", "parallel", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int,
        rule: str = "delta",
        feature_map: str = "dpfp",
        nu: int = 1,
        chunk_size: int = 64,
        **kwargs,
    ):
        check_choice(self, RULES, rule=rule)
        check_choice(self, FEATURE_MAPS, feature_map=feature_map)
        if rule == "delta":
            self.forms = ("chunkwise", "recurrent")
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, nu=nu, chunk_size=chunk_size)
        self.rule = rule
        self.feature_map = feature_map
        self.nu = nu
        self.chunk_size = chunk_size

    @property
    def feature_dim(self) -> int:
        """Size P of the features."""
        return self.key_dim if self.feature_map == "elu" else 2 * self.key_dim * self.nu

    def build(self, input_shape):
        super().build(input_shape)
        if self.rule == "delta":
            shape = (input_shape[-1], self.num_heads)
            self.strength_kernel = self.add_weight(shape, "glorot_uniform", name="strength_kernel")
            self.strength_bias = self.add_weight((self.num_heads,), "zeros", name="strength_bias")

    def state_spec(self) -> dict:
        spec = {"memory": StateSpec((self.num_heads, self.feature_dim, self.value_dim))}
        if self.rule == "sum":
            spec["normaliser"] = StateSpec((self.num_heads, self.feature_dim))
        return spec

    def features(self, inputs, training=None):
        heads = super().features(inputs, training)
        # phi multiplies, which 16 bits are too few for.
        phi = partial(dpfp, nu=self.nu) if self.feature_map == "dpfp" else elu_plus_one
        q, k = (phi(ops.cast(heads[name], self.state_dtype)) for name in "qk")
        if self.rule == "sum":
            return {"q": q, "k": k, "v": heads["v"]}
        strength = ops.matmul(inputs, self.cast(self.strength_kernel))
        strength = ops.cast(strength + self.cast(self.strength_bias), self.state_dtype)
        return {
            "q": sum_normalise(q),
            "k": sum_normalise(k),
            "v": heads["v"],
            "beta": ops.sigmoid(strength),
        }

    def recur(self, features, state):
        q, k, v = (ops.cast(features[name], self.state_dtype) for name in "qkv")
        if self.rule == "sum":
            held = (state["memory"], state["normaliser"])
            read, (memory, normaliser) = linear_attention_step(  # eq. 17 to 19
                q, k, v, held, normalise=True, epsilon=EPSILON
            )
            return self.cast(read), {"memory": memory, "normaliser": normaliser}
        read, memory = delta_rule_step(q, k, v, features["beta"], state["memory"])  # eq. 20 to 25
        return self.cast(read), {"memory": memory}

    def recurrent(self, features, state, initial, mask, reset):
        return self._attend(
            recurrent_linear_attention, recurrent_delta_rule, features, state, mask, reset
        )

    def chunkwise(self, features, state, initial, mask, reset):
        return self._attend(
            partial(chunkwise_linear_attention, chunk_size=self.chunk_size),
            partial(chunkwise_delta_rule, chunk_size=self.chunk_size),
            features,
            state,
            mask,
            reset,
        )

    def parallel(self, features, state, initial, mask, reset):
        return self._attend(parallel_linear_attention, None, features, state, mask, reset)

    def _attend(self, sum_rule, delta_rule, features, state, mask, reset):
        q, k, v = features["q"], features["k"], features["v"]
        marks = {"mask": mask, "reset": reset}
        if self.rule == "delta":
            read, memory = delta_rule(q, k, v, features["beta"], state["memory"], **marks)
            return read, {"memory": memory}
        held = (state["memory"], state["normaliser"])
        read, (memory, normaliser) = sum_rule(
            q, k, v, held, **marks, normalise=True, epsilon=EPSILON
        )
        return read, {"memory": memory, "normaliser": normaliser}

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `MultiHead`, and `2 B T D H` for beta in the delta rule."""
        flops = super().count_flops(batch_size, length)
        if self.rule == "delta":
            flops += 2 * batch_size * length * self.kernel.shape[0] * self.num_heads
        return flops

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Recurrent: `2 B H T P V` to read, and for the delta rule as much to read the key.

        Sum rule with chunks of C (or T) steps, `V + 1` values: `2 B H T (C P + C V + 2 P V)`.
        Delta rule: `2 B H T (2 C P + 2 C V + 3 P V)` and the inverses, `delta_rule_flops`.
        """
        heads, size, values = batch_size * self.num_heads, self.feature_dim, self.value_dim
        if self.rule == "sum":
            sizes = (size, values + 1, self.chunk_size)
            return heads * linear_attention_flops(self.resolved_form, length, *sizes)
        if self.resolved_form == "recurrent":
            return 4 * heads * length * size * values
        return heads * delta_rule_flops(length, size, values, self.chunk_size)
