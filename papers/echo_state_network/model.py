"""The network: a reservoir under a readout that a regression finds."""

from typing import Any

import keras
import numpy as np
from keras import layers

from common.checks import check_integers, check_numbers, check_positive, refuse
from common.models import SequenceModel
from papers.echo_state_network.layers import Reservoir


@keras.saving.register_keras_serializable(package="papers")
class EchoStateNetwork(SequenceModel):
    """A reservoir and a dense layer, which `fit_readout` trains in closed form.

    Args:
        units: Units of the reservoir.
        output_dim: Width of the output.
        spectral_radius: Of `Reservoir`, as are the four that follow.
        input_scale: See `spectral_radius`.
        leak_rate: See `spectral_radius`.
        activation: See `spectral_radius`.
        matrix: See `spectral_radius`.
        dtype: Of the model and of its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.SequenceModel`: `(B, T, D)` to
    `(B, T, output_dim)`, float32 (float64 under float64). State: `{"layer_0": ...}`, the
    reservoir's.

    Raises:
        ValueError: as `Reservoir` does, or if `output_dim` is not a positive integer.
    """

    def __init__(
        self,
        units: int,
        output_dim: int,
        spectral_radius: float = 0.9,
        input_scale: float = 1.0,
        leak_rate: float = 1.0,
        activation: str = "tanh",
        matrix: str = "gaussian",
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, output_dim=output_dim)
        self.reservoir = Reservoir(
            units,
            spectral_radius,
            input_scale,
            leak_rate,
            activation,
            matrix,
            dtype=self.dtype_policy,
        )
        self.readout = layers.Dense(output_dim, dtype=self.reservoir.state_dtype)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {"layer_0": self.reservoir}

    def build(self, input_shape):
        super().build(input_shape)
        self.reservoir.build(input_shape)
        self.readout.build((*input_shape[:-1], self.reservoir.units))

    def compute(self, inputs, through):
        return self.readout(through.mix("layer_0", self.reservoir, inputs))

    def fit_readout(self, inputs, targets, ridge: float = 1e-8, washout: int = 0) -> None:
        """Sets the readout to the ridge regression of the targets on the reservoir's states.

        Args:
            inputs: `(B, T, D)`.
            targets: `(B, T, output_dim)`.
            ridge: What is added to the eigenvalues of the states' covariance, at least 0.
            washout: Steps at the start of every sequence that do not count, fewer than T.

        Raises:
            ValueError: if the shapes do not fit, `ridge` is negative or `washout` leaves nothing.
        """
        check_numbers(self, at_least=0, ridge=ridge)
        check_integers(self, 0, washout=washout)
        inputs, targets = np.asarray(inputs), np.asarray(targets, "float64")
        shape = (*inputs.shape[:2], self.readout.units)
        if targets.shape != shape or shape[1] <= washout:
            expected = f"of shape {shape} with more than `washout` = {washout} steps"
            refuse(self, "targets", expected, targets.shape)
        if not self.built:
            self.build(inputs.shape)
        # Through Keras's compiled `predict`: step by step, long sequences take minutes.
        states = keras.Sequential([self.reservoir]).predict(inputs, verbose=0).astype("float64")
        x = states[:, washout:].reshape(-1, states.shape[-1])
        y = targets[:, washout:].reshape(-1, targets.shape[-1])
        x_mean, y_mean = x.mean(0), y.mean(0)
        # By singular values: the states are far from independent, and their covariance would
        # square that.
        left, sizes, right = np.linalg.svd(x - x_mean, full_matrices=False)
        shrunk = sizes / (sizes**2 + ridge * len(x))
        kernel = right.T @ (shrunk[:, None] * (left.T @ (y - y_mean)))
        self.readout.set_weights([kernel, y_mean - x_mean @ kernel])
