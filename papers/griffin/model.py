"""Hawk, Griffin and the transformer they are compared with (sections 2 and 3)."""

import keras

from common.checks import check_letters, check_positive
from common.layers import SoftmaxAttention
from common.models import GatedMLP, LanguageModel
from papers.griffin.layers import RecurrentBlock


def griffin_blocks(num_layers: int) -> str:
    """The `blocks` of a Griffin of `num_layers`: two recurrent ones, then a local attention."""
    return ("rrl" * num_layers)[:num_layers]


def _sizes() -> dict[str, dict]:
    sizes = {}
    for name, units, recurrent_units, num_layers in (
        ("100M", 768, 1024, 12),
        ("200M", 1024, 1536, 12),
        ("400M", 1536, 2048, 12),
        ("1.3B", 2048, 2560, 24),
        ("3B", 3072, 4096, 24),
        ("7B", 4096, 5632, 32),
        ("14B", 5120, 8192, 40),
    ):
        heads = {"num_heads": units // 128, "window": 1024}
        size = {"units": units, "recurrent_units": recurrent_units}
        sizes[f"griffin-{name}"] = {**size, **heads, "blocks": griffin_blocks(num_layers)}
        if name != "14B":
            sizes[f"hawk-{name}"] = {**size, "blocks": "r" * num_layers}
    # The models that were published (Botev et al. 2024, table 1), with the gates' blocks as many
    # as the heads, as in the authors' code.
    for name, units, num_heads, num_layers, scale in (
        ("2B", 2560, 10, 26, 50.5),
        ("9B", 4096, 16, 38, 64.0),
    ):
        sizes[f"recurrentgemma-{name}"] = {
            "vocabulary_size": 256_000,
            "units": units,
            "recurrent_units": units,
            "num_blocks": num_heads,
            "num_heads": num_heads,
            "window": 2048,
            "blocks": griffin_blocks(num_layers),
            # Where its code departs from Griffin's paper.
            "activation": "gelu_tanh",
            "rotary_dim": units // num_heads // 2,
            "output_bias": True,
            "embedding_scale": scale,  # the square root of the width in bfloat16
            "logits_cap": 30.0,
        }
    return sizes


# Table 2, which leaves the vocabulary open, and RecurrentGemma.
SIZES = _sizes()


@keras.saving.register_keras_serializable(package="papers")
class Griffin(LanguageModel):
    """A language model of recurrent and attention blocks, each followed by a gated MLP.

    A block is `y = x + mix(norm(x))`, then `y + mlp(norm(y))`. What mixes along time is a
    `RecurrentBlock`, or multi-query attention with rotary positions, local or global. Hawk has
    recurrent blocks only, Griffin recurrent and local ones, the baseline global ones only.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        blocks: A letter a block: `r` recurrent, `l` local attention, `g` global attention.
        recurrent_units: Width of the RG-LRU; about `4 / 3 units` in the paper.
        num_blocks: Blocks of the kernels of the RG-LRU's gates.
        num_heads: Heads of the queries; keys and values have one.
        window: Steps that local attention sees.
        context: Steps that global attention sees, at least the length of the sequences.
        expansion: Width of the MLP over D.
        activation: Of the recurrent blocks and MLPs: `"gelu"`, or `"gelu_tanh"`, its approximation
            by a hyperbolic tangent.
        rotary_dim: How many entries of a head's queries and keys are rotated; all by default.
        output_bias: Whether the attentions' output projections have a bias.
        form: Form of the recurrent blocks.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if `blocks` is empty or has another letter, and as the layers do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        blocks: str,
        recurrent_units: int,
        num_blocks: int = 16,
        num_heads: int = 1,
        window: int = 1024,
        context: int = 2048,
        expansion: int = 3,
        activation: str = "gelu",
        rotary_dim: int | None = None,
        output_bias: bool = False,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_letters(self, "rlg", blocks=blocks)
        check_positive(self, units=units, expansion=expansion, window=window, context=context)
        mixers: list = []
        for letter in blocks:
            if letter == "r":
                mixers.append(
                    RecurrentBlock(
                        units,
                        recurrent_units,
                        num_blocks,
                        activation=activation,
                        form=form,
                        dtype=dtype,
                    )
                )
            else:
                reach = window if letter == "l" else context
                mixers.append(
                    SoftmaxAttention(
                        units,
                        num_heads,
                        reach,
                        num_kv_heads=1,
                        rotary=True,
                        rotary_dim=rotary_dim,
                        output_bias=output_bias,
                        dtype=dtype,
                    )
                )
        super().__init__(
            vocabulary_size,
            units,
            mixers,
            [GatedMLP(expansion * units, activation, use_bias=True, dtype=dtype) for _ in blocks],
            tie_embeddings=True,
            epsilon=1e-6,
            embedding_stddev=units**-0.5,
            dtype=dtype,
            **kwargs,
        )
        self.blocks = blocks


# The three models of the synthetic tasks (section 6.2).


def hawk(vocabulary_size: int, num_layers: int, **settings) -> Griffin:
    """Recurrent blocks only."""
    return Griffin(vocabulary_size, blocks="r" * num_layers, **settings)


def griffin(vocabulary_size: int, num_layers: int, **settings) -> Griffin:
    """Recurrent blocks, and one local attention in the middle."""
    middle = num_layers // 2
    return Griffin(
        vocabulary_size, blocks="r" * middle + "l" + "r" * (num_layers - middle - 1), **settings
    )


def transformer(vocabulary_size: int, num_layers: int, **settings) -> Griffin:
    """Global attention only."""
    return Griffin(vocabulary_size, blocks="g" * num_layers, **settings)
