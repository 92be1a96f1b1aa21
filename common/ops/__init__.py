"""Pure functions on tensors: recurrences by the structure of their transition `A_t`.

| transition of the state | module | forms | used by |
|---|---|---|---|
| identity, state `k v^T` | `linear_attention` | recurrent, parallel, chunkwise | linear transformer, fast weights |
| a gate a head or a key, state `k v^T` | `gated_attention` | recurrent, parallel, chunkwise | GLA, RetNet, Mamba-2, mLSTM |
| `a (I - beta k k^T)`, state `k v^T` | `delta_rule` | recurrent, chunkwise | DeltaNet, fast weights |
| diagonal | `linear_scan` (linear, logarithms, max-plus) | loop or associative scan | Griffin, minGRU, minLSTM, mLSTM |
| `exp(delta_t A)`, diagonal | `selective_scan` | recurrent, blocks | Mamba |
| constant diagonal, complex | `diagonal_ssm` | recurrent, FFT | H3, S4D |
| constant matrix | `dense_ssm` | recurrent, FFT | LMU (parallel) |
| LSTM cell | `lstm` | recurrent | LSTM |
| shift | `short_convolution` | parallel | Mamba, Mamba-2, DeltaNet, Griffin, xLSTM, H3 |
| a cache of keys and values | `attention` | all pairs, banded | softmax attention |

Each has a `*_step` where its layers decode with it, and masks, resets, a state in and out. Their
definitions, step by step, are in `reference`. What they stand on: `loops`, one a backend; `scan`,
the loop that is differentiated; `associative_scan`; `masking`; `time_axis`; `operands`.
"""
