"""`RecordedModel`: a model whose config is what it was made with."""

import inspect
import re
from typing import Any, Self

import keras

from common.layers.kernels import KernelLayer
from common.typing import Shape


class RecordedModel(keras.Model):
    """Base of models that are saved and cloned from the arguments that they were made with.

    The arguments of a subclass's `__init__` are recorded, defaults and `**kwargs` included; it
    writes neither `get_config` nor `from_config`. Layers and initializers may be among them. A
    quantised model loads as one.

    Args:
        **kwargs: Arguments of `keras.Model`: `name`, `dtype` and `trainable`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls, *args, **kwargs)
        try:
            bound = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
        except TypeError:
            return model  # `__init__` says what is wrong
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(name, {}))
        del arguments[next(iter(arguments))]  # self
        # Past Keras, which would track the layers among them.
        vars(model)["_arguments"] = arguments
        return model

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.quantised: str | None = None

    def build(self, input_shape: Shape | dict[str, Shape]) -> None:
        """Notes the shape of the inputs; subclasses call it and build their layers."""
        self.built_for = input_shape

    def quantize(
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        mode = getattr(config, "mode", None) if mode is None else mode
        # Keras passes over layers with layers inside, which may have kernels of their own. They are
        # first: what Keras does last, of its compiled functions and torch, is for all.
        if mode == "int8":
            for layer in self._flatten_layers(include_self=False):
                inside = next(iter(layer._flatten_layers(include_self=False)), None)
                if isinstance(layer, KernelLayer) and inside and _chosen(layer, filters):
                    layer.quantize(mode, config=config)
        super().quantize(mode, config=config, filters=filters, **kwargs)
        self.quantised = mode

    def get_build_config(self) -> dict[str, Any] | None:
        # A quantised model has other variables.
        return {"input_shape": self.built_for, "quantised": self.quantised} if self.built else None

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        if config is None:
            return
        self.build(config["input_shape"])
        if config["quantised"] is not None:
            # Layers from a config of their own may be quantised already.
            self.quantize(config["quantised"], filters=lambda x: x.quantization_mode is None)

    def get_config(self) -> dict[str, Any]:
        arguments = {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self._arguments.items()
        }
        # The last word on name and dtype is Keras's, which has filled them in.
        return {**arguments, **super().get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**keras.saving.deserialize_keras_object(config))


def _chosen(layer: keras.layers.Layer, filters: Any) -> bool:
    """Whether `filters`, as Keras's `quantize` takes them, choose the layer."""
    if filters is None or callable(filters):
        return filters is None or bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    return any(re.search(pattern, layer.name) for pattern in patterns)
