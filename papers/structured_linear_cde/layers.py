"""SLiCE (Walker et al., 2025): a linear recurrence whose transition is linear in the input."""

from math import sqrt

import keras
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import (
    check_choice,
    check_divides,
    check_integers,
    check_numbers,
    check_positive,
    check_powers_of_two,
)
from common.layers import ScanLayer, StateSpec
from common.ops.linear_scan import linear_scan
from common.ops.matrix_scan import matrix_scan
from common.ops.rotary import count_steps
from common.ops.time_axis import zero_unless

STRUCTURES = (
    "diagonal",
    "block_diagonal",
    "diagonal_dense",
    "low_rank",
    "walsh_hadamard",
    "dense",
)


@keras.saving.register_keras_serializable(package="papers")
class Frobenius(keras.regularizers.Regularizer):
    """`penalty` times the root of the sum of squares of a weight, not its square.

    Args:
        penalty: The factor.
    """

    def __init__(self, penalty: float):
        self.penalty = penalty

    def __call__(self, x):
        return self.penalty * ops.sqrt(ops.sum(ops.square(x)))

    def get_config(self):
        return {"penalty": self.penalty}


@keras.saving.register_keras_serializable(package="papers")
class SLiCE(ScanLayer):
    """Structured linear controlled differential equation, one step of Euler's an input.

        h_0 = W x_0 + b
        h_t = h_{t-1} + A(x_t) h_{t-1},   A(x) = delta (A^0 + sum_i x_i A^i)        (eq. 2)

    with the structure of every `A^i`, of size N (section 4):

    - `"diagonal"`;
    - `"block_diagonal"`: blocks of `block_size`;
    - `"diagonal_dense"`: diagonal, but for one block of `block_size` at the end;
    - `"low_rank"`: A(x) is a diagonal and `U(x) V(x)^T`, of `rank` columns each, U and V linear in
      (1, x) and times delta;
    - `"walsh_hadamard"`: a diagonal, with entries between -1 and 1 in every `A^i`, and after it the
      Hadamard matrix over the root of N, a power of two;
    - `"dense"`.

    `parallel` scans the transitions: of diagonals and blocks these stay what they are; low-rank and
    Walsh-Hadamard ones do not and are written out, N x N a step, for which `recurrent` is better.

    Nothing bounds the transitions: with large inputs, or over many steps, h overflows.

    State: `{"hidden": (B, units), "started": (B,) int32}`: h, zeros before the first step, and
    whether there was one, 0 or 1.

    Args:
        units: Size N of the state, and width of the outputs.
        structure: One of the above.
        block_size: Of the blocks, or of the one block.
        rank: Columns of U and V.
        time_step: delta.
        stddev: Standard deviation of initial values of W and b, and of the `A^i`, there over the
            root of `block_size`, of `rank`, or of N if dense.
        penalty: Factor of the Frobenius norm of diagonals and blocks, all `A^i` in one, in the
            loss; U and V have none.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `structure` is unknown, `block_size` does
            not divide `units` or is not below it where it has to, `units` is no power of two with
            Walsh-Hadamard, or another argument is out of range.
    """

    forms = ("parallel", "recurrent")

    def __init__(
        self,
        units: int,
        structure: str = "block_diagonal",
        block_size: int = 4,
        rank: int = 4,
        time_step: float = 1 / 40,
        stddev: float = 1.0,
        penalty: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, block_size=block_size, rank=rank)
        check_choice(self, STRUCTURES, structure=structure)
        check_numbers(self, above=0, time_step=time_step, stddev=stddev)
        check_numbers(self, at_least=0, penalty=penalty)
        if structure == "block_diagonal":
            check_divides(self, "`units`", units, block_size=block_size)
        if structure == "diagonal_dense":
            check_integers(self, 1, units - 1, block_size=block_size)
        if structure == "walsh_hadamard":
            check_powers_of_two(self, units=units)
        self.units = units
        self.structure = structure
        self.block_size = units if structure == "dense" else block_size
        self.rank = rank
        self.time_step = time_step
        self.stddev = stddev
        self.penalty = penalty
        # The diagonal's entries come first, blocks after them.
        self.num_blocks = {
            "block_diagonal": units // block_size,
            "diagonal_dense": 1,
            "dense": 1,
        }.get(structure, 0)
        self.num_diagonal = units - self.num_blocks * self.block_size

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,)), "started": StateSpec((), "int32")}

    def build(self, input_shape):
        super().build(input_shape)
        channels = input_shape[-1]
        self.kernel = self.add_weight((channels, self.units), self._normal(), name="kernel")
        self.bias = self.add_weight((self.units,), self._normal(), name="bias")
        penalty = Frobenius(self.penalty) if self.penalty else None

        def add(name, outputs, over=1, regularizer=None):
            shape, normal = (channels + 1, outputs), self._normal(over)
            weight = self.add_weight(shape, normal, name=f"{name}_kernel", regularizer=regularizer)
            setattr(self, f"{name}_kernel", weight)

        if self.num_diagonal:
            add("diagonal", self.num_diagonal, regularizer=penalty)
        if self.num_blocks:
            size = self.block_size
            add("block", self.num_blocks * size * size, size, regularizer=penalty)
        if self.structure == "low_rank":
            add("left", self.units * self.rank, self.rank)
            add("right", self.units * self.rank, self.rank)

    def _normal(self, over=1):
        return keras.initializers.RandomNormal(0, self.stddev / sqrt(over))

    def features(self, inputs, training=None):
        # Transitions multiply along the whole sequence: they are float32 at least.
        first = ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)
        features = {"first": ops.cast(first, self.state_dtype)}
        driven = ops.concatenate([ops.ones_like(inputs[..., :1]), inputs], axis=-1)

        def transition(kernel):
            return self.time_step * ops.cast(ops.matmul(driven, kernel), self.state_dtype)

        if self.structure == "walsh_hadamard":
            features["signed"] = transition(ops.tanh(self.cast(self.diagonal_kernel)))
        elif self.num_diagonal:
            features["gates"] = 1 + transition(self.cast(self.diagonal_kernel))
        if self.num_blocks:
            blocks = transition(self.cast(self.block_kernel))
            blocks = rearrange(
                blocks, "... (k i j) -> ... k i j", i=self.block_size, k=self.num_blocks
            )
            features["blocks"] = blocks + ops.eye(self.block_size, dtype=blocks.dtype)
        if self.structure == "low_rank":
            for name, kernel in (("left", self.left_kernel), ("right", self.right_kernel)):
                columns = transition(self.cast(kernel))
                features[name] = rearrange(columns, "... (n r) -> ... n r", r=self.rank)
        return features

    def recur(self, features, state):
        started = state["started"][:, None] > 0
        hidden = ops.where(started, self._move(features, state["hidden"]), features["first"])
        return self.cast(hidden), {"hidden": hidden, "started": ops.ones_like(state["started"])}

    def _move(self, features, h):
        """`h + A h`, for h of shape (B, N)."""
        if self.structure == "walsh_hadamard":
            matrix = ops.cast(hadamard(self.units), h.dtype)
            return h + ops.matmul(features["signed"] * h, matrix)
        pieces = []
        if self.num_diagonal:
            pieces.append(features["gates"] * h[:, : self.num_diagonal])
        if self.num_blocks:
            parts = rearrange(h[:, self.num_diagonal :], "b (k j) -> b k j 1", j=self.block_size)
            products = ops.matmul(features["blocks"], parts)
            pieces.append(rearrange(products, "b k i 1 -> b (k i)"))
        moved = ops.concatenate(pieces, axis=-1)
        if self.structure == "low_rank":
            seen = ops.matmul(ops.swapaxes(features["right"], -1, -2), h[..., None])
            moved = moved + ops.matmul(features["left"], seen)[..., 0]
        return moved

    def parallel(self, features, state, initial, mask, reset):
        """Scans of the transitions (algorithm 1, section 4.6)."""
        first = features["first"]
        positions, count = count_steps(state["started"], ops.shape(first)[1], mask, reset)
        later = positions > 0
        # The first step comes from nothing: its transition is 0, and what it writes all there is.
        written = zero_unless(~later[..., None], first)
        marks = {"mask": mask, "reset": reset, "scan": self.scan}
        old, n, pieces = state["hidden"], self.num_diagonal, []
        if self.structure in ("low_rank", "walsh_hadamard"):
            flow = zero_unless(later[..., None, None], self._written_out(features))
            pieces.append(matrix_scan(flow, written, old, **marks))
        elif n:
            gates = zero_unless(later[..., None], features["gates"])
            pieces.append(linear_scan(gates, written[..., :n], old[:, :n], **marks))
        if self.num_blocks:
            flow = zero_unless(later[..., None, None, None], features["blocks"])
            written, old = (
                rearrange(x[..., n:], "... (k j) -> ... k j", j=self.block_size)
                for x in (written, old)
            )
            scanned = matrix_scan(flow, written, old, **marks)
            pieces.append(tuple(rearrange(x, "... k j -> ... (k j)") for x in scanned))
        hidden, final = (ops.concatenate(x, axis=-1) for x in zip(*pieces, strict=True))
        return self.cast(hidden), {"hidden": final, "started": ops.cast(count > 0, "int32")}

    def _written_out(self, features):
        """`1 + A` as a matrix, `(B, T, N, N)`."""
        eye = ops.eye(self.units, dtype=self.state_dtype)
        if self.structure == "walsh_hadamard":
            return (
                eye + ops.cast(hadamard(self.units), eye.dtype) * features["signed"][..., None, :]
            )
        low_rank = ops.matmul(features["left"], ops.swapaxes(features["right"], -1, -2))
        return eye * features["gates"][..., None] + low_rank

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D N + (D + 1) M)`, M numbers a transition, and `2 B T` a number for `h + A h`.

        Where `parallel` writes transitions out, N N of them for that, and N N r to multiply them
        out if low-rank; in an associative scan twice their cubes in place of the squares of sizes.
        """
        n, size = self.units, self.block_size
        ranks = 2 * n * self.rank if self.structure == "low_rank" else 0
        numbers = self.num_diagonal + self.num_blocks * size**2 + ranks
        channels = self.kernel.shape[0]
        products = channels * n + (channels + 1) * numbers
        if self.resolved_form == "recurrent":
            acting = self.num_blocks * size**2 + ranks
            acting += n**2 if self.structure == "walsh_hadamard" else 0
        else:
            written_out = self.structure in ("low_rank", "walsh_hadamard")
            sizes = self.num_blocks * [size] + ([n] if written_out else [])
            associative = self.resolved_scan == "associative"
            acting = sum(2 * one**3 if associative else one**2 for one in sizes)
            acting += n**2 * self.rank if ranks else 0
        return 2 * batch_size * length * (products + acting)


def hadamard(size: int) -> np.ndarray:
    """Sylvester's matrix, symmetric and orthogonal: of entries 1 and -1, over the root of its size.

    Args:
        size: A power of two.
    """
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / sqrt(size)
