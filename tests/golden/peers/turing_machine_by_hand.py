"""A Neural Turing Machine of three slots, worked out in plain Python from the paper's equations.

Graves et al. (2014), numbered as there, with what Collier and Beel (2018) change: keys and added
vectors go through tanh, reads come before writes, the first state is learned. The layer's 1e-8 is
added to weights before they are sharpened.

Gradients are those of a complex step: `f(x + ih)` has the imaginary part `h f'(x)`, exactly so for
an h as small as 1e-30. That is why every function here is written for complex numbers.
"""

import cmath

import numpy as np

from tests.golden.peers.recording import draw, normal, pack, upstream_of

SLOTS, WIDTH, UNITS, INPUTS, OUTPUTS = 3, 2, 2, 2, 2
SHIFTS = (-1, 0, 1)
# What the controller's hidden state is projected to, for each head: its parts and their sizes.
HEAD = {"key": WIDTH, "strength": 1, "gate": 1, "shift": len(SHIFTS), "sharpness": 1}
WRITE = {"erase": WIDTH, "add": WIDTH}
STEP = 1e-30


def vectors():
    yield "ntm", _vector()


def sigmoid(x):
    return 1 / (1 + cmath.exp(-x))


def softplus(x):
    return cmath.log(1 + cmath.exp(x))


def softmax(xs):
    powers = [cmath.exp(x) for x in xs]
    return [x / sum(powers) for x in powers]


def affine(xs, kernel, bias):
    return [
        sum(x * row[j] for x, row in zip(xs, kernel, strict=True)) + bias[j]
        for j in range(len(bias))
    ]


def cosine(u, v):
    """Eq. 6."""
    product = sum(a * b for a, b in zip(u, v, strict=True))
    return product / (cmath.sqrt(sum(a * a for a in u)) * cmath.sqrt(sum(b * b for b in v)))


def address(memory, before, head):
    """Eq. 5 to 9."""
    key = [cmath.tanh(x) for x in head["key"]]
    strength, gate = softplus(head["strength"][0]), sigmoid(head["gate"][0])
    shift, sharpness = softmax(head["shift"]), 1 + softplus(head["sharpness"][0])
    content = softmax([strength * cosine(key, row) for row in memory])  # (5)
    gated = [gate * c + (1 - gate) * w for c, w in zip(content, before, strict=True)]  # (7)
    shifted = [
        sum(gated[(i - offset) % SLOTS] * s for offset, s in zip(SHIFTS, shift, strict=True))
        for i in range(SLOTS)
    ]  # (8)
    powers = [cmath.exp(sharpness * cmath.log(w + 1e-8)) for w in shifted]
    return [p / sum(powers) for p in powers]  # (9)


def head_parameters(hidden, weights, head, parts):
    return {
        part: affine(hidden, weights[f"{head}_{part}_kernel"], weights[f"{head}_{part}_bias"])
        for part in parts
    }


def run(weights, inputs):
    """Outputs and the last state of one sequence, as nested lists of complex numbers."""
    memory = [[cmath.tanh(x) for x in row] for row in weights["memory"]]
    read = [cmath.tanh(x) for x in weights["read"]]
    read_weights, write_weights = (
        softmax(weights[f"{name}_weights"]) for name in ("read", "write")
    )
    hidden = cell = [0j] * UNITS
    outputs = []
    for x in inputs:
        received = [*x, *read, *hidden]
        gates = {
            gate: affine(received, weights[f"{gate}_kernel"], weights[f"{gate}_bias"])
            for gate in ("input", "forget", "cell", "output")
        }
        cell = [
            sigmoid(f) * c + sigmoid(i) * cmath.tanh(g)
            for i, f, g, c in zip(gates["input"], gates["forget"], gates["cell"], cell, strict=True)
        ]
        hidden = [sigmoid(o) * cmath.tanh(c) for o, c in zip(gates["output"], cell, strict=True)]
        reader = head_parameters(hidden, weights, "read", HEAD)
        writer = head_parameters(hidden, weights, "write", {**HEAD, **WRITE})
        read_weights = address(memory, read_weights, reader)
        write_weights = address(memory, write_weights, writer)
        read = [
            sum(w * row[j] for w, row in zip(read_weights, memory, strict=True))
            for j in range(WIDTH)
        ]  # (2)
        erase = [sigmoid(e) for e in writer["erase"]]
        add = [cmath.tanh(a) for a in writer["add"]]
        memory = [
            [m * (1 - w * e) + w * a for m, e, a in zip(row, erase, add, strict=True)]
            for w, row in zip(write_weights, memory, strict=True)
        ]  # (3) and (4)
        outputs.append(affine([*read, *hidden], weights["out_kernel"], weights["out_bias"]))
    return {
        "outputs": outputs,
        "final/hidden": hidden,
        "final/cell": cell,
        "final/memory": memory,
        "final/read": read,
        "final/read_weights": read_weights,
        "final/write_weights": write_weights,
    }


def _results(weights, inputs) -> dict[str, np.ndarray]:
    """Of all sequences, `(B, ...)`, still complex."""
    weights = {name: x.tolist() for name, x in weights.items()}
    runs = [run(weights, sequence.tolist()) for sequence in inputs]
    return {name: np.array([r[name] for r in runs]) for name in runs[0]}


def _vector(batch: int = 2, length: int = 3):
    received = INPUTS + WIDTH + UNITS
    shapes = {
        "memory": (SLOTS, WIDTH),
        "read": (WIDTH,),
        "read_weights": (SLOTS,),
        "write_weights": (SLOTS,),
        "out_kernel": (WIDTH + UNITS, OUTPUTS),
        "out_bias": (OUTPUTS,),
    }
    for gate in ("input", "forget", "cell", "output"):
        shapes |= {f"{gate}_kernel": (received, UNITS), f"{gate}_bias": (UNITS,)}
    for head, parts in {"read": HEAD, "write": {**HEAD, **WRITE}}.items():
        for part, size in parts.items():
            shapes |= {f"{head}_{part}_kernel": (UNITS, size), f"{head}_{part}_bias": (size,)}
    weights = {name: 2 * x for name, x in draw(1, **shapes).items()}
    inputs = normal(batch, length, INPUTS)
    results = {name: x.real for name, x in _results(weights, inputs).items()}
    upstream = upstream_of(results, 0)

    def slope(name: str, index: tuple[int, ...]) -> float:
        """What the weighted sum changes by, for a change of one number."""
        varied = {"inputs": inputs, **weights}
        varied[name] = varied[name].astype(complex)
        varied[name][index] += STEP * 1j
        changed = _results({n: varied[n] for n in weights}, varied["inputs"])
        return sum(float(np.sum(changed[n].imag / STEP * x)) for n, x in upstream.items())

    def gradient(name: str, of: np.ndarray) -> np.ndarray:
        values = [slope(name, index) for index in np.ndindex(of.shape)]
        return np.array(values).reshape(of.shape)

    gradients = {"inputs": gradient("inputs", inputs)}
    gradients |= {f"weights/{name}": gradient(name, x) for name, x in weights.items()}
    source = "by hand, in plain Python: Graves et al. (2014), equations 2 to 9"
    return pack(source, weights, inputs, {}, results, upstream, gradients)
