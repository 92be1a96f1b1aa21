"""Pure functions on tensors: recurrences by the structure of their transition `A_t`.

| the state's transition | module | forms |
|---|---|---|
| identity; the state is `k v^T` | `linear_attention` | recurrent, parallel, chunkwise |
| a gate a head or a key; `k v^T` | `gated_attention` | recurrent, parallel, chunkwise |
| `a (I - beta k k^T)`; `k v^T` | `delta_rule` | recurrent, chunkwise |
| `diag(a) + l r^T`; `k v^T` | `generalized_delta_rule` | recurrent, chunkwise |
| either of two above, by level | `log_linear` (`fenwick`) | recurrent, parallel, chunkwise |
| diagonal, of inputs | `linear_scan` (linear, log, max-plus) | loop, associative scan |
| small matrices, of inputs | `matrix_scan` | loop, associative scan |
| `exp(delta_t A)`, A diagonal | `selective_scan` | recurrent, fused blocks |
| a constant diagonal, complex | `diagonal_ssm` | recurrent, FFT |
| a constant matrix | `dense_ssm` | recurrent, FFT |
| nonlinear | `lstm` | recurrent |
| a shift | `short_convolution` | parallel |
| none: a cache of keys and values | `attention` | all pairs, banded |

Used by: linear transformer and fast weights (`linear_attention`); GLA, RetNet, Mamba-2 and mLSTM
(`gated_attention`); DeltaNet and fast weights (`delta_rule`); Kimi delta attention
(`generalized_delta_rule`); log-linear attention (`log_linear`); Griffin, minGRU, minLSTM and mLSTM
(`linear_scan`); SLiCE (`linear_scan`, `matrix_scan`); Mamba (`selective_scan`); H3 and S4D
(`diagonal_ssm`); LMU (`dense_ssm`).

Each has a `*_step` where its layers decode with it, and masks, resets, a state in and out. Their
definitions, step by step, are in `reference`. What they stand on: `loops`, one a backend; `scan`,
the loop that is differentiated; `associative_scan`; `time_axis`; `operands`.
"""
