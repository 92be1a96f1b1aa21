"""Kernels in eight bits: what `quantize` does to a layer's own."""

from typing import Any

import keras
from keras import ops

from common.typing import Shape, Tensor


def is_kernel(name: str | None) -> bool:
    """Whether weights of this name are kernels: `kernel`, `..._kernel`, and no convolution's."""
    return name is not None and name.endswith("kernel") and not name.startswith("conv")


class KernelLayer(keras.layers.Layer):
    """Base of layers with kernels of their own, which `quantize("int8")` keeps in eight bits.

    Kernels are the matrices that are applied to features: the weights `kernel` and `..._kernel`,
    `(D, E)` or blocks `(N, D, E)`, held in the attribute of that name. A convolution's is none, its
    name begins with `conv`. A layer reads them through `dequantised`.

    Quantised, a kernel is integers from -127 to 127 and a scale for every column, the weight
    `..._kernel_scale`. They are multiplied out before use: inputs are not rounded, and all else
    stays as it is. The dtype policy tells it, as that of Keras's layers does, so that a layer made
    from the config is built quantised.
    """

    dtype_policy: Any  # Keras's property

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._scales: dict[str, keras.Variable] = {}

    def add_weight(
        self, shape: Shape = (), initializer: Any = None, *, name: str | None = None, **kwargs: Any
    ) -> Any:
        if self.quantization_mode is None or name is None or not is_kernel(name):
            return super().add_weight(shape, initializer, name=name, **kwargs)
        kwargs["trainable"] = False
        weight = super().add_weight(shape, "zeros", name=name, **{**kwargs, "dtype": "int8"})
        self._scales[name] = super().add_weight(
            (*shape[:-2], 1, shape[-1]), "ones", name=f"{name}_scale", **kwargs
        )
        return weight

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Replaces the layer's own kernels by integers, and those of no layer inside it.

        The models of `common.models` call it for all layers, Keras's own for those only that have
        no layers inside.

        Args:
            mode: `"int8"`.
            type_check: As in Keras, whose own layers refuse their subclasses by it.
            config: Its mode counts alone: the quantizers in it are for Keras's layers.

        Raises:
            NotImplementedError: if it is another mode, of which `Model.quantize` warns.
        """
        if mode != "int8":
            raise NotImplementedError(
                f"{type(self).__name__}: `mode` must be 'int8' to quantise kernels; got {mode!r}."
            )
        self._is_quantized = True  # Keras's mark; else the policy would call this again
        if self.quantization_mode is None:
            self.dtype_policy = f"int8_from_{self.dtype_policy.name}"
        for kernel in self._kernels():
            values, scale = quantised(kernel)
            self._untrack_variable(kernel)
            weight = self.add_weight(tuple(kernel.shape), name=kernel.name)
            setattr(self, kernel.name, weight)
            weight.assign(values)
            self._scales[kernel.name].assign(scale)

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def dequantised(self, weight: Tensor) -> Tensor:
        """`weight`, or any tensor, with a quantised kernel multiplied out."""
        if not isinstance(weight, keras.Variable) or weight.name not in self._scales:
            return weight
        scale = self._scales[weight.name]
        return ops.cast(weight, scale.dtype) / scale

    def _kernels(self) -> list[keras.Variable]:
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return [weight for weight in own if is_kernel(weight.name)]


def quantised(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Integers, and the scales `(..., 1, E)` by which they are divided to have the kernel again."""
    return keras.quantizers.AbsMaxQuantizer(axis=-2)(kernel, to_numpy=True)
