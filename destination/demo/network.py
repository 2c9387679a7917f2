"""Learns handwritten digits with a small network and Adam, in numpy alone.

- Two hidden layers of `WIDTH`: wide for 8 by 8 pixels, so that weights and both moments of Adam
  make a checkpoint of the size that a kill can hit in mid-upload.
- A checkpoint is an uncompressed .npz, read back without pickle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: neurons in each hidden layer; 2.5 million weights, and 28 MiB in a checkpoint
WIDTH = 1536
#: images in a batch
BATCH_SIZE = 32
#: images kept for the test, of the 1,797 that scikit-learn ships
TEST_SIZE = 360
#: Adam's step, decay of the two moments, and guard against division by zero (Kingma and Ba, 2015)
STEP, DECAY, SQUARED_DECAY, EPSILON = 5e-4, 0.9, 0.999, 1e-8


@dataclass
class Network:
    """Weights, Adam's moments of them, and how many epochs and batches they have seen."""

    weights: list[Any]
    moments: list[Any]
    squares: list[Any]
    epoch: int = 0
    batch: int = 0

    @classmethod
    def fresh(cls, seed: int = 0) -> Network:
        """Return an untrained network; the same one for the same seed."""
        random = np.random.default_rng(seed)
        sizes = [64, WIDTH, WIDTH, 10]
        weights: list[Any] = []
        for fan_in, fan_out in pairwise(sizes):
            scale = np.sqrt(2 / fan_in)
            weights.append((random.standard_normal((fan_in, fan_out)) * scale).astype(np.float32))
            weights.append(np.zeros(fan_out, np.float32))
        return cls(weights, [0 * weight for weight in weights], [0 * weight for weight in weights])

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read a checkpoint that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            weights, moments, squares = (
                [arrays[f"{kind}{i}"] for i in range(6)] for kind in ("w", "m", "s")
            )
            counts = {count: int(arrays[count]) for count in ("epoch", "batch")}
            return cls(weights, moments, squares, **counts)

    def save(self, path: Path) -> None:
        """Write everything that training needs to go on from here."""
        arrays = {
            f"{kind}{i}": array
            for kind, arrays in (("w", self.weights), ("m", self.moments), ("s", self.squares))
            for i, array in enumerate(arrays)
        }
        np.savez(path, epoch=self.epoch, batch=self.batch, **arrays)

    def learn(self, images: Any, labels: Any) -> float:
        """Take one step of Adam on a batch, and return the batch's loss before it."""
        layers = self._forward(images)
        errors = _softmax(layers[-1])
        loss = float(-np.log(errors[np.arange(len(labels)), labels] + 1e-12).mean())
        errors[np.arange(len(labels)), labels] -= 1
        self.batch += 1
        for i, gradient in self._gradients(layers, errors / len(labels)):
            self._step(i, gradient)
        return loss

    def accuracy(self, images: Any, labels: Any) -> float:
        """Return the share of `images` that are told right, from 0 to 1."""
        return float((self._forward(images)[-1].argmax(axis=1) == labels).mean())

    def _forward(self, images: Any) -> list[Any]:
        layers = [images]
        for i in (0, 2, 4):
            outputs = layers[-1] @ self.weights[i] + self.weights[i + 1]
            layers.append(np.maximum(outputs, 0) if i < 4 else outputs)  # noqa: PLR2004 - the last
        return layers

    def _gradients(self, layers: list[Any], errors: Any) -> Iterator[tuple[int, Any]]:
        for i in (4, 2, 0):
            inputs = layers[i // 2]
            back = (errors @ self.weights[i].T) * (inputs > 0) if i else None
            yield i, inputs.T @ errors
            yield i + 1, errors.sum(axis=0)
            errors = back

    def _step(self, i: int, gradient: Any) -> None:
        moment, square = self.moments[i], self.squares[i]
        moment += (1 - DECAY) * (gradient - moment)
        square += (1 - SQUARED_DECAY) * (gradient * gradient - square)
        size = STEP * np.sqrt(1 - SQUARED_DECAY**self.batch) / (1 - DECAY**self.batch)
        self.weights[i] -= size * moment / (np.sqrt(square) + EPSILON)


@dataclass
class Digits:
    """The 1,797 digits of 8 by 8 pixels that scikit-learn ships, shuffled and split."""

    images: Any = field(init=False)
    labels: Any = field(init=False)
    test_images: Any = field(init=False)
    test_labels: Any = field(init=False)

    def __post_init__(self) -> None:
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        images = (pixels[order] / 16).astype(np.float32)
        labels = labels[order]
        self.images, self.test_images = images[TEST_SIZE:], images[:TEST_SIZE]
        self.labels, self.test_labels = labels[TEST_SIZE:], labels[:TEST_SIZE]

    def batches(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """Yield an epoch's batches, each digit moved by up to a pixel; the same for each epoch."""
        random = np.random.default_rng(epoch)
        for chosen in np.array_split(random.permutation(len(self.labels)), self.batches_in_epoch):
            by = tuple(random.integers(-1, 2, size=2))
            moved = np.roll(self.images[chosen].reshape(-1, 8, 8), by, axis=(1, 2))
            yield moved.reshape(-1, 64), self.labels[chosen]

    @property
    def batches_in_epoch(self) -> int:
        """How many batches an epoch has."""
        return len(self.labels) // BATCH_SIZE


def _softmax(scores: Any) -> Any:
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)
