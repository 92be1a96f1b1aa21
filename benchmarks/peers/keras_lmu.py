"""The authors' LMU, keras-lmu, beside ours."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.keras_builtin import layer_model


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """The LMU with the sizes of the LMU case of `shape`, if it has one."""
    cases = [case for case in shape.layers.values() if case.factory == "papers.lmu:LMU"]
    if not cases:
        return {}
    import keras
    import keras_lmu

    config = cases[0].config

    def make() -> Model:
        layer = keras_lmu.LMU(
            memory_d=1,
            order=config["order"],
            theta=config["theta"],
            hidden_cell=keras.layers.SimpleRNNCell(config["units"], dtype=shape.policy),
            hidden_to_memory=True,
            memory_to_memory=True,
            input_to_hidden=True,
            return_sequences=True,
            dtype=shape.policy,
        )
        layer.build((None, None, shape.input_dim))
        return layer_model(layer, layer, shape, without_xla=True)

    return {"keras-lmu LMU": make}
