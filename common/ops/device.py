"""The kind of device that the backend computes on."""

from functools import cache

import keras


@cache
def default_device() -> str:
    """The kind of device that the backend uses by default: "cpu", "gpu" or "tpu"."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    kinds = [kind for kind in ("GPU", "TPU") if tf.config.list_physical_devices(kind)]
    return kinds[0].lower() if kinds else "cpu"
