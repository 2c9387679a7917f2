"""The demo's network learns, and its checkpoint is all that training needs to go on."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from destination.demo import network as demo_network
from destination.demo.network import Digits, Network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_network, "WIDTH", 128)


def _train(network: Network, digits: Digits, batches: int) -> list[float]:
    return [network.learn(*batch) for batch in islice(digits.batches(network.epoch), batches)]


def test_training_lowers_the_loss_on_real_digits() -> None:
    """Some epochs over the digits bring the loss down, and tell most test digits right."""
    network, digits = Network.fresh(), Digits()
    losses = []
    for _ in range(10):
        losses.append(np.mean(_train(network, digits, digits.batches_in_epoch)))
        network.epoch += 1
    assert losses[-1] < losses[0] / 2
    assert network.accuracy(digits.test_images, digits.test_labels) > 0.7


def test_gradients_are_those_of_the_loss() -> None:
    """Moving one weight moves the loss by as much as the gradient says."""
    network, digits = Network.fresh(), Digits()
    network.weights = [weight.astype(np.float64) for weight in network.weights]
    images, labels = digits.images[:16], digits.labels[:16]

    def loss() -> float:
        scores = network._forward(images)[-1]
        return float(-np.log(demo_network._softmax(scores)[np.arange(16), labels]).mean())

    layers = network._forward(images)
    errors = demo_network._softmax(layers[-1])
    errors[np.arange(16), labels] -= 1
    for i, gradient in network._gradients(layers, errors / 16):
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        before = loss()
        network.weights[i][place] += 1e-6
        assert (loss() - before) / 1e-6 == pytest.approx(gradient[place], rel=1e-2)
        network.weights[i][place] -= 1e-6


def test_training_from_a_checkpoint_is_the_training_that_was_cut_off(tmp_path: Path) -> None:
    """A network that is saved and loaded goes on with the very same losses."""
    network, digits = Network.fresh(), Digits()
    _train(network, digits, 5)
    network.epoch += 1
    network.save(tmp_path / "checkpoint.npz")
    resumed = Network.load(tmp_path / "checkpoint.npz")
    assert (resumed.epoch, resumed.batch) == (1, 5)
    assert _train(resumed, digits, 5) == _train(network, digits, 5)


def test_an_epoch_has_the_same_batches_each_time() -> None:
    """An epoch that is trained again after a kill sees the same batches."""
    digits = Digits()
    first, again, other = (next(iter(digits.batches(epoch)))[0] for epoch in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
