"""What is generated, against steps and calls of the model and distributions worked out by hand."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM
from common.models import CausalLM, GreedySampler, LanguageModel, RandomSampler
from common.models.generation import BLOCK
from tests.contract.models import subjects
from tests.contract.papers import VOCABULARY
from tests.contract.subjects import jitted

compiled = pytest.mark.skipif(keras.backend.backend() == "torch", reason="nothing is compiled")

PROMPTS = [[3, 1, 4, 1, 5, 2], [6], [2, 0, 5]]


def array(x):
    return ops.convert_to_numpy(x)


def language_models():
    """Every model that generates; further versions of a class are of the grid."""
    found, seen = [], set()
    for subject in subjects():
        if issubclass(subject.cls, CausalLM):
            marks = [pytest.mark.grid] if subject.cls in seen else []
            found.append(pytest.param(subject, id=subject.name, marks=marks))
            seen.add(subject.cls)
    return found


def make(**changes):
    """A model that is compiled soon."""
    keras.utils.set_random_seed(0)
    dtype = changes.get("dtype")
    size = {"max_positions": 20, "embedding_stddev": 1.0, **changes}
    model = LanguageModel(VOCABULARY, 8, [LSTM(8, dtype=dtype)], **size)
    model.build((None, None))
    return model


@pytest.fixture(scope="module")
def net():
    return make()


@keras.saving.register_keras_serializable(package="tests")
class Bigram(CausalLM):
    """Logits of the next token that depend on the last one alone."""

    def __init__(self, logits, **kwargs):
        super().__init__(**kwargs)
        self.logits = np.array(logits, "float32")
        self.vocabulary_size = len(self.logits)

    @property
    def state_layers(self):
        return {}

    def compute(self, inputs, through):
        return ops.take(ops.convert_to_tensor(self.logits), inputs, axis=0)


# Against the model.


def fractions(logits, seed=None):
    """A sampler to which every digit of a logit matters, and every token is likely."""
    logits = 100 * logits
    return ops.argmax(logits - ops.floor(logits), axis=-1)


def by_steps(model, prompt, count, choose):
    """Tokens after one prompt, by `model.step` alone."""
    step = jitted(model.step)
    state = model.get_initial_state(1)
    for token in prompt:
        logits, state = step(ops.convert_to_tensor([token], "int32"), state)
    tokens = [int(choose(logits)[0])]
    while len(tokens) < count:
        logits, state = step(ops.convert_to_tensor(tokens[-1:], "int32"), state)
        tokens.append(int(choose(logits)[0]))
    return tokens


def logits_of(model, prompt, new):
    """The logits that each of the new tokens was chosen by, of one call over all of them."""
    logits = jitted(model)(np.array([[*prompt, *new]], "int32"))
    return array(logits)[0, len(prompt) - 1 : -1]


@pytest.mark.parametrize("subject", language_models())
def test_generates_as_the_model_steps_from_each_prompt_alone(subject):
    model = subject.model()
    new = model.generate(PROMPTS, 7, fractions)
    assert new.shape == (3, 7) and new.dtype == np.int32 and isinstance(new, np.ndarray)
    assert new.tolist() == [by_steps(model, prompt, 7, fractions) for prompt in PROMPTS]
    np.testing.assert_array_equal(array(fractions(logits_of(model, PROMPTS[0], new[0]))), new[0])


def test_greedy_is_the_argmax(net):
    new = net.generate(PROMPTS, 7)
    for prompt, row in zip(PROMPTS, new, strict=True):
        np.testing.assert_array_equal(logits_of(net, prompt, row).argmax(-1), row)
    np.testing.assert_array_equal(net.generate(PROMPTS, 7, GreedySampler(), seed=5), new)
    np.testing.assert_array_equal(net.generate(PROMPTS, 7, RandomSampler(top_k=1), seed=5), new)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_under_mixed_precision_tokens_are_nearly_the_argmax(policy):
    model = make(dtype=policy)
    for prompt, row in zip(PROMPTS, model.generate(PROMPTS, 7), strict=True):
        logits = logits_of(model, prompt, row)
        assert (logits.max(-1) - logits[range(7), row] < 0.02).all()


def test_dropout_is_off(net):
    dropping = make(dropout=0.5)
    dropping.set_weights(net.get_weights())
    want = net.generate(PROMPTS, 7, fractions)
    np.testing.assert_array_equal(dropping.generate(PROMPTS, 7, fractions), want)


def test_masked_tokens_do_not_count(net):
    tokens = np.array([[3, 1, 6, 6, 4], [6, 6, 2, 0, 5]], "int32")
    mask = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 1, 1]], bool)
    want = net.generate([[3, 1, 4], [2, 0, 5]], 5, fractions)
    for marks in (mask, mask.astype(int), ops.convert_to_tensor(mask)):
        np.testing.assert_array_equal(net.generate(tokens, 5, fractions, mask=marks), want)


def test_takes_arrays_tensors_and_lists_of_them(net):
    rows = [[3, 1], [2, 0]]
    want = net.generate(rows, 4, fractions)
    for prompt in (
        np.array(rows),
        ops.convert_to_tensor(rows, "int32"),
        tuple(map(np.array, rows)),
    ):
        np.testing.assert_array_equal(net.generate(prompt, 4, fractions), want)


def test_runs_eagerly_where_the_model_does(net):
    want = net.generate(PROMPTS, 4, fractions)
    net.run_eagerly = True
    np.testing.assert_array_equal(net.generate(PROMPTS, 4, fractions), want)
    net.run_eagerly = False


# What is compiled.


@compiled
def test_is_compiled_once(monkeypatch):
    model, traced = make(max_positions=0), []
    compute = model.compute
    monkeypatch.setattr(model, "compute", lambda *args: traced.append(1) or compute(*args))
    model.generate([[3, 1], [2, 0]], 3)
    traced.clear()
    for length, count in ((1, 2), (5, 9), (16, BLOCK), (7, 2 * BLOCK + 3), (2, 1)):
        prompt = np.random.default_rng(length).integers(0, VOCABULARY, (2, length))
        assert model.generate(prompt, count, stop=length % 7).shape[1] <= count
        assert len(list(model.stream(prompt, 3))) == 3
    model.set_weights([1.1 * w for w in model.get_weights()])
    model.generate([[3], [2, 0, 1]], 3)
    assert not traced
    model.generate([[3] * 17, [2]], 3)  # the next power of two
    assert len(traced) == 1
    model.generate([[3] * 32, [2] * 30], 30, seed=1)
    assert len(traced) == 1


def test_the_weights_are_the_present_ones():
    model = make()
    before = model.generate(PROMPTS, 7)
    model.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in model.weights])
    new = model.generate(PROMPTS, 7)
    assert (new != before).any()
    np.testing.assert_array_equal(logits_of(model, PROMPTS[0], new[0]).argmax(-1), new[0])
    model.quantize("int8")  # into other variables
    model.head.kernel.assign(ops.zeros_like(model.head.kernel))
    assert (model.generate(PROMPTS, 7) == 0).all()


def test_a_model_that_has_generated_is_saved_pickled_and_copied(tmp_path):
    model = make()
    fresh = model.get_config(), [v.path for v in model.variables], len(model.layers)
    want = model.generate(PROMPTS, 7, fractions)
    assert (model.get_config(), [v.path for v in model.variables], len(model.layers)) == fresh
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.array([PROMPTS[0]])
    for one in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert "_generator" not in vars(one)
        np.testing.assert_array_equal(array(one(x)), array(model(x)))
    np.testing.assert_array_equal(loaded.generate(PROMPTS, 7, fractions), want)


# Samplers.

LOGITS = np.array([1.0, -0.5, 2.0, 0.3, -2.0, 1.7], "float32")


def by_hand(temperature=1.0, top_k=None, top_p=None):
    """Probabilities of `LOGITS`, token by token in the order of falling probability."""
    p = np.exp(LOGITS.astype("float64") / temperature)
    order = list(np.argsort(-p))[:top_k]
    p = {token: p[token] / sum(p[list(order)]) for token in order}
    if top_p is not None:
        kept, total = {}, 0.0
        for token in order:
            if total < top_p:
                kept[token] = p[token]
            total += p[token]
        p = {token: value / sum(kept.values()) for token, value in kept.items()}
    return np.array([p.get(token, 0.0) for token in range(len(LOGITS))])


SETTINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0, "top_k": 4},
    {"top_k": 100},
    {"top_p": 0.75},
    {"top_p": 1e-3},
    {"top_p": 1.0},
    {"temperature": 1.5, "top_k": 5, "top_p": 0.8},
]


def chi_square(counts, p):
    """How many standard deviations the statistic is above its mean."""
    assert not counts[p == 0].any()
    counts, p = counts[p > 0], p[p > 0]
    if len(p) == 1:
        return 0.0
    expected = counts.sum() * p
    freedom = len(p) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tokens_are_drawn_with_their_probabilities(settings):
    p = by_hand(**settings)
    sampler = RandomSampler(**settings)
    left = array(ops.softmax(sampler.restrict(ops.convert_to_tensor(LOGITS[None]))))[0]
    np.testing.assert_allclose(left, p, atol=1e-6)
    rows = ops.convert_to_tensor(np.tile(LOGITS, (20000, 1)))
    tokens = array(sampler(rows, keras.random.SeedGenerator(3)))
    assert chi_square(np.bincount(tokens, minlength=len(p)), p) < 4


def test_each_token_of_each_sequence_is_drawn_for_itself():
    logits = np.stack([np.roll(LOGITS, n) for n in range(len(LOGITS))])
    model = Bigram(logits)
    new = model.generate(np.zeros((200, 1), int), 60, RandomSampler(top_k=4), seed=1)
    for last in range(len(LOGITS)):
        following = new[:, 1:][new[:, :-1] == last]
        p = np.roll(by_hand(top_k=4), last)
        assert chi_square(np.bincount(following, minlength=len(p)), p) < 4
    assert len(np.unique(new[:, :20], axis=0)) == 200


def test_a_seed_makes_the_same_tokens_again(net):
    prompt, sampler = np.zeros((4, 3), int), RandomSampler(0.9, top_p=0.95)
    new = net.generate(prompt, 15, sampler, seed=3)
    np.testing.assert_array_equal(net.generate(prompt, 15, sampler, seed=3), new)
    np.testing.assert_array_equal(net.generate(prompt, 9, sampler, seed=3), new[:, :9])
    np.testing.assert_array_equal(np.stack([*net.stream(prompt, 15, sampler, seed=3)], 1), new)
    assert (net.generate(prompt, 15, sampler, seed=4) != new).any()
    assert (net.generate(prompt, 15, sampler) != net.generate(prompt, 15, sampler)).any()
    keras.utils.set_random_seed(0)
    one = net.generate(prompt, 15, "random")
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(net.generate(prompt, 15, "random"), one)


def test_samplers_are_compared_by_their_settings():
    assert RandomSampler(top_k=3) == RandomSampler(top_k=3) != RandomSampler(top_k=4)
    assert len({RandomSampler(0.5), RandomSampler(0.5), GreedySampler(), GreedySampler()}) == 2


# Blocks, streams and stops.

# Each token leads to the next one, 5 to 0.
CYCLE = 10.0 * np.roll(np.eye(6), 1, axis=1)


def test_a_stream_is_what_is_generated(net):
    new = net.generate(PROMPTS, 9, fractions)
    stream = net.stream(PROMPTS, 9, fractions)
    first = next(stream)
    assert first.shape == (3,) and first.dtype == np.int32
    np.testing.assert_array_equal(np.stack([first, *stream], axis=1), new)


@pytest.mark.parametrize("count", [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 2 * BLOCK + 5])
def test_blocks_follow_each_other(count):
    new = CYCLE_NET.generate([[1, 2, 3], [0]], count)
    np.testing.assert_array_equal(new, (np.arange(count) + [[4], [1]]) % 6)


CYCLE_NET = Bigram(CYCLE)


def test_sequences_end_at_a_stop():
    want = [[1, 2, 3, 3, 3], [4, 5, 0, 1, 2], [3, 3, 3, 3, 3]]
    prompts = [[0], [3], [2]]
    assert CYCLE_NET.generate(prompts, 5, stop=3).tolist() == want
    # All have ended.
    want = [[1, 2, 3, 4], [4, 4, 4, 4], [3, 4, 4, 4]]
    assert CYCLE_NET.generate(prompts, 500, stop=[4]).tolist() == want
    assert np.stack([*CYCLE_NET.stream(prompts, 500, stop=4)], 1).tolist() == want
    # One of several; of each sequence the one that it came to.
    want = [[1, 2, 2], [4, 5, 0], [3, 4, 5]]
    assert CYCLE_NET.generate(prompts, 3, stop=(2,)).tolist() == want
    assert CYCLE_NET.generate(prompts, 9, stop=np.array([2, 5])).tolist() == [
        [1, 2, 2],
        [4, 5, 5],
        [3, 4, 5],
    ]
    assert CYCLE_NET.generate([[0], [0]], 9, stop=1).tolist() == [[1], [1]]


# Bad input.

GOOD = {"prompt": [[1, 2]], "max_new_tokens": 3}
BAD = [
    ("prompt", {"prompt": []}),
    ("prompt", {"prompt": [[1], []]}),
    ("prompt", {"prompt": np.zeros((2, 0), int)}),
    ("prompt", {"prompt": [1, 2]}),
    ("prompt", {"prompt": 3}),
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": "text"}),
    ("prompt", {"prompt": np.zeros((1, 2, 3), int)}),
    ("prompt", {"prompt": [[1.0, 2.0]]}),
    ("prompt", {"prompt": [[True, False]]}),
    ("prompt", {"prompt": [[1, VOCABULARY]]}),
    ("prompt", {"prompt": [[-1, 2]]}),
    ("prompt", {"prompt": [[0] * 21]}),
    ("max_new_tokens", {"max_new_tokens": 0}),
    ("max_new_tokens", {"max_new_tokens": 2.0}),
    ("max_new_tokens", {"max_new_tokens": None}),
    ("max_new_tokens", {"max_new_tokens": 20}),
    ("sampler", {"sampler": "beam"}),
    ("sampler", {"sampler": RandomSampler}),
    ("sampler", {"sampler": None}),
    ("seed", {"seed": -1}),
    ("seed", {"seed": 1.5}),
    ("stop", {"stop": VOCABULARY}),
    ("stop", {"stop": [1, -1]}),
    ("stop", {"stop": 1.0}),
    ("stop", {"stop": "end"}),
    ("mask", {"mask": [[True]]}),
    ("mask", {"mask": [[False, False]]}),
    ("mask", {"mask": [[0.0, 0.5]]}),
    ("mask", {"prompt": [[1, 2], [1]], "mask": [[True, True], [True, True]]}),
]


@pytest.mark.parametrize("name, changes", BAD, ids=str)
def test_bad_input_is_named(net, name, changes):
    for method in (net.generate, net.stream):  # a stream says so before it is asked for a token
        with pytest.raises(ValueError, match=f"LanguageModel: `{name}` must be"):
            method(**{**GOOD, **changes})


@pytest.mark.parametrize(
    "name, value",
    [("temperature", 0), ("temperature", float("nan")), ("top_k", 0), ("top_k", 2.5)]
    + [("top_p", 0), ("top_p", 1.01), ("top_p", -0.5)],
)
def test_bad_samplers_are_named(name, value):
    with pytest.raises(ValueError, match=f"RandomSampler: `{name}` must be"):
        RandomSampler(**{name: value})


def test_all_positions_are_used(net):
    assert net.generate([[1, 2]], 19).shape == (1, 19)
    assert net.generate([[1] * 20], 1).shape == (1, 1)
