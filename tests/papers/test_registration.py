"""Files load after `import papers` alone, whichever of it and Keras comes first."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import papers
from common.layers import LSTM
from papers.lmu.layers import LMU
from papers.min_rnn import MinRNN
from papers.registration import Unimported, registered

LOAD = """
import sys
import papers
assert not {{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)
import keras
model = keras.saving.load_model({path!r})
names = [type(layer).__name__ for layer in model.layers]
assert names == ["LSTM", "LMU"], names
import numpy as np
np.save({out!r}, keras.ops.convert_to_numpy(model(np.load({x!r}))))
"""


def test_a_file_loads_after_import_papers(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    normal = keras.initializers.RandomNormal()
    model = keras.Sequential([LSTM(4), LMU(4, 3, 5, hidden_kernel_initializer=normal)])
    model.compile("adam", "mse")
    want = keras.ops.convert_to_numpy(model(x))
    paths = {name: str(tmp_path / name) for name in ("model.keras", "x.npy", "out.npy")}
    model.save(paths["model.keras"])
    np.save(paths["x.npy"], x)
    code = LOAD.format(path=paths["model.keras"], x=paths["x.npy"], out=paths["out.npy"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(np.load(paths["out.npy"]), want, atol=1e-6)


def test_what_a_run_leaves_loads_on_another_backend(tmp_path):
    tokens = np.arange(10, dtype="int32").reshape(2, 5) % 7
    model = MinRNN(7, 4, 1)
    want = keras.ops.convert_to_numpy(model(tokens))
    model.save(tmp_path / "model.keras")
    other = {"tensorflow": "jax", "jax": "tensorflow", "torch": "jax"}[keras.backend.backend()]
    code = (
        "import keras, numpy as np, papers\n"
        f"model = papers.load({str(tmp_path)!r})\n"
        "tokens = np.arange(10, dtype='int32').reshape(2, 5) % 7\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, keras.ops.convert_to_numpy(model(tokens)))"
    )
    environment = {**os.environ, "KERAS_BACKEND": other}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), want, atol=1e-6)


def test_a_path_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"path is '{tmp_path}', expected"):
        papers.load(tmp_path)


@pytest.mark.parametrize("name", registered())
def test_what_is_registered_is_what_the_module_registers(name):
    unimported = registered()[name]
    known = keras.saving.get_custom_objects()
    # The class registers itself once its module is imported.
    __import__(unimported.module)
    assert not isinstance(known[name], Unimported)
    assert known[name].__name__ == unimported.name


def test_everything_that_registers_is_found():
    names = {name for name in keras.saving.get_custom_objects() if name.startswith("papers>")}
    assert names <= registered().keys()
