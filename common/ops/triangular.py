"""The inverse of a batch of unit lower triangular matrices, by products of blocks.

`ops.solve_triangular` is one loop over the rows for each matrix: slow where there are thousands of
small ones, under XLA and on accelerators above all.
"""

from keras import ops

from common.ops.operands import check_rank
from common.typing import Tensor

# Rows below which a block is inverted by forward substitution.
_SMALLEST = 8


def unit_lower_inverse(a: Tensor) -> Tensor:
    """`(I + tril(a, -1))^-1` of every matrix of a batch.

    The blocks on the diagonal are inverted by forward substitution up to size 8, all of them at
    once, and then joined two by two:

        `[[A, 0], [C, D]]^-1 = [[A^-1, 0], [-D^-1 C A^-1, D^-1]]`.

    Nothing is squared or divided, so what the substitution is safe for, this is.

    Args:
        a: Matrices `(M, C, C)`, C static. What stands on and above the diagonal is not read.

    Returns:
        Tensor `(M, C, C)`.

    Raises:
        ValueError: if `a` is no batch of square matrices.
    """
    check_rank("a", a, "M C C")
    size = a.shape[-1]
    if size is None or a.shape[-2] != size:
        raise ValueError(f"`a` must be square matrices of known size, got shape {tuple(a.shape)}")
    missing = _padded(size) - size
    if missing:
        a = ops.pad(a, [(0, 0), (0, missing), (0, missing)])
    return _inverse(a)[:, :size, :size]


def unit_lower_inverse_flops(size: int) -> int:
    """FLOPs of the matrix products in `unit_lower_inverse` of one matrix.

    `2 C n^2` for each block size n that is joined to twice itself; the substitution is elementwise.
    """
    padded, block, total = _padded(size), _padded(size), 0
    while block > _SMALLEST:
        block //= 2
        total += 2 * padded * block**2
    return total


def _padded(size: int) -> int:
    """The next size that can be halved down to a block for the substitution."""
    block = size
    while block > _SMALLEST:
        block = -(-block // 2)
    while block < size:
        block *= 2
    return block


def _inverse(a: Tensor) -> Tensor:
    size = a.shape[-1]
    if size <= _SMALLEST:
        return _substitute(a)
    half = size // 2
    corners = ops.stack([a[:, :half, :half], a[:, half:, half:]], axis=1)
    inverted = ops.reshape(_inverse(ops.reshape(corners, (-1, half, half))), (-1, 2, half, half))
    first, second = inverted[:, 0], inverted[:, 1]
    below = -(second @ (a[:, half:, :half] @ first))
    above = ops.concatenate([first, ops.zeros_like(first)], axis=-1)
    return ops.concatenate([above, ops.concatenate([below, second], axis=-1)], axis=-2)


def _substitute(a: Tensor) -> Tensor:
    """Row after row: row i of the inverse is that of I, less `a_ij` times each row j before."""
    identity = ops.eye(a.shape[-1], dtype=a.dtype)
    rows = ops.broadcast_to(identity[:1], ops.shape(a[:, :1]))
    for i in range(1, a.shape[-1]):
        row = identity[i] - ops.sum(a[:, i, :i, None] * rows, axis=1)
        rows = ops.concatenate([rows, row[:, None]], axis=1)
    return rows
