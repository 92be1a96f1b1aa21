"""Where the heads of a Neural Turing Machine look, as pure functions (Graves et al. 2014, 3.3).

Shapes: B batch, H heads, N memory slots, M width of a slot. All functions compute in the dtype of
their arguments and are finite, gradients included, for every finite argument.
"""

from keras import ops

# Under the root of |M_i|^2 and |k|^2. Far below the smallest norm in use: a memory of 1e-6
# everywhere has |M_i|^2 = M 1e-12.
_NORM_EPSILON = 1e-16
# Added to a weight before its logarithm: w^gamma has no useful gradient at w = 0.
_WEIGHT_EPSILON = 1e-8


def address(memory, previous, keys, strengths, gates, shifts, sharpness):
    """Where each head looks: by content, then relative to where it looked before.

    Args:
        memory: `(B, N, M)`.
        previous: Weights of the step before, `(B, H, N)`.
        keys: k, `(B, H, M)`.
        strengths: beta >= 0, `(B, H, 1)`.
        gates: g in [0, 1], `(B, H, 1)`.
        shifts: s, a distribution over the offsets -S..S, `(B, H, 2 S + 1)`.
        sharpness: gamma >= 1, `(B, H, 1)`.

    Returns:
        Weights `(B, H, N)`, which sum to one over the slots.
    """
    content = ops.softmax(strengths * cosine(memory, keys))  # w_c ~ exp(beta K(k, M_i))   (5)
    gated = previous + gates * (content - previous)  # w_g = g w_c + (1 - g) w            (7)
    return sharpen(shift(gated, shifts), sharpness)


def cosine(memory, keys):
    """Cosine similarity of every slot with every key, `(B, H, N)` (equation 6); 0 for a zero row.

    Args:
        memory: `(B, N, M)`.
        keys: `(B, H, M)`.
    """
    products = ops.matmul(keys, ops.transpose(memory, (0, 2, 1)))
    slots = ops.rsqrt(ops.sum(ops.square(memory), axis=-1) + _NORM_EPSILON)
    norms = ops.rsqrt(ops.sum(ops.square(keys), axis=-1, keepdims=True) + _NORM_EPSILON)
    return products * slots[:, None] * norms


def shift(weights, shifts):
    """Circular convolution w'(i) = sum_j w(i - j) s(j), j from -S to S (equation 8).

    Args:
        weights: `(B, H, N)`.
        shifts: `(B, H, 2 S + 1)`, the offset -S first; 2 S + 1 <= N.
    """
    slots, offsets = weights.shape[-1], shifts.shape[-1]
    reach = offsets // 2
    if reach == 0:
        return weights * shifts
    ring = ops.concatenate([weights[..., -reach:], weights, weights[..., :reach]], axis=-1)
    # ring[i + S - j] is w(i - j).
    return sum(
        shifts[..., k : k + 1] * ring[..., offsets - 1 - k : offsets - 1 - k + slots]
        for k in range(offsets)
    )


def sharpen(weights, sharpness):
    """w_i^gamma / sum_j w_j^gamma (equation 9).

    As a softmax of gamma log w, since 128 weights of 1/128 to the power of 21 underflow float32.

    Args:
        weights: `(B, H, N)`, not negative.
        sharpness: `(B, H, 1)`.
    """
    return ops.softmax(sharpness * ops.log(ops.maximum(weights, 0.0) + _WEIGHT_EPSILON))


def write(memory, weights, erase, add):
    """Lets each write head, in order, erase and add: M <- M (1 - w e^T) + w a^T (equations 3, 4).

    Args:
        memory: `(B, N, M)`.
        weights: `(B, H, N)`.
        erase: e in [0, 1], `(B, H, M)`.
        add: a, `(B, H, M)`.

    Returns:
        The new memory `(B, N, M)`.
    """
    for head in range(weights.shape[1]):
        change = add[:, head, None] - memory * erase[:, head, None]
        memory = memory + weights[:, head, :, None] * change
    return memory
