"""The language model of RWKV-7: time mixing and MLPs that both see the step before."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import layers, ops

from common.checks import check_flags, check_numbers, check_positive
from common.models.causal_lm import CausalLM
from common.models.sequence_model import Pass
from common.ops.operands import check_below
from common.typing import Nest, Shape, Tensor
from papers.rwkv7.initial import orthogonal
from papers.rwkv7.layers import RWKV7, RWKV7MLP


def _size(units: int, num_layers: int, ranks: tuple[int, int, int, int]) -> dict[str, Any]:
    return {
        "vocabulary_size": 65536,
        "units": units,
        "num_layers": num_layers,
        "num_heads": units // 64,
        "ranks": ranks,
    }


# The World models of section 6 (appendix E), ranks from Table 16.
SIZES = {
    "0.1B": _size(768, 12, (64, 64, 32, 128)),
    "0.4B": _size(1024, 24, (64, 64, 32, 128)),
    "1.5B": _size(2048, 24, (96, 96, 64, 256)),
    "2.9B": _size(2560, 32, (96, 96, 64, 320)),
}


def time_mixings(
    units: int, num_layers: int, num_heads: int, value_residual: bool = True, **settings
) -> list[RWKV7]:
    """One `RWKV7` a block, the later ones with the first one's values."""
    first, later = ("first", "later") if value_residual and num_layers > 1 else (None, None)
    return [
        RWKV7(
            units,
            num_heads,
            value_residual=later if i else first,
            index=i,
            num_layers=num_layers,
            output_gain=0.0,
            **settings,
        )
        for i in range(num_layers)
    ]


def build_layers(units: int, mixers: Iterable[RWKV7], others: Iterable[layers.Layer]) -> None:
    """Builds what is not yet, for a stream of width `units`: what was loaded is built."""
    for mixer in mixers:
        if not mixer.built:
            values = mixer.joined if mixer.value_residual == "later" else 0
            mixer.build((None, None, units + values))
    for layer in others:
        if not layer.built:
            layer.build((None, None, units))


class Values:
    """The values of a model's first time mixing, on their way beside the stream in one pass."""

    def __init__(self):
        self.first: Tensor | None = None

    def mix(self, through: Pass, name: str, mixer: RWKV7, hidden: Tensor, norm=None) -> Tensor:
        """What the mixer makes of the stream; `norm` sees the stream alone."""
        norm = (lambda x: x) if norm is None else norm
        if mixer.value_residual == "later":
            width = hidden.shape[-1]
            # Arguments of the mixer, or with `remat` no gradient would reach the values.
            both = ops.concatenate([hidden, ops.cast(self.first, hidden.dtype)], axis=-1)

            def norm_of_stream(x: Tensor) -> Tensor:
                stream, values = ops.split(x, (width,), axis=-1)
                stream = norm(stream)
                return ops.concatenate([stream, ops.cast(values, stream.dtype)], axis=-1)

            return through.mix(name, mixer, both, norm_of_stream)
        mixed = through.mix(name, mixer, hidden, norm)
        if mixer.value_residual == "first":
            mixed, self.first = ops.split(mixed, (mixer.units,), axis=-1)
        return mixed


@keras.saving.register_keras_serializable(package="papers")
class RWKV7LM(CausalLM):
    """Embedding, a norm, blocks `x + RWKV7(norm(x))` and `x + RWKV7MLP(norm(x))`, a norm, logits.

    Norms are layer norms. The first block's values go to all later ones. State: `{"block_0": ...,
    "block_0_mlp": ..., "block_1": ...}`, those of `RWKV7` and of `RWKV7MLP`.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every `RWKV7`, 64 wide in the authors' models.
        hidden_units: Width inside the MLPs; `4 D` by default.
        ranks: Of `RWKV7`, as are `chunk_size` and `form`.
        value_residual: Whether later blocks have the first one's values.
        chunk_size: See `ranks`.
        form: See `ranks`.
        epsilon: Of the norms; those of heads have `units / num_heads` times it.
        remat: Whether the gradient computes again what happened inside mixers and MLPs.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integers `(B, T)`, or `{"inputs": (B, T), "at": (B, Q)}` to have logits at the
            steps `at` only.
        initial_state: State of `get_initial_state` or an earlier call.
        mask: `(B, T)` bool; false where a step is padding.
        reset: `(B, T)` bool; true at the first step of a document.
        training: Of no effect: there is no dropout.
        return_state: Whether to return the final state too.

    Returns:
        Logits `(B, T, vocabulary_size)` or `(B, Q, vocabulary_size)`, float32 (float64 under
        float64); with `return_state` the pair of these and the state.

    Raises:
        ValueError: if a size is not a positive integer, and as `RWKV7` does.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        hidden_units: int | None = None,
        ranks: tuple[int, int, int, int] | None = None,
        value_residual: bool = True,
        chunk_size: int = 64,
        form: str = "auto",
        epsilon: float = 1e-5,
        remat: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units, num_layers=num_layers)
        check_positive(self, num_heads=num_heads)
        check_flags(self, value_residual=value_residual, remat=remat)
        check_numbers(self, above=0, epsilon=epsilon)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.remat = remat
        shared: dict[str, Any] = {"dtype": self.dtype_policy}
        self.embedding = layers.Embedding(
            vocabulary_size, units, keras.initializers.RandomUniform(-1e-4, 1e-4), **shared
        )
        self.mixers = time_mixings(
            units,
            num_layers,
            num_heads,
            value_residual,
            ranks=ranks,
            chunk_size=chunk_size,
            epsilon=epsilon * units / num_heads,
            form=form,
            **shared,
        )
        self.mlps = [
            RWKV7MLP(units, hidden_units, i, num_layers, 0.0, **shared) for i in range(num_layers)
        ]

        def norms(count: int) -> list[layers.LayerNormalization]:
            return [layers.LayerNormalization(epsilon=epsilon, **shared) for _ in range(count)]

        self.mixer_norms = norms(num_layers)
        self.mlp_norms = norms(num_layers)
        self.first_norm, self.last_norm = norms(2)
        # Logits and their loss stay float32 under mixed policies.
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        gain = 0.5 * max(1.0, vocabulary_size / units) ** 0.5
        self.head = layers.Dense(
            vocabulary_size, use_bias=False, kernel_initializer=orthogonal(gain), dtype=wide
        )

    @property
    def state_layers(self) -> dict[str, Any]:
        state = {f"block_{i}": mixer for i, mixer in enumerate(self.mixers)}
        return state | {f"block_{i}_mlp": mlp for i, mlp in enumerate(self.mlps)}

    def build(self, input_shape: Shape | dict[str, Shape]) -> None:
        super().build(input_shape)
        self.embedding.build((None, None))
        norms = (*self.mixer_norms, *self.mlp_norms, self.first_norm, self.last_norm)
        build_layers(self.units, self.mixers, (*self.mlps, *norms, self.head))

    def compute(self, inputs: Nest, through: Pass) -> Tensor:
        at = None
        if isinstance(inputs, dict):
            inputs, at = inputs["inputs"], inputs["at"]
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        hidden, values = self.first_norm(self.embedding(inputs)), Values()
        for i, (mixer, mlp) in enumerate(zip(self.mixers, self.mlps, strict=True)):
            norm = self.mixer_norms[i]
            hidden = hidden + values.mix(through, f"block_{i}", mixer, hidden, norm)
            hidden = hidden + through.mix(f"block_{i}_mlp", mlp, hidden, self.mlp_norms[i])
        if at is not None:
            hidden = ops.take_along_axis(hidden, at[..., None], axis=1)
        return self.head(self.last_norm(hidden))
