"""A language model around any sequence layers: embedding, residual blocks, logits."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from common.checks import (
    check_choice,
    check_flags,
    check_integers,
    check_members,
    check_numbers,
    check_positive,
    check_rates,
    given,
    refuse,
)
from common.layers import SequenceLayer
from common.models.causal_lm import CausalLM
from common.models.sequence_model import Pass
from common.ops.operands import check_below
from common.typing import Nest, Shape, State, Tensor

NORMS = ("rms", "layer")


@keras.saving.register_keras_serializable(package="papers")
class LanguageModel(CausalLM):
    """Embedding, blocks `x + mixer(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    The mixers carry a state, so the model streams and generates as they do: `call` takes and
    returns a state, `step` takes one symbol, `generate` goes on from a prompt. State:
    `{"block_0": ..., "block_1": ...}`, the mixers', and with positions `"position": (B,)`.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        mixers: One `SequenceLayer` a block, of output width D. They and the MLPs keep the
            dtype that they were made with.
        mlps: One layer a block that maps `(B, T, D)` to itself, or `None` in its place; by
            default no block has one.
        norm: `"rms"` or `"layer"`, before every mixer and MLP and before the logits.
        norm_center: Whether layer norms have a shift; RMS norms never have.
        tie_embeddings: Whether the logits' kernel is the embedding's.
        max_positions: If positive, an embedding of the absolute position is added, learned for so
            many positions.
        position_embedding: In its place, any layer from integers `(B, T)` to `(B, T, D)`.
        dropout: Rate after the embedding and on every block's outputs.
        epsilon: Of the norms.
        embedding_stddev: Standard deviation of the initial embeddings.
        head_stddev: Of the logits' initial kernel, where it is not tied; Glorot's uniform values
            by default.
        embedding_dropout: Rate after the embedding, where it is another than `dropout`.
        embedding_scale: Factor of the embedded symbols, not of the logits' kernel.
        logits_cap: If given, logits are `cap tanh(logits / cap)`.
        float32_residual: Whether the stream, which the blocks add to, is float32 under policies of
            16 bits, too.
        remat: Whether the gradient computes again what happened inside mixers and MLPs, of which
            only the inputs are kept: less memory, more time (gradient checkpointing, Chen 2016).
        dtype: Of the model and of all layers that it makes.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integers `(B, T)`, or `{"inputs": (B, T), "at": (B, Q)}` to have logits at the
            steps `at` only, which saves the product with a large vocabulary elsewhere.
        initial_state: State of `get_initial_state` or an earlier call.
        mask: `(B, T)` bool; false where a step is padding.
        reset: `(B, T)` bool; true at the first step of a document.
        training: Whether dropout acts.
        return_state: Whether to return the final state too.

    Returns:
        Logits `(B, T, vocabulary_size)` or `(B, Q, vocabulary_size)`, float32 (float64 under
        float64); with `return_state` the pair of these and the state.

    Raises:
        ValueError: if an argument is of the wrong type or out of its range, the numbers of mixers
            and MLPs differ, a mixer has another width or returns one step only, or there are both
            `position_embedding` and `max_positions`; when built, if with `remat` a mixer or an MLP
            draws random numbers, which it would draw anew; in a call, if a symbol or a position is
            not one of `vocabulary_size` or `max_positions`, as far as it is known: values are
            checked outside traced programs, a length without marks and state always.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        mixers: Sequence[SequenceLayer],
        mlps: Sequence[layers.Layer | None] | None = None,
        norm: str = "rms",
        norm_center: bool = True,
        tie_embeddings: bool = False,
        max_positions: int = 0,
        position_embedding: layers.Layer | None = None,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        embedding_stddev: float = 0.02,
        head_stddev: float | None = None,
        embedding_dropout: float | None = None,
        embedding_scale: float = 1.0,
        logits_cap: float | None = None,
        float32_residual: bool = False,
        remat: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units)
        check_integers(self, 0, max_positions=max_positions)
        check_choice(self, NORMS, norm=norm)
        check_flags(
            self,
            norm_center=norm_center,
            tie_embeddings=tie_embeddings,
            float32_residual=float32_residual,
            remat=remat,
        )
        check_rates(self, dropout=dropout, **given(embedding_dropout=embedding_dropout))
        optional = given(logits_cap=logits_cap, head_stddev=head_stddev)
        check_numbers(self, above=0, epsilon=epsilon, **optional)
        check_numbers(
            self, above=0, embedding_stddev=embedding_stddev, embedding_scale=embedding_scale
        )
        check_members(self, (SequenceLayer,), mixers=mixers)
        mlps = [None] * len(mixers) if mlps is None else mlps
        check_members(self, (layers.Layer, type(None)), mlps=mlps)
        if len(mlps) != len(mixers):
            refuse(self, "mlps", f"as many as `mixers`, {len(mixers)}", len(mlps))
        if position_embedding is not None:
            if not isinstance(position_embedding, layers.Layer):
                refuse(self, "position_embedding", "a layer", position_embedding)
            if max_positions:
                refuse(self, "max_positions", "0 beside `position_embedding`", max_positions)
        for i, mixer in enumerate(mixers):
            if mixer.output_dim != units:
                refuse(self, f"mixers[{i}]", f"of output width {units}", mixer.output_dim)
            if not mixer.return_sequences:
                refuse(self, f"mixers[{i}]", "a layer with `return_sequences`", mixer)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.mixers = list(mixers)
        self.mlps: list[Any] = list(mlps)
        self.tie_embeddings = tie_embeddings
        self.max_positions = max_positions
        self.counts = max_positions > 0 or position_embedding is not None
        self.embedding_scale = embedding_scale
        self.logits_cap = logits_cap
        self.float32_residual = float32_residual
        self.remat = remat
        # Logits and their loss stay float32 under mixed policies.
        self.logits_dtype = "float64" if self.variable_dtype == "float64" else "float32"
        # An initializer shared by two would give both the same values.
        normal = keras.initializers.RandomNormal(0, embedding_stddev)
        options: dict[str, Any] = {"embeddings_initializer": normal, "dtype": self.dtype_policy}
        self.embedding = (
            layers.ReversibleEmbedding(
                vocabulary_size, units, reverse_dtype=self.logits_dtype, **options
            )
            if tie_embeddings
            else layers.Embedding(vocabulary_size, units, **options)
        )
        if position_embedding is not None:
            self.positions = position_embedding
        elif max_positions:
            normal = keras.initializers.RandomNormal(0, embedding_stddev)
            self.positions = layers.Embedding(
                max_positions, units, embeddings_initializer=normal, dtype=self.dtype_policy
            )

        def make_norm() -> layers.Layer:
            shared = {"epsilon": epsilon, "dtype": self.dtype_policy}
            if norm == "rms":
                return layers.RMSNormalization(**shared)
            return layers.LayerNormalization(center=norm_center, **shared)

        self.mixer_norms = [make_norm() for _ in mixers]
        self.mlp_norms: list[Any] = [None if n is None else make_norm() for n in mlps]
        self.last_norm = make_norm()
        self.drop = layers.Dropout(dropout, dtype=self.dtype_policy)
        if not tie_embeddings:
            self.head = layers.Dense(vocabulary_size, use_bias=False, dtype=self.logits_dtype)
        self.embedding_drop = (
            self.drop
            if embedding_dropout is None
            else layers.Dropout(embedding_dropout, dtype=self.dtype_policy)
        )
        if head_stddev is not None and not tie_embeddings:
            self.head.kernel_initializer = keras.initializers.RandomNormal(0, head_stddev)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"block_{i}": mixer for i, mixer in enumerate(self.mixers)}

    def build(self, input_shape: Shape | dict[str, Shape]) -> None:
        super().build(input_shape)
        hidden = (None, None, self.units)
        self.embedding.build((None, None))
        if self.counts:
            self.positions.build((None, None))
        for layer in (*self.mixer_norms, *self.mixers, *self.mlp_norms, *self.mlps):
            if layer is not None and not layer.built:  # one that was loaded is built
                layer.build(hidden)
        for layer in (*self.mixers, *self.mlps) if self.remat else ():
            if layer is not None and any("seed" in weight.name for weight in layer.variables):
                refuse(self, "remat", "False with dropout inside a mixer or an MLP", layer)
        self.last_norm.build(hidden)
        if not self.tie_embeddings:
            self.head.build(hidden)

    def prefill(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, State]:
        last = ops.full((ops.shape(inputs)[0], 1), ops.shape(inputs)[1] - 1, "int32")
        logits, state = self(
            {"inputs": inputs, "at": last}, mask=mask, training=False, return_state=True
        )
        return logits[:, 0], state

    def compute(self, inputs: Nest, through: Pass) -> Tensor:
        at = None
        if isinstance(inputs, dict):
            inputs, at = inputs["inputs"], inputs["at"]
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        hidden = self.embedding(inputs)
        if self.embedding_scale != 1.0:
            hidden = hidden * self.embedding_scale
        if self.counts:
            size = self.max_positions or None
            hidden = hidden + self.positions(
                self.positions_of(inputs, through, "max_positions", size)
            )
        training = through.training
        hidden = self.embedding_drop(hidden, training=training)
        if self.float32_residual:
            hidden = ops.cast(hidden, self.logits_dtype)
        for i, (mixer, mlp) in enumerate(zip(self.mixers, self.mlps, strict=True)):
            mixed = through.mix(f"block_{i}", mixer, hidden, self.mixer_norms[i])
            hidden = hidden + ops.cast(self.drop(mixed, training=training), hidden.dtype)
            if mlp is not None:
                processed = through.map(mlp, hidden, self.mlp_norms[i])
                hidden = hidden + ops.cast(self.drop(processed, training=training), hidden.dtype)
        if at is not None:
            hidden = ops.take_along_axis(hidden, at[..., None], axis=1)
        hidden = self.last_norm(hidden)
        logits = self.embedding(hidden, reverse=True) if self.tie_embeddings else self.head(hidden)
        if self.logits_cap is None:
            return logits
        return self.logits_cap * ops.tanh(logits / self.logits_cap)
