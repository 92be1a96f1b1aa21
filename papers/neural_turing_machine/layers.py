"""The Neural Turing Machine."""

import math

import keras
from keras import ops

from common.checks import check_choice, check_integers, check_numbers, check_positive
from common.layers import SequenceLayer, StateSpec, output_gate_third
from common.ops.lstm import lstm_cell
from papers.neural_turing_machine.addressing import address, write

MEMORY_INITS = ("constant", "random", "learned")


@keras.saving.register_keras_serializable(package="papers")
class NTM(SequenceLayer):
    """Neural Turing Machine: an LSTM that reads and writes a memory through soft addresses.

    Graves, Wayne and Danihelka 2014 (arXiv:1410.5401; equation numbers are theirs), in the stable
    form of Collier and Beel 2018 (arXiv:1807.08518): keys and added vectors go through tanh, what
    the heads and the output layer receive is clipped, reads see the memory before this step's
    write, and the state before the first step is learned.

    With B batch, C controller units, N memory slots of width M, R read and W write heads, the
    state is

    - `"controller"`: `{"hidden": (B, C), "cell": (B, C)}`, zero at first,
    - `"memory"`: `(B, N, M)`,
    - `"reads"`: `(B, R, M)`, what the read heads read last,
    - `"read_weights"`: `(B, R, N)` and `"write_weights"`: `(B, W, N)`, which sum to one over N.

    Addressing and memory are computed in the state dtype, float32 under the mixed policies.

    Departures from Graves et al.: those of Collier and Beel above; the LSTM controller only, no
    feed-forward one; a zero slot or key has similarity 0, and 1e-8 is added to the weights before
    they are sharpened, in place of undefined gradients.

    Args:
        units: Width of the output.
        controller_units: Units of the LSTM controller, C.
        memory_slots: N.
        memory_width: M.
        read_heads: R.
        write_heads: W.
        shift_range: Farthest a head can shift in one step, in slots; at least 0.
        memory_init: The memory before the first step, learned in all three cases:
            `"constant"` starts it from 1e-6 everywhere, `"random"` from tanh of a normal
            distribution with standard deviation 0.5, `"learned"` from tanh of small uniform
            values.
        clip: Largest absolute value of head parameters and outputs.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `shift_range` does not fit the memory,
            `memory_init` is unknown or `clip` is not positive.
    """

    def __init__(
        self,
        units: int,
        controller_units: int = 100,
        memory_slots: int = 128,
        memory_width: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shift_range: int = 1,
        memory_init: str = "constant",
        clip: float = 20.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            self,
            units=units,
            controller_units=controller_units,
            memory_slots=memory_slots,
            memory_width=memory_width,
            read_heads=read_heads,
            write_heads=write_heads,
        )
        # Both ways, and staying where it is: no more places than there are slots.
        check_integers(self, 0, (memory_slots - 1) // 2, shift_range=shift_range)
        check_choice(self, MEMORY_INITS, memory_init=memory_init)
        check_numbers(self, above=0, clip=clip)
        self.units = units
        self.controller_units = controller_units
        self.memory_slots = memory_slots
        self.memory_width = memory_width
        self.read_heads = read_heads
        self.write_heads = write_heads
        self.shift_range = shift_range
        self.memory_init = memory_init
        self.clip = clip

    def build(self, input_shape):
        super().build(input_shape)
        inputs, c, width = input_shape[-1], self.controller_units, self.memory_width
        carried = c + self.read_heads * width
        # Glorot's limit over all that the controller receives: inputs, reads and hidden state.
        received = 6 / (inputs + carried + 4 * c)
        # An initializer each: one that is called twice gives the same values twice.
        first, second = (output_gate_third(_uniform(received)) for _ in range(2))
        self.kernel = self.add_weight((inputs, 4 * c), first, name="kernel")
        self.recurrent_kernel = self.add_weight((carried, 4 * c), second, name="recurrent_kernel")
        self.bias = self.add_weight((4 * c,), self._initial_bias, name="bias")
        heads = sum(self._head_sizes())
        self.head_kernel = self.add_weight((c, heads), _truncated(c), name="head_kernel")
        self.head_bias = self.add_weight((heads,), "zeros", name="head_bias")
        self.output_kernel = self.add_weight(
            (carried, self.units), _truncated(carried), name="output_kernel"
        )
        self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")
        self._build_initial_state()

    def _build_initial_state(self):
        slots, width = self.memory_slots, self.memory_width
        memory = {
            "constant": keras.initializers.Constant(1e-6),
            "random": keras.initializers.RandomNormal(stddev=0.5),
            "learned": _uniform(6 / (1 + slots * width)),
        }[self.memory_init]
        self.initial_memory = self.add_weight((slots, width), memory, name="initial_memory")
        self.initial_reads = self.add_weight(
            (self.read_heads, width), _uniform(6 / (1 + width)), name="initial_reads"
        )
        self.initial_weights = self.add_weight(
            (self._heads, slots), _uniform(6 / (1 + slots)), name="initial_weights"
        )

    def _initial_bias(self, shape, dtype=None):
        return ops.repeat(ops.cast([0.0, 1.0, 0.0, 0.0], dtype), self.controller_units)

    @property
    def _heads(self) -> int:
        return self.read_heads + self.write_heads

    def _head_sizes(self) -> tuple[int, ...]:
        """Widths of what the controller emits, ordered so that one activation covers neighbours.

        tanh: keys, added vectors; sigmoid: gates, erased vectors; softplus: strengths,
        sharpness; softmax: shifts.
        """
        heads, vectors = self._heads, self.write_heads * self.memory_width
        keys = heads * self.memory_width
        return keys + vectors, heads + vectors, 2 * heads, heads * (2 * self.shift_range + 1)

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        slots, width, c = self.memory_slots, self.memory_width, self.controller_units
        return {
            "controller": {"hidden": StateSpec((c,)), "cell": StateSpec((c,))},
            "memory": StateSpec((slots, width)),
            "reads": StateSpec((self.read_heads, width)),
            "read_weights": StateSpec((self.read_heads, slots)),
            "write_weights": StateSpec((self.write_heads, slots)),
        }

    def initial_values(self) -> dict:
        zeros = ops.zeros((self.controller_units,), self.state_dtype)
        memory = ops.convert_to_tensor(self.initial_memory)
        weights = ops.softmax(ops.convert_to_tensor(self.initial_weights))
        return {
            "controller": {"hidden": zeros, "cell": zeros},
            "memory": memory if self.memory_init == "constant" else ops.tanh(memory),
            "reads": ops.tanh(ops.convert_to_tensor(self.initial_reads)),
            "read_weights": weights[: self.read_heads],
            "write_weights": weights[self.read_heads :],
        }

    def features(self, inputs, training=None):
        return ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)

    def recur(self, features, state):
        memory, controller = state["memory"], state["controller"]
        # Controller: an LSTM over [x_t; r_t-1; h_t-1].
        carried = self._join(state["reads"], controller["hidden"])
        gates = features + ops.matmul(carried, self.cast(self.recurrent_kernel))
        hidden, cell = lstm_cell(gates, controller["cell"])
        addressing, erase, add = self._head_parameters(hidden)
        previous = ops.concatenate([state["read_weights"], state["write_weights"]], axis=1)
        weights = address(memory, previous, *addressing)
        read_weights, write_weights = weights[:, : self.read_heads], weights[:, self.read_heads :]
        reads = ops.matmul(read_weights, memory)  # r = sum_i w(i) M(i)                        (2)
        new_state = {
            "controller": {"hidden": hidden, "cell": cell},
            "memory": write(memory, write_weights, erase, add),
            "reads": reads,
            "read_weights": read_weights,
            "write_weights": write_weights,
        }
        return self._join(reads, hidden), new_state

    def _head_parameters(self, hidden):
        """Arguments of `address` as a tuple; erased and added vectors, each `(B, W, M)`."""
        parameters = ops.matmul(self.cast(hidden), self.cast(self.head_kernel))
        parameters = ops.cast(parameters + self.cast(self.head_bias), self.state_dtype)
        parameters = ops.clip(parameters, -self.clip, self.clip)
        heads, width = self._heads, self.memory_width
        ends = [sum(self._head_sizes()[: i + 1]) for i in range(3)]
        vectors, gates, scales, shifts = ops.split(parameters, ends, axis=-1)
        vectors = ops.reshape(ops.tanh(vectors), (-1, heads + self.write_heads, width))
        gates = ops.sigmoid(gates)
        scales = ops.reshape(ops.softplus(scales), (-1, 2, heads, 1))
        shifts = ops.softmax(ops.reshape(shifts, (-1, heads, 2 * self.shift_range + 1)))
        erase = ops.reshape(gates[:, heads:], (-1, self.write_heads, width))
        addressing = (
            vectors[:, :heads],  # k = tanh(.)
            scales[:, 0],  # beta = softplus(.)
            gates[:, :heads, None],  # g = sigmoid(.)
            shifts,  # s = softmax(.)
            1.0 + scales[:, 1],  # gamma = 1 + softplus(.)
        )
        return addressing, erase, vectors[:, heads:]

    def _join(self, reads, hidden):
        flat = ops.reshape(reads, (-1, self.read_heads * self.memory_width))
        return self.cast(ops.concatenate([flat, hidden], axis=-1))

    def readout(self, emitted):
        outputs = ops.matmul(emitted, self.cast(self.output_kernel)) + self.cast(self.output_bias)
        return ops.clip(outputs, -self.clip, self.clip)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T ((D + R M + C) 4 C + C P + (2 R + W) N M + (C + R M) units)`.

        P is the number of head parameters; the three terms in N are R + W comparisons by content
        and R reads. Writing is elementwise.
        """
        c, carried = self.controller_units, self.recurrent_kernel.shape[0]
        controller = (self.kernel.shape[0] + carried) * 4 * c
        memory = (self._heads + self.read_heads) * self.memory_slots * self.memory_width
        products = controller + c * sum(self._head_sizes()) + memory + carried * self.units
        return 2 * batch_size * length * products


def _uniform(variance: float) -> keras.initializers.Initializer:
    """Uniform in +-sqrt(variance)."""
    limit = math.sqrt(variance)
    return keras.initializers.RandomUniform(-limit, limit)


def _truncated(fan_in: int) -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=1 / math.sqrt(fan_in))
