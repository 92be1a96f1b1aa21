import re

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import SoftmaxAttention
from common.trials.decoding import decode_loop, greedy

BATCH, UNITS, WINDOW = 2, 8, 37


def started(window=WINDOW):
    layer = SoftmaxAttention(UNITS, 2, window=window)
    layer.build((None, None, UNITS))
    inputs = keras.random.normal((BATCH, UNITS), seed=0)
    return layer, inputs, layer.get_initial_state(BATCH)


def test_the_loop_is_one_step_after_the_other():
    layer, x, state = started(window=3)
    loop = decode_loop(layer.step, x, state, steps=5)
    for _ in range(5):
        x, state = layer.step(x, state)
    np.testing.assert_allclose(ops.convert_to_numpy(loop()), ops.convert_to_numpy(x), atol=1e-6)


def test_symbols_follow_greedily():
    def step(symbols, state):  # the next symbol is the one that many steps further on
        return ops.one_hot((symbols + state) % 7, 7), state

    symbols, state = ops.array([1, 2], "int32"), ops.array([1, 3], "int32")
    loop = decode_loop(step, symbols, state, greedy, steps=4)
    assert ops.convert_to_numpy(loop()).tolist() == [5, 0]


def compiled_text(function, *args) -> str:
    """The program that XLA makes of a function."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function).lower(*args).compile().as_text()
    import tensorflow as tf

    made = tf.function(function, jit_compile=True, autograph=False)
    return made.experimental_get_compiler_ir(*args)(stage="optimized_hlo")


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch is not compiled here")
def test_a_compiled_loop_writes_the_cache_in_place():
    """Nothing in the bodies of the program's loops makes a cache but the write of an entry."""
    layer, x, state = started()
    shape = re.escape(f"f32[{BATCH},2,{WINDOW},4]")

    def made_in_loops(body) -> list[str]:
        def run(x, state):
            return ops.fori_loop(0, 9, lambda _, carry: body(*carry), (x, state))[0]

        text = compiled_text(run, x, state)
        names = set(re.findall(r"body=%?([\w.\-]+)", text))
        bodies = [part for part in text.split("\n\n") if part.lstrip("%\n ").split(" ")[0] in names]
        assert bodies, "no loop in the program"
        made = [
            found for part in bodies for found in re.findall(rf"%(\S+) = {shape}\S* \S+\(", part)
        ]
        in_place = "get-tuple-element|scatter|dynamic-update-slice"
        return [name for name in made if not re.search(in_place, name)]

    def shifted(x, state):
        keys = ops.concatenate([state["keys"][:, :, 1:], state["keys"][:, :, :1]], axis=2)
        return layer.step(x, {**state, "keys": keys})

    assert made_in_loops(layer.step) == []
    assert made_in_loops(shifted)  # that the test sees what it is there to see
