"""float64 that stays float64, also outside TensorFlow."""

import keras
from keras.src.backend.common import dtypes


def keep_float64() -> None:
    """From here on, in this process, Keras's functions of float64 tensors return float64.

    On JAX and torch `keras.backend.result_type`, which most of `keras.ops` asks (`matmul`, `tanh`,
    `maximum`, `sin` and so on), has float32 in place of float64, to be as JAX is by default. Layers
    with `dtype="float64"` call this; call it to use `common.ops` in float64 without a layer.

    Raises:
        ValueError: if JAX has its 64 bit types switched off, which makes float32 of all float64.
    """
    if keras.backend.backend() == "jax":
        import jax

        if not jax.config.read("jax_enable_x64"):
            raise ValueError(
                "`dtype` must not be float64 while JAX has no 64 bit types; got float64. Set "
                "JAX_ENABLE_X64=1."
            )
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
