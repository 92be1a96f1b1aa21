"""Low-rank adaptation of a layer's projections (Hu et al., 2021, arXiv:2106.09685, section 4.1)."""

from typing import Any

import keras
from keras import ops

from common.checks import check_numbers, check_positive, given
from common.layers.kernels import KernelLayer, quantised
from common.typing import Tensor


class LowRankAdaptation(KernelLayer):
    """Base of layers whose projections can be adapted: `W + alpha / rank * A B` in place of W.

    Projections are the kernels that are trained, or were until they were quantised, of the layers
    inside it too; each of N blocks has an A and a B. A layer reads them through `adapted`. Saved
    weights have the adaptation added to W, as those of Keras's layers have, and load with and
    without one; what is made from a config has none.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.lora_rank = 0
        self.lora_alpha = 0.0
        self._lora: dict[str, tuple[keras.Variable, keras.Variable]] = {}

    def enable_lora(
        self,
        rank: int,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
        lora_alpha: float | None = None,
    ) -> None:
        """Freezes the projections and trains a product of rank `rank` beside each.

        Args:
            rank: Columns of A and rows of B.
            a_initializer: Of A, `(D, rank)` or `(N, D, rank)`.
            b_initializer: Of B, `(rank, E)` or `(N, rank, E)`: zeros leave the layer as it is.
            lora_alpha: The product is multiplied by `lora_alpha / rank`; `rank` by default.

        Raises:
            ValueError: if an argument is out of its range, or the layer is not built, has no
                projection, or is adapted already.
        """
        check_positive(self, rank=rank)
        check_numbers(self, above=0, **given(lora_alpha=lora_alpha))
        parts = [x for x in self._flatten_layers() if isinstance(x, LowRankAdaptation)]
        where = f"{type(self).__name__}: `enable_lora` needs a"
        if not self.built:
            raise ValueError(f"{where} built layer.")
        for part in parts:
            if part.lora_rank:
                raise ValueError(
                    f"{where} layer that is not adapted; its rank is {part.lora_rank}."
                )
        if not any(part._projections() for part in parts):
            raise ValueError(f"{where} projection, a kernel that is trained.")
        for part in parts:
            part.lora_rank = rank
            part.lora_alpha = float(rank if lora_alpha is None else lora_alpha)
            part._tracker.unlock()
            for kernel in part._projections():
                *blocks, inputs, outputs = kernel.shape
                a_shape, b_shape = (*blocks, inputs, rank), (*blocks, rank, outputs)
                part._lora[kernel.name] = (
                    part.add_weight(a_shape, a_initializer, name=f"lora_{kernel.name}_a"),
                    part.add_weight(b_shape, b_initializer, name=f"lora_{kernel.name}_b"),
                )
                kernel.trainable = False
            part._tracker.lock()

    def _projections(self) -> list[keras.Variable]:
        # Frozen ones too; what is in eight bits says no more whether it was trained.
        own = {id(weight) for weight in self._trainable_variables}
        return [w for w in self._kernels() if id(w) in own or w.name in self._scales]

    def adapted(self, weight: Tensor) -> Tensor:
        """`weight`, or any tensor, as the layer computes with it."""
        whole = self.dequantised(weight)
        if not isinstance(weight, keras.Variable) or weight.name not in self._lora:
            return whole
        a, b = self._lora[weight.name]
        return whole + (self.lora_alpha / self.lora_rank) * ops.matmul(a, b)

    def save_own_variables(self, store: Any) -> None:
        added: dict[str, Tensor] = {}
        for name in self._lora:
            added[name] = self.adapted(getattr(self, name))
            if name in self._scales:
                added[name], added[f"{name}_scale"] = quantised(added[name])
        for i, weight in enumerate(self._not_added()):
            store[str(i)] = added.get(weight.name, weight)

    def load_own_variables(self, store: Any) -> None:
        if not self._lora:
            super().load_own_variables(store)
            return
        for i, weight in enumerate(self._not_added()):
            weight.assign(store[str(i)])
        for _, b in self._lora.values():
            b.assign(ops.zeros_like(b))

    def _not_added(self) -> list[keras.Variable]:
        """The layer's own variables without those of the adaptation."""
        added = [id(weight) for pair in self._lora.values() for weight in pair]
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return [weight for weight in own if id(weight) not in added]
