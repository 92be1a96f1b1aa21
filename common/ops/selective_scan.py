"""Mamba's recurrence: `h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t`, read as `y_t = C_t . h_t`.

Gu and Dao (2023), section 3.2 and algorithm 2. Every channel d has a state of N numbers, whose
decays `exp(delta_td A_dn)` depend on the step, the channel and the number, so that no product of
matrices covers several steps.

- recurrent: a loop over time, differentiated by the general `scan`;
- fused: the same loop with its own gradient, in blocks. Neither the decays nor the states are ever
  held for all steps: the state at the start of every block is kept, and the way back computes the
  block's decays and states again (section 3.3.2 of the paper does the same on a GPU).
"""

from keras import ops

from common.ops.scan import scan
from common.ops.sequence import (
    accumulation_dtype,
    check_rank,
    from_chunks,
    pad_time,
    scan_marked,
    to_chunks,
    zero_where_masked,
)

# Steps in a block. Fewer keep more states, more take longer to compile; the speed is the same.
BLOCK = 8


def recurrent_selective_scan(
    x, delta, b, c, a, state=None, *, initial=None, mask=None, reset=None, negative=False
):
    """The selective scan, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        x: Inputs `(B, T, D)`.
        delta: Step sizes `(B, T, D)`, at least 0.
        b: What writes the input into the state, `(B, T, N)`.
        c: What reads the state, `(B, T, N)`.
        a: `A`, `(D, N)`, at most 0.
        state: `h` before the first step, `(B, D, N)`; `initial` by default.
        initial: `(B, D, N)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        negative: Whether decays are `2 exp(delta A) - 1`, between -1 and 1 (Grazzi 2024).

    Returns:
        `(y, final)`: outputs `(B, T, D)` in the dtype of `x`, and the last state `(B, D, N)` in
        the accumulation dtype.

    Raises:
        ValueError: if the shapes do not fit together.
    """

    def core(u, delta, b, c, a, state, initial, reset):
        def step(h, inputs):
            u, delta, b, c = inputs
            decay = _decay(ops.exp(delta[:, None] * a), negative)
            h = decay * h + u[:, None] * b[..., None]
            return h, _read_channels(h, c)

        final, y = scan_marked(step, state, (u, delta, b, c), initial, None, reset)
        return y, final

    return _apply(core, x, delta, b, c, a, state, initial, mask, reset)


def fused_selective_scan(
    x, delta, b, c, a, state=None, *, initial=None, mask=None, reset=None, negative=False
):
    """The selective scan in blocks of steps, with a gradient of its own.

    Arguments and results are those of `recurrent_selective_scan`.
    """

    def core(u, delta, b, c, a, state, initial, reset):
        length = ops.shape(u)[1]
        args = *(to_chunks(pad_time(z, BLOCK), BLOCK) for z in (u, delta, b, c)), a, state
        if reset is None:
            run = _differentiable_scan(negative)
        else:
            keep = 1 - ops.cast(to_chunks(pad_time(reset, BLOCK, False), BLOCK), u.dtype)
            run, args = _differentiable_scan(negative, keep), (*args, initial)
        y_and_final = run(*args)
        states = a.shape[0]
        return y_and_final[:, :-states][:, :length], y_and_final[:, -states:]

    return _apply(core, x, delta, b, c, a, state, initial, mask, reset)


def selective_scan_step(x, delta, b, c, a, state, negative=False):
    """One step: `(B, D)`, `(B, D)`, `(B, N)`, `(B, N)`, `(D, N)` and the state `(B, D, N)`.

    Returns:
        `(y, state)`, the output `(B, D)` and the new state.
    """
    decay = _decay(ops.exp(delta[..., None] * a), negative)
    state = decay * state + (delta * x)[..., None] * b[:, None]
    return ops.matmul(state, c[..., None])[..., 0], state


def _apply(core, x, delta, b, c, a, state, initial, mask, reset):
    """Reduces the general case to `core(u, delta, b, c, a, state, initial, reset)`.

    There `u` is `delta x`, A is `(N, D)` and states are `(B, N, D)`: loops over the channels, the
    longer axis, are what processors do best.
    """
    for name, value in (("x", x), ("delta", delta)):
        check_rank(name, value, "B T D")
    for name, value in (("b", b), ("c", c)):
        check_rank(name, value, "B T N")
    check_rank("a", a, "D N")
    for name, value, width in (
        ("delta", delta, x.shape[2]),
        ("b", b, a.shape[1]),
        ("c", c, a.shape[1]),
        ("x", x, a.shape[0]),
    ):
        if value.shape[2] != width:
            raise ValueError(f"`{name}` must have the width {width}, got {tuple(value.shape)}")
    output_dtype, dtype = x.dtype, accumulation_dtype(x)
    x, delta, b, c, a = (ops.cast(z, dtype) for z in (x, delta, b, c, a))
    # A step of size 0 leaves the state as it was.
    delta = zero_where_masked(delta, mask)
    a = ops.transpose(a)
    if initial is None:
        initial = ops.zeros((ops.shape(x)[0], *a.shape), dtype)
    else:
        initial = ops.swapaxes(ops.cast(initial, dtype), 1, 2)
    state = initial if state is None else ops.swapaxes(ops.cast(state, dtype), 1, 2)
    y, final = core(delta * x, delta, b, c, a, state, initial, reset)
    return ops.cast(y, output_dtype), ops.swapaxes(final, 1, 2)


def _decay(power, negative: bool):
    return 2 * power - 1 if negative else power


# Products of matrices: XLA sums slowly over a computed array, and would compute it again.


def _read_channels(h, c):
    """Sums over the state: `(B, N, D)` and `(B, N)` to `(B, D)`."""
    return ops.matmul(c[:, None], h)[:, 0]


def _read_state(h, x):
    """Sums over the channels: `(B, N, D)` and `(B, D)` to `(B, N)`."""
    return ops.matmul(h, x[..., None])[..., 0]


def _differentiable_scan(negative: bool, keep=None):
    """The scan over blocks, `(u, delta, b, c, a, state) ->` outputs and final state, with gradient.

    The two come in one array, `(B, M K + N, D)`: torch has gradients for functions of one result.

    Args:
        negative: As in `recurrent_selective_scan`.
        keep: `(B, M, K)`, 0 where a reset puts back `initial`, which is then the last argument of
            the function, and else 1; or None.

    Returns:
        A function of arrays `(B, M, K, ...)`, with M blocks of K steps.
    """
    marks = () if keep is None else (keep[..., None, None],)

    def steps(x):
        return ops.unstack(x, axis=1)

    def powers(delta, a):
        return steps(ops.exp(delta[..., None, :] * a))

    def enter(h, initial, kept):
        """The state that a step starts from."""
        return h if kept is None else kept * h + (1 - kept) * initial

    def kepts(block_marks):
        return steps(block_marks[0]) if block_marks else [None] * BLOCK

    @ops.custom_gradient
    def run(u, delta, b, c, a, state, *initial):
        put_back = initial[0] if initial else None

        def block(h, inputs):
            u, delta, b, c, *marks = inputs
            start, ys = h, []
            for p, u_k, b_k, c_k, kept in zip(
                powers(delta, a), *map(steps, (u, b, c)), kepts(marks), strict=True
            ):
                h = _decay(p, negative) * enter(h, put_back, kept) + u_k[:, None] * b_k[..., None]
                ys.append(_read_channels(h, c_k))
            return h, (ops.stack(ys, axis=1), start)

        final, (y, starts) = scan(block, state, (u, delta, b, c, *marks))
        length = ops.shape(y)[1] * BLOCK

        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            dy, d_final = to_chunks(upstream[:, :length], BLOCK), upstream[:, length:]

            def block(carry, inputs):
                g, da, d_initial = carry
                h, u, delta, b, c, dy, *marks = inputs
                p, kept = powers(delta, a), kepts(marks)
                u, delta, b, c, dy = map(steps, (u, delta, b, c, dy))
                before, after = [], []
                for k in range(BLOCK):
                    before.append(enter(h, put_back, kept[k]))
                    h = _decay(p[k], negative) * before[k] + u[k][:, None] * b[k][..., None]
                    after.append(h)
                grads = []
                for k in reversed(range(BLOCK)):
                    g = g + dy[k][:, None] * c[k][..., None]
                    du, db = _read_channels(g, b[k]), _read_state(g, u[k])
                    dc = _read_state(after[k], dy[k])
                    # In the exponent delta A.
                    e = g * before[k] * (2 * p[k] if negative else p[k])
                    grads.append((du, ops.sum(e * a, axis=1), db, dc))
                    da = da + e * delta[k][:, None]
                    g = _decay(p[k], negative) * g
                    if marks:
                        d_initial = d_initial + (1 - kept[k]) * g
                        g = kept[k] * g
                grads = [ops.stack(x[::-1], axis=1) for x in zip(*grads, strict=True)]
                return (g, da, d_initial), grads

            zeros = ops.zeros_like(state)
            (d_state, da, d_initial), grads = scan(
                block,
                (d_final, zeros, zeros),
                [ops.flip(x, axis=1) for x in (starts, u, delta, b, c, dy, *marks)],
            )
            grads = [ops.flip(x, axis=1) for x in grads]
            grads += [ops.sum(da, axis=0), d_state, d_initial]
            return tuple(grads if initial else grads[:-1])

        return ops.concatenate([from_chunks(y, length), final], axis=1), grad

    return run
