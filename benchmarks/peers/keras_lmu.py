"""The authors' LMU, keras-lmu, beside ours."""

from collections.abc import Callable

from benchmarks.models import Model, Shape


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """The LMU with the sizes of the LMU case of `shape`, if it has one."""
    cases = [case for case in shape.cases.values() if case.factory == "papers.lmu:LMU"]
    if not cases:
        return {}
    import keras
    import keras_lmu

    config = cases[0].config

    def make() -> Model:
        policy = "mixed_bfloat16" if shape.dtype == "bfloat16" else shape.dtype
        layer = keras_lmu.LMU(
            memory_d=1,
            order=config["order"],
            theta=config["theta"],
            hidden_cell=keras.layers.SimpleRNNCell(config["units"], dtype=policy),
            hidden_to_memory=True,
            memory_to_memory=True,
            input_to_hidden=True,
            return_sequences=True,
            dtype=policy,
        )
        layer.build((None, None, shape.input_dim))
        layer(keras.ops.zeros((1, 2, shape.input_dim), shape.dtype))
        return Model(
            call=layer,
            variables=layer.trainable_variables,
            units=config["units"],
            framework="keras",
            parameters=layer.count_params(),
            keras_loop=True,
        )

    return {"keras-lmu LMU": make}
