"""`python -m benchmarks.eight_bits`: what eight bits cost models that have learned a task."""

import keras
import numpy as np

from common.tasks import MQAR, InductionHeads
from common.tasks.task import Task
from papers.gla import GLA
from papers.mamba import MambaLM


def main() -> None:
    """Trains two small models, quantises them, and prints what changes."""
    keras.utils.set_random_seed(0)
    print(f"{'model':22}{'':9}{'accuracy':>9}{'loss':>8}{'KB':>7}")
    heads = InductionHeads(length=16, vocabulary_size=8)
    show("Mamba, tied", MambaLM(8, 32, 2), heads, 500)
    recall = MQAR(length=32, num_pairs=4, vocabulary_size=32)
    show("GLA, tied", GLA(32, 64, 2, num_heads=2, tie_embeddings=True), recall, 500)


def show(name: str, model: keras.Model, task: Task, steps: int) -> None:
    """Trains a model, and prints accuracy, loss and size before and after `quantize`."""
    model.compile(
        keras.optimizers.AdamW(3e-3, weight_decay=0.1, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["sparse_categorical_accuracy"],
    )
    model.fit(task.dataset(batch_size=64, steps=steps), verbose=0)
    for bits in ("float32", "int8"):
        if bits == "int8":
            model.quantize(bits)
        data = task.dataset(batch_size=64, steps=32, split="test")
        found = model.evaluate(data, return_dict=True, verbose=0)
        size = sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in model.weights)
        accuracy = found["sparse_categorical_accuracy"]
        print(f"{name:22}{bits:9}{accuracy:9.4f}{found['loss']:8.4f}{size / 1024:7.0f}")


if __name__ == "__main__":
    main()
