import keras
import pytest

if keras.backend.backend() == "jax":
    import jax

    # The references are exact only in float64.
    jax.config.update("jax_enable_x64", True)
    # Nearly all of the time goes into compiling.
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(params=["loop", "prefixes"])
def way(request, monkeypatch):
    """Every test with the way of a CPU and with that of an accelerator."""
    device = {"loop": "cpu", "prefixes": "gpu"}[request.param]
    monkeypatch.setattr("common.ops.loops.default_device", lambda: device)
