"""The key-value memory of the paper's synthetic experiments (section 6.1)."""

import keras
from keras import layers, ops

from common.checks import check_choice, check_positive
from common.models import RecordedModel
from common.ops.delta_rule import chunkwise_delta_rule
from common.ops.feature_maps import dpfp, elu_plus_one, sum_normalise
from common.ops.operands import check_below
from papers.fast_weights.layers import EPSILON

RULES = ("softmax", "sum", "delta")


@keras.saving.register_keras_serializable(package="papers")
class KeyValueMemory(RecordedModel):
    """Writes a sequence of key-value pairs into a memory and reads it with query keys.

    A pair is the value's one-hot vector next to the key's learned embedding, of width
    `int(2.2 S)`; the value written is the one-hot vector itself. Queries only read. One head, no
    positions, no output projection, as in the authors' code.

    Args:
        num_keys: Number of different keys and of different values, S.
        rule: `"softmax"` attends to all pairs; `"sum"` and `"delta"` are those of
            `FastWeightAttention`.
        feature_map: `"elu"` or `"dpfp"`; without effect for softmax.
        nu: Shifts of DPFP.
        key_dim: Size K of keys and queries before the feature map.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Dict of `"inputs"`, int `(B, L, 2)`, pairs of key and value, and `"query"`, int
            `(B, Q)`, keys.

    Returns:
        What the memory holds under the queries, `(B, Q, S)`.

    Raises:
        ValueError: if `rule` or `feature_map` is unknown or a size is not positive; in a call
            outside traced programs, if a key or a value is not one of `num_keys`.
    """

    def __init__(
        self,
        num_keys: int,
        rule: str,
        feature_map: str = "dpfp",
        nu: int = 1,
        key_dim: int = 64,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, num_keys=num_keys, nu=nu, key_dim=key_dim)
        check_choice(self, RULES, rule=rule)
        check_choice(self, ("elu", "dpfp"), feature_map=feature_map)
        self.num_keys = num_keys
        self.rule = rule
        self.feature_map = feature_map
        self.nu = nu
        self.key_dim = key_dim
        self.embedding_dim = int(2.2 * num_keys)
        self.embedding = layers.Embedding(
            num_keys,
            self.embedding_dim,
            embeddings_initializer=keras.initializers.RandomNormal(0, 1),
            dtype=self.dtype_policy,
        )
        width = num_keys + self.embedding_dim
        # The authors scale the weights by the key size, not by the fan-in; softmax has Glorot.
        bound = key_dim**-0.5

        def project(inputs: int) -> layers.Dense:
            kernel = "glorot_uniform" if rule == "softmax" else _uniform(bound)
            return layers.Dense(
                key_dim,
                kernel_initializer=kernel,
                bias_initializer=_fan(inputs),
                dtype=self.dtype_policy,
            )

        self.key, self.query = project(width), project(self.embedding_dim)
        if rule == "delta":
            self.strength = layers.Dense(
                1,
                kernel_initializer=_fan(width),
                bias_initializer=_fan(width),
                dtype=self.dtype_policy,
            )

    def build(self, input_shape):
        super().build(input_shape)
        width = self.num_keys + self.embedding_dim
        self.embedding.build((None, None))
        self.key.build((None, None, width))
        self.query.build((None, None, self.embedding_dim))
        if self.rule == "delta":
            self.strength.build((None, None, width))

    def call(self, inputs):
        pairs, asked = inputs["inputs"], inputs["query"]
        check_below(self, "inputs", pairs, self.num_keys, "the keys and values")
        check_below(self, "query", asked, self.num_keys, "the keys")
        values = ops.one_hot(pairs[..., 1], self.num_keys, dtype=self.compute_dtype)
        k, q = self._of_pairs(self.key, pairs), self._of_keys(self.query, asked)
        if self.rule == "softmax":
            scores = ops.matmul(q, ops.swapaxes(k, 1, 2)) * self.key_dim**-0.5
            return ops.matmul(ops.softmax(scores), values)
        if self.feature_map == "elu":
            k, q = elu_plus_one(k), elu_plus_one(q)
        else:
            k, q = dpfp(k, self.nu), dpfp(q, self.nu)
        if self.rule == "sum":
            # W q with W = sum_t v_t phi(k_t)^T (eq. 17), divided by z . q with z = sum_t phi(k_t)
            # (eq. 18 and 19). Only the last memory is read, and by few queries: cheapest through
            # how much each query gets of each pair.
            shares = ops.matmul(q, ops.swapaxes(k, 1, 2))
            return ops.matmul(shares, values) / (ops.sum(shares, -1, keepdims=True) + EPSILON)
        k, q = sum_normalise(k)[:, :, None], sum_normalise(q)  # eq. 29, one head
        strength = ops.sigmoid(self._of_pairs(self.strength, pairs))
        # What the steps themselves would read is not asked for; XLA and the graph drop it.
        _, memory = chunkwise_delta_rule(k, k, values[:, :, None], strength)
        return ops.matmul(q, memory[:, 0])  # eq. 25

    def _of_pairs(self, dense, pairs):
        """`dense` of the pairs, `(B, L, units)`: a row of its kernel for the one-hot value."""
        if dense.quantization_mode is not None:
            # Only the layers themselves know what their quantised weights stand for.
            values = ops.one_hot(pairs[..., 1], self.num_keys, dtype=self.compute_dtype)
            return dense(ops.concatenate([values, self.embedding(pairs[..., 0])], axis=-1))
        rows = self._weight(dense.kernel)
        keys = ops.matmul(self._embeddings(), rows[self.num_keys :]) + self._weight(dense.bias)
        return ops.take(keys, pairs[..., 0], axis=0) + ops.take(rows, pairs[..., 1], axis=0)

    def _of_keys(self, dense, keys):
        """`dense` of the embeddings of `keys`."""
        if dense.quantization_mode is not None:
            return dense(self.embedding(keys))
        projected = ops.matmul(self._embeddings(), self._weight(dense.kernel))
        return ops.take(projected + self._weight(dense.bias), keys, axis=0)

    def _embeddings(self):
        # Every key is projected once, not wherever it stands: S products for B L.
        return self._weight(self.embedding.embeddings)

    def _weight(self, weight):
        return ops.cast(weight, self.compute_dtype)


def _uniform(bound: float):
    return keras.initializers.RandomUniform(-bound, bound)


def _fan(width: int):
    """PyTorch's default for a linear layer with `width` inputs."""
    return _uniform(width**-0.5)
