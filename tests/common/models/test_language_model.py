import keras
import numpy as np
import pytest
from keras import ops
from keras.layers import Lambda

from common.layers import LSTM, SoftmaxAttention
from common.models import MLP, GatedMLP, LanguageModel, count_parameters
from tests.helpers.weights import assert_drawn_apart


def make(**options):
    keras.utils.set_random_seed(0)
    mixers = [SoftmaxAttention(8, 2, window=30, rotary=True), LSTM(8)]
    return LanguageModel(11, 8, mixers, [GatedMLP(12), None], **options)


def array(x):
    return ops.convert_to_numpy(x)


TOKENS = np.random.default_rng(0).integers(0, 11, size=(2, 9)).astype("int32")


def test_is_the_sum_of_its_parts():
    model = make(norm="layer")
    got = array(model(TOKENS))
    hidden = model.embedding(TOKENS)
    hidden = hidden + model.mixers[0](model.mixer_norms[0](hidden))
    hidden = hidden + model.mlps[0](model.mlp_norms[0](hidden))
    hidden = hidden + model.mixers[1](model.mixer_norms[1](hidden))
    np.testing.assert_allclose(got, array(model.head(model.last_norm(hidden))), atol=1e-5)


def test_weights_start_apart():
    def two_blocks():
        mixers = [SoftmaxAttention(8, 2, window=30) for _ in range(2)]
        return LanguageModel(11, 8, mixers, max_positions=20)

    assert_drawn_apart(two_blocks, (None, None))


def test_a_gated_network_is_shazeers():
    layer = GatedMLP(4, "silu")
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype("float32")
    got = array(layer(x))
    first, last = layer.get_weights()
    gate, value = np.split(x @ first, 2, axis=-1)
    np.testing.assert_allclose(got, (gate / (1 + np.exp(-gate)) * value) @ last, atol=1e-5)


def test_logits_at_some_steps_only():
    model = make()
    at = np.array([[8, 2], [0, 5]], "int32")
    got = array(model({"inputs": TOKENS, "at": at}))
    want = np.take_along_axis(array(model(TOKENS)), at[..., None], axis=1)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_float32_residual_keeps_what_16_bits_lose():
    """The blocks add 1e-3 to a stream of 1, where bfloat16's next number is 1 + 2**-7."""

    def stream(**options):
        seen = []
        mixers = [LSTM(8, dtype="mixed_bfloat16") for _ in range(2)]
        for mixer in mixers:
            mixer.readout = lambda emitted: ops.full_like(emitted, 1e-3)
        model = LanguageModel(11, 8, mixers, dtype="mixed_bfloat16", **options)
        model.last_norm = Lambda(lambda hidden: seen.append(hidden) or hidden, autocast=False)
        model.build((None, None))
        model.embedding.embeddings.assign(np.ones((11, 8)))
        _, state = model(TOKENS, return_state=True)
        model.step(TOKENS[:, 0], state)
        return [array(ops.cast(hidden, "float64")) for hidden in seen]

    for hidden in stream(float32_residual=True):
        np.testing.assert_allclose(hidden, 1.002, atol=1e-5)
    for hidden in stream():
        np.testing.assert_array_equal(hidden, 1)


def test_learns_with_fit():
    model = make(tie_embeddings=True, norm="layer", dropout=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    history = model.fit(TOKENS, np.roll(TOKENS, -1, 1), epochs=80, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_parameters_are_counted_without_allocating():
    model = make(tie_embeddings=True, max_positions=5)
    model(TOKENS[:, :5])
    assert (
        count_parameters(lambda: make(tie_embeddings=True, max_positions=5)) == model.count_params()
    )

    def giant():
        return LanguageModel(10**6, 10**6, [LSTM(10**6)], [MLP(10**6)], tie_embeddings=True)

    norms = 3 * 10**6
    lstm, network = 8 * 10**12 + 4 * 10**6, 2 * 10**12 + 2 * 10**6
    assert count_parameters(giant) == 10**12 + norms + lstm + network
    # Nor are they when Keras allocates what a scope has left for later.
    assert keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).count_params() == 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LanguageModel(0, 8, [LSTM(8)]), "vocabulary_size.*0"),
        (lambda: LanguageModel(3, 8, [LSTM(7)]), r"mixers\[0\].*width 8.*7"),
        (lambda: LanguageModel(3, 8, [LSTM(8, return_sequences=False)]), "return_sequences"),
        (lambda: LanguageModel(3, 8, [LSTM(8)], norm="batch"), "norm.*batch"),
        (lambda: LanguageModel(3, 8, [LSTM(8)], [None, None]), "mlps.*1.*2"),
        (lambda: MLP(0), "hidden_units"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
