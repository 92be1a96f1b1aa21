"""Models that are split over several devices, for `keras.distribution` on JAX.

Every matrix of which both sides grow with the model is split, and with it what an optimizer keeps
beside it. What has a side of a few (convolutions, decays, ranks, heads) is copied to every device.
JAX puts the messages between devices where the split needs them.
"""

from typing import Any

import keras

from common.checks import refuse


def get_layout_map(
    device_mesh: keras.distribution.DeviceMesh,
    model_parallel_dim_name: str = "model",
    data_parallel_dim_name: str = "batch",
) -> keras.distribution.LayoutMap:
    """How the weights of every model and layer are split over a mesh, by their paths.

    - Embeddings `(vocabulary_size, D)`: the vocabulary over "model", D over "batch".
    - Projections in, `(D, N)`, gates and all of `keras.layers.Dense`, MLPs' too: N over "model",
      D over "batch".
    - Projections out, `(N, D)`: N over "model", D over "batch".
    - Kernels of recurrences, which are used at each step, those from a few numbers and Mamba's
      narrow ones: N over "model".
    - Kernels of convolutions that mix channels, `(W, D, N)`: N over "model", D over "batch".
    - Kernels of blocks or heads, `(H, N, M)`: H over "model".

    A variable whose exact path is set afterwards goes by that: with
    `layout_map["gla/embedding/embeddings"] = (None, None)` every device has all of it.

    Args:
        device_mesh: The mesh, with both axes.
        model_parallel_dim_name: Name of its axis that weights are split over first.
        data_parallel_dim_name: Name of its axis that batches are split over.

    Returns:
        The map, for `ModelParallel`.

    Raises:
        ValueError: if `device_mesh` is no mesh or has no axis of one of these names.
    """
    if not isinstance(device_mesh, keras.distribution.DeviceMesh):
        refuse("get_layout_map", "device_mesh", "a keras.distribution.DeviceMesh", device_mesh)
    model, data = model_parallel_dim_name, data_parallel_dim_name
    for argument, axis in (("model_parallel_dim_name", model), ("data_parallel_dim_name", data)):
        if axis not in device_mesh.axis_names:
            refuse("get_layout_map", argument, f"one of {list(device_mesh.axis_names)}", axis)
    # Keras numbers the names of layers, and takes a path that two patterns match for an error.
    blocks = r"(slstm|rglru)(_\d+)?"
    few_gates = r"(post_up_)?mlstm(_\d+)?/gate_kernel"
    layer = rf"(.*/)?(?!{blocks}/)(?!{few_gates}$)[^/]+"
    layout_map = keras.distribution.LayoutMap(device_mesh)
    layout_map[r"(.*/)?embeddings"] = (model, data)
    inputs = "kernel|gate_kernel|erase_kernel|write_kernel|head_kernel|residual_kernel"
    layout_map[rf"{layer}/({inputs})"] = (data, model)
    layout_map[r"(.*/)?output_kernel"] = (model, data)
    onto_recurrences = "dt|input|hidden|memory|recurrent|turn|diagonal|block|left|right"
    layout_map[rf"{layer}/({onto_recurrences})_kernel"] = (None, model)
    layout_map[r"(.*/)?conv_direction"] = (None, data, model)
    layout_map[r"(.*/)?x_kernel"] = (model, None)
    layout_map[rf"(.*/)?{blocks}/(kernel|recurrent_kernel|gate_kernel)"] = (model, None, None)
    return layout_map


class ModelParallel(keras.distribution.ModelParallel):
    """Keras's, which says what variable a mesh does not divide.

    Args:
        **kwargs: Arguments of `keras.distribution.ModelParallel`.

    Raises:
        ValueError: when a variable is made of which a side is no multiple of the devices that it is
            split over; it names the variable.
    """

    def get_variable_layout(self, variable: Any) -> Any:
        layout = super().get_variable_layout(variable)
        for side, axis in zip(variable.shape, getattr(layout, "axes", ()), strict=False):
            if axis is None:
                continue
            devices = self.device_mesh.shape[self.device_mesh.axis_names.index(axis)]
            if side % devices:
                refuse(
                    self,
                    variable.path,
                    f"of sides that are multiples of {devices}, the devices of {axis!r}, or have "
                    "a layout of its own in the map",
                    tuple(variable.shape),
                )
        return layout
