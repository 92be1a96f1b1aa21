"""The xLSTM: residual blocks, each around an mLSTM or an sLSTM."""

from typing import Any

import keras

from common.checks import check_integers, check_letters, check_positive
from common.layers.initializers import initializer_of
from common.models import GatedMLP, LanguageModel
from papers.xlstm.layers import MLSTM, SLSTM


def block_pattern(num_layers: int, slstm_at: tuple[int, ...] = ()) -> str:
    """The `blocks` of an `XLSTM`: `num_layers` letters, `s` at the given places, else `m`."""
    return "".join("s" if i in slstm_at else "m" for i in range(num_layers))


def _sizes() -> dict[str, dict]:
    sizes = {}
    # Appendix B.2 says where the sLSTM blocks are; at 125M that is 11 to 1 and not 7 to 1.
    places = {24: (3, 20), 48: (3, 5, 7, 40, 42, 44)}
    for name, units, num_layers in (
        ("125M", 768, 24),
        ("350M", 1024, 48),
        ("760M", 1536, 48),
        ("1.3B", 2048, 48),
        ("2.7B", 2560, 64),
    ):
        # The vocabulary of GPT-2's tokeniser, rounded up as in the authors' example.
        size = {"vocabulary_size": 50304, "units": units}
        sizes[f"{name}[1:0]"] = {**size, "blocks": block_pattern(num_layers)}
        if num_layers in places:
            pattern = block_pattern(num_layers, places[num_layers])
            sizes[f"{name}[7:1]"] = {**size, "blocks": pattern}
    return sizes


# The language models of tables 3 and 7.
SIZES = _sizes()


@keras.saving.register_keras_serializable(package="papers")
class XLSTM(LanguageModel):
    """A language model of xLSTM blocks (section 2.4, figures 10 and 11), without positions.

    A block is `x + mLSTM(norm(x))`, or `y = x + sLSTM(norm(x))` and then `y + mlp(norm(y))` with a
    gated MLP. The norms are layer norms without a shift.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        blocks: A letter a block, `m` or `s`: `"ms"` is an xLSTM[1:1] with the mLSTM first.
        num_heads: Heads of every mLSTM and sLSTM.
        slstm_kernel_size: Steps that an sLSTM's convolution sees; 0 is no convolution, as in the
            experiments on formal languages.
        forget_gate: `"sigmoid"` or `"exponential"`.
        recurrent_initializer: Of the sLSTM's recurrent kernel.
        form: Form of the mLSTM.
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
        num_heads: int = 4,
        slstm_kernel_size: int = 4,
        forget_gate: str = "sigmoid",
        recurrent_initializer="zeros",
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units)
        check_letters(self, "ms", blocks=blocks)
        check_integers(self, 0, slstm_kernel_size=slstm_kernel_size)
        shared: dict[str, Any] = {
            "units": units,
            "num_heads": num_heads,
            "forget_gate": forget_gate,
            "dtype": dtype,
        }
        initializer = initializer_of(self, "recurrent_initializer", recurrent_initializer)
        mixers: list = []
        for i, letter in enumerate(blocks):
            if letter == "m":
                mixers.append(MLSTM(**shared, num_layers=len(blocks), form=form))
                continue
            mixers.append(
                SLSTM(
                    **shared,
                    kernel_size=slstm_kernel_size,
                    depth=i / max(1, len(blocks) - 1),
                    # The same object would draw the same values in every block.
                    recurrent_initializer=initializer.clone(),
                )
            )
        # 1.3 units, up to the next multiple of 64, as in the authors' code: of the sizes in the
        # paper only this gives the numbers of parameters, not the 4/3 of its figure 10.
        hidden_units = -(-13 * units // 640) * 64
        small = (2 / (5 * units)) ** 0.5
        super().__init__(
            vocabulary_size,
            units,
            mixers,
            [
                GatedMLP(hidden_units, "gelu", dtype=dtype) if letter == "s" else None
                for letter in blocks
            ],
            norm="layer",
            norm_center=False,
            embedding_stddev=small,
            head_stddev=small,
            dtype=dtype,
            **kwargs,
        )
