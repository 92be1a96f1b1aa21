"""SLiCE from algorithm 1 of its paper, with whole matrices and one step after the other.

The authors' code is no package. Here every transition is a dense matrix, the sum over the input's
channels of matrices that are zero where the structure has none, and Euler's step adds it to one.
"""

import torch
from torch.nn import functional as F

from tests.golden.peers.recording import draw, normal, record, version, warm

CHANNELS, UNITS, BLOCK, RANK, STEP = 3, 4, 2, 2, 0.3


def vectors():
    for structure, (shapes, drive) in STRUCTURES.items():
        yield f"slice-{structure}", _vector(structure, shapes, drive)


def _vector(structure, shapes, drive):
    def run(w, x, state):
        h, started = state["hidden"], state["started"] > 0
        outputs = []
        for x_t in x.unbind(1):
            seen = torch.cat([torch.ones_like(x_t[:, :1]), x_t], dim=1)  # time, and the input
            flow = torch.eye(UNITS, dtype=torch.float64) + drive(w, seen)
            moved = torch.einsum("bij,bj->bi", flow, h)
            h = torch.where(started[:, None], moved, F.linear(x_t, w["W"], w["b"]))
            started = torch.ones_like(started)
            outputs.append(h)
        return torch.stack(outputs, dim=1), {"hidden": h}

    shapes = {name: (*shape, CHANNELS + 1) for name, shape in shapes.items()}
    state = warm(2, hidden=(3, UNITS))
    return record(
        f"by hand, with {version('torch')}: SLiCE's algorithm 1, {structure}",
        run,
        draw(1, W=(UNITS, CHANNELS), b=(UNITS,), **shapes),
        normal(3, 11, CHANNELS),
        {**state, "started": (abs(state["hidden"]).sum(1) > 0).astype("int64")},
    )


def _summed(matrices, seen):
    """`delta sum_i x_i A^i` of `(N, M, channels)`."""
    return STEP * torch.einsum("nmi,bi->bnm", matrices, seen)


def _diagonal(w, seen):
    return STEP * torch.diag_embed(seen @ w["diagonal"].T)


def _blocks(w, seen):
    """All blocks `(K, n, n, channels)` on the diagonal of one matrix."""
    return torch.stack(
        [
            torch.block_diag(*_summed(w["blocks"].flatten(0, 1), x[None])[0].split(BLOCK))
            for x in seen
        ]
    )


def _diagonal_dense(w, seen):
    diagonal = STEP * seen @ w["diagonal"].T
    blocks = _summed(w["blocks"][0], seen)
    return torch.stack(
        [torch.block_diag(torch.diag(a), b) for a, b in zip(diagonal, blocks, strict=True)]
    )


def _low_rank(w, seen):
    left, right = _summed(w["U"], seen), _summed(w["V"], seen)
    return _diagonal(w, seen) + left @ right.transpose(1, 2)


def _walsh_hadamard(w, seen):
    bounded = STEP * torch.diag_embed(seen @ w["diagonal"].tanh().T)
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(2):
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), matrix)
    return matrix / UNITS**0.5 @ bounded


def _dense(w, seen):
    return _summed(w["blocks"][0], seen)


STRUCTURES = {
    "diagonal": ({"diagonal": (UNITS,)}, _diagonal),
    "block-diagonal": ({"blocks": (UNITS // BLOCK, BLOCK, BLOCK)}, _blocks),
    "diagonal-dense": (
        {"diagonal": (UNITS - BLOCK,), "blocks": (1, BLOCK, BLOCK)},
        _diagonal_dense,
    ),
    "low-rank": (
        {"diagonal": (UNITS,), "U": (UNITS, RANK), "V": (UNITS, RANK)},
        _low_rank,
    ),
    "walsh-hadamard": ({"diagonal": (UNITS,)}, _walsh_hadamard),
    "dense": ({"blocks": (1, UNITS, UNITS)}, _dense),
}
