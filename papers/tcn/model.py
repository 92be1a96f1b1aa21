"""The temporal convolutional network: residual blocks whose dilation doubles (section 3)."""

from typing import Any

import keras
from keras import layers

from common.checks import check_flags, check_positive
from common.models import SequenceModel
from papers.tcn.layers import ResidualBlock, uniform_fan_in

# Table 2, by the task: width of the inputs, and arguments of the network. The outputs of the
# digits to copy are logits of ten classes.
SIZES: dict[str, tuple[int, dict[str, Any]]] = {
    "adding-600": (2, {"output_dim": 1, "units": 24, "num_layers": 8, "kernel_size": 8}),
    "copy-1000": (1, {"output_dim": 10, "units": 10, "num_layers": 8, "kernel_size": 8}),
    "jsb": (88, {"output_dim": 88, "units": 150, "num_layers": 2, "kernel_size": 3}),
    "nottingham": (88, {"output_dim": 88, "units": 150, "num_layers": 4, "kernel_size": 6}),
}


@keras.saving.register_keras_serializable(package="papers")
class TCN(SequenceModel):
    """Residual blocks with dilations 1, 2, 4, ..., then a dense layer, at every step or the last.

    Args:
        output_dim: Width of the output.
        units: Channels of every block.
        num_layers: Number of blocks, n.
        kernel_size: W of all convolutions, at least 2.
        dropout: Rate of the spatial dropout in the blocks.
        return_sequences: Whether there is an output at every step, or for the last one only.
        form: Form of the blocks.
        dtype: Of the model and of its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.SequenceModel`: `(B, T, D)` to
    `(B, T, output_dim)`, or to the `(B, output_dim)` of the last step that is not padding; float32
    (float64 under float64). State: `{"block_0": ...}`, the blocks'.

    Raises:
        ValueError: as `ResidualBlock` does, or if an argument is of the wrong type.
    """

    def __init__(
        self,
        output_dim: int,
        units: int,
        num_layers: int,
        kernel_size: int,
        dropout: float = 0.0,
        return_sequences: bool = True,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, output_dim=output_dim, num_layers=num_layers)
        check_flags(self, return_sequences=return_sequences)
        self.blocks = [
            ResidualBlock(
                units,
                kernel_size,
                dilation=2**level,
                dropout=dropout,
                form=form,
                dtype=self.dtype_policy,
            )
            for level in range(num_layers)
        ]
        self.return_sequences = return_sequences
        # The outputs and their loss stay float32 under mixed policies.
        self.head = layers.Dense(
            output_dim,
            kernel_initializer=uniform_fan_in(),
            dtype=self.blocks[0].state_dtype,
        )

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"block_{i}": block for i, block in enumerate(self.blocks)}

    @property
    def receptive_field(self) -> int:
        """Steps that an output depends on, its own included: `1 + 2 (W - 1) (2^n - 1)`."""
        convolutions = [part for block in self.blocks for part in (block.first, block.second)]
        return 1 + sum((part.kernel_size - 1) * part.dilation for part in convolutions)

    def build(self, input_shape):
        super().build(input_shape)
        for block in self.blocks:
            block.build(input_shape)
            input_shape = (*input_shape[:2], block.units)
        self.head.build(input_shape)

    def compute(self, inputs, through):
        hidden = inputs
        for name, block in self.state_layers.items():
            hidden = through.mix(name, block, hidden)
        return self.head(hidden if self.return_sequences else through.last(hidden))

    def compute_mask(self, inputs, previous_mask):
        return previous_mask if self.return_sequences else None
