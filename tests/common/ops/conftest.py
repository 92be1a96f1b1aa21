import keras

if keras.backend.backend() == "jax":
    import jax

    # The references are exact only in float64.
    jax.config.update("jax_enable_x64", True)
    # Nearly all of the time goes into compiling.
    jax.config.update("jax_disable_most_optimizations", True)
