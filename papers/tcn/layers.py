"""The dilated causal convolution and the residual block of a TCN (Bai, Kolter and Koltun, 2018)."""

import keras
from keras import ops

from common.checks import check_integers, check_positive, check_rates
from common.layers import SequenceLayer, StateSpec
from papers.tcn.convolution import dilated_convolution, dilated_convolution_step

# Root mean square of the norm of `fan_in` numbers that `uniform_fan_in` draws.
AVERAGE_NORM = 3**-0.5


def uniform_fan_in() -> keras.initializers.Initializer:
    """Uniform within `fan_in ** -0.5` of zero, as torch draws the weights of a convolution."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


@keras.saving.register_keras_serializable(package="papers")
class DilatedConvolution(SequenceLayer):
    """A causal convolution over every d-th step, with weight normalisation and a bias.

        y_t = b + sum_i f_i x_{t - d i},   i = 0 .. W - 1                    (eq. 2)
        f = g v / |v|                                (Salimans and Kingma 2016, eq. 2)

    with a gain g and a norm of the direction v for each output channel, over all that it sees. A
    direction is drawn as torch draws a convolution's weights, and its gain is at first the norm
    that such a direction has on average, so that the weights start as torch's.

    State: `{"window": (B, (W - 1) d, D)}`, the last inputs, the newest last, in the compute dtype:
    it is as wide as the inputs, and known once the layer is built.

    Args:
        units: Width of the output.
        kernel_size: W, at least 2.
        dilation: d.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `kernel_size` is 1.
    """

    forms = ("parallel", "recurrent")

    def __init__(self, units: int, kernel_size: int, dilation: int = 1, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units, dilation=dilation)
        check_integers(self, 2, kernel_size=kernel_size)
        self.units = units
        self.kernel_size = kernel_size
        self.dilation = dilation

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        if not self.built:
            raise ValueError(
                "DilatedConvolution: build the layer first; its window is as wide as the inputs."
            )
        span = (self.kernel_size - 1) * self.dilation
        return {"window": StateSpec((span, self.conv_direction.shape[1]), self.compute_dtype)}

    def build(self, input_shape):
        super().build(input_shape)
        self.conv_direction = self.add_weight(
            (self.kernel_size, input_shape[-1], self.units), uniform_fan_in(), name="conv_direction"
        )
        gain = keras.initializers.Constant(AVERAGE_NORM)
        self.conv_gain = self.add_weight((self.units,), gain, name="conv_gain")
        self.conv_bias = self.add_weight((self.units,), "zeros", name="conv_bias")

    def normalised_kernel(self):
        """f, `(W, D, units)`: the normalised direction times the gain."""
        norm = ops.sqrt(ops.sum(ops.square(self.conv_direction), axis=(0, 1)))
        return self.cast(self.conv_direction * (self.conv_gain / norm))

    def recur(self, features, state):
        y, window = dilated_convolution_step(
            features, self.normalised_kernel(), state["window"], self.dilation
        )
        return y + self.cast(self.conv_bias), {"window": window}

    def parallel(self, features, state, initial, mask, reset):
        y, window = dilated_convolution(
            features, self.normalised_kernel(), state["window"], self.dilation, mask, reset
        )
        return y + self.cast(self.conv_bias), {"window": window}

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T W D units`."""
        width = self.conv_direction.shape[1]
        return 2 * batch_size * length * self.kernel_size * width * self.units


@keras.saving.register_keras_serializable(package="papers")
class ResidualBlock(SequenceLayer):
    """Two dilated convolutions beside the identity (section 3.4, figure 1b).

        h = drop(relu(conv_1(x))),   o = relu(r(x) + drop(relu(conv_2(h))))   (eq. 3)

    where `r` is the identity, or a 1x1 convolution if inputs and outputs differ in width, and
    `drop` is spatial dropout: a channel is zero at all steps of a call, or at none.

    State: `{"first": ..., "second": ...}`, the windows of the convolutions, see
    `DilatedConvolution`. It is known once the layer is built.

    Args:
        units: Width of the output.
        kernel_size: W of both convolutions, at least 2.
        dilation: d of both.
        dropout: Rate of the spatial dropout after each convolution.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: as `DilatedConvolution` does, or if `dropout` is no rate.
    """

    forms = ("parallel", "recurrent")

    def __init__(
        self, units: int, kernel_size: int, dilation: int = 1, dropout: float = 0.0, **kwargs
    ):
        super().__init__(**kwargs)
        check_rates(self, dropout=dropout)
        self.first, self.second = (
            DilatedConvolution(
                units, kernel_size, dilation, name=name, form=self.form, dtype=self.dtype_policy
            )
            for name in ("first", "second")
        )
        self.units = units
        self.dropout = dropout
        self.spatial_dropout = keras.layers.Dropout(dropout, autocast=False) if dropout else None

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"first": self.first.state_spec(), "second": self.second.state_spec()}

    def build(self, input_shape):
        super().build(input_shape)
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.units))
        self.residual_kernel = self.residual_bias = None
        if input_shape[-1] != self.units:
            self.residual_kernel = self.add_weight(
                (input_shape[-1], self.units),
                keras.initializers.RandomNormal(stddev=0.01),
                name="residual_kernel",
            )
            self.residual_bias = self.add_weight((self.units,), "zeros", name="residual_bias")

    def features(self, inputs, training=None):
        residual = inputs
        if self.residual_kernel is not None:
            residual = ops.matmul(inputs, self.cast(self.residual_kernel))
            residual = residual + self.cast(self.residual_bias)
        features = {"inputs": inputs, "residual": residual}
        if self.spatial_dropout is not None and training:
            batch, length = ops.shape(inputs)[:2]
            ones = ops.ones((batch, 1, 2 * self.units), inputs.dtype)
            kept = self.spatial_dropout(ones, training=True)
            features["kept"] = ops.broadcast_to(kept, (batch, length, 2 * self.units))
        return features

    def recur(self, features, state):
        return self._compute(
            features,
            lambda x: self.first.recur(x, state["first"]),
            lambda x: self.second.recur(x, state["second"]),
        )

    def parallel(self, features, state, initial, mask, reset):
        return self._compute(
            features,
            *(
                lambda x, part=part, name=name: part.parallel(
                    x, state[name], initial[name], mask, reset
                )
                for name, part in (("first", self.first), ("second", self.second))
            ),
        )

    def _compute(self, features, first, second):
        """Of one step or of all: `first` and `second` run the convolutions."""
        kept = [1, 1]
        if "kept" in features:
            kept = ops.split(features["kept"], 2, axis=-1)
        hidden, first_state = first(features["inputs"])
        hidden, second_state = second(ops.relu(hidden) * kept[0])
        outputs = ops.relu(features["residual"] + ops.relu(hidden) * kept[1])
        return outputs, {"first": first_state, "second": second_state}

    def count_flops(self, batch_size: int, length: int) -> int:
        """Those of the convolutions, and `2 B T D units` where the widths differ."""
        convolutions = sum(part.flops(batch_size, length) for part in (self.first, self.second))
        if self.residual_kernel is None:
            return convolutions
        return convolutions + 2 * batch_size * length * self.residual_kernel.shape[0] * self.units
