"""A user's module draws its own random numbers; those of the program around it stay as they were, CUDA's included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.models import LoopedModule, build_model
from losssearch.models.randomness import own_draws, seed_draws
from losssearch.training.handle import seeded


class DropNet(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(features, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Cuda:
    """Two CUDA devices, of which only generators are made up, as `torch.cuda` shows them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, started: bool) -> None:
        self.started, self.queued = started, list[int]()
        self.generators = [torch.Generator().manual_seed(11), torch.Generator().manual_seed(12)]
        place = {
            "is_initialized": lambda: self.started,
            "init": self.start,
            "device_count": lambda: 2,
            "current_device": self.current,
            "default_generators": self.generators,
            "get_rng_state": lambda device: self.used(device).get_state(),
            "set_rng_state": lambda state, device: self.used(device).set_state(state),
            "manual_seed_all": self.seed_all,
        }
        for name, value in place.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def start(self) -> None:
        self.started = True

    def current(self) -> int:
        self.start()
        return 0

    def used(self, device: int) -> torch.Generator:
        self.start()
        return self.generators[device]

    def seed_all(self, seed: int) -> None:
        self.queued.append(seed)
        for generator in self.generators:
            generator.manual_seed(seed)

    def states(self) -> list[Tensor]:
        return [generator.get_state() for generator in self.generators]


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def stacked(model: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    parameters = {name: value[None, None] for name, value in model.initial(3).items()}
    return parameters, {name: value[None, None].clone() for name, value in model.buffers(3).items()}


def train_a_step() -> None:
    model = build_model(DropNet, 4, 1)
    assert isinstance(model, LoopedModule)
    model.forward(*stacked(model), torch.ones(1, 8, 4), training=True, seed=5)


def call_a_function() -> None:
    with seeded(5, torch.device("cpu"), 1):
        torch.rand(3)


every_use = pytest.mark.parametrize("use", [train_a_step, call_a_function])


@every_use
def test_what_runs_on_the_cpu_neither_starts_nor_seeds_cuda(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, started=False)
    before, here = cuda.states(), torch.get_rng_state()
    use()
    assert not cuda.started
    assert not cuda.queued
    assert same([*cuda.states(), torch.get_rng_state()], [*before, here])


@every_use
def test_a_users_cuda_draws_go_on_as_if_nothing_had_happened(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, started=True)
    before = cuda.states()
    use()
    assert same(cuda.states(), before)


def test_a_factory_that_draws_on_cuda_gives_the_same_start_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the first time, when it is what starts CUDA."""
    cuda = Cuda(monkeypatch, started=False)

    def factory(features: int, outputs: int) -> nn.Module:
        layer = nn.Linear(features, outputs)
        with torch.no_grad():
            layer.weight.copy_(torch.rand(outputs, features, generator=cuda.used(1)))
        return layer

    first = build_model(factory, 4, 1)
    assert cuda.started
    before = cuda.states()
    assert torch.equal(first.initial(3)["weight"], build_model(factory, 4, 1).initial(3)["weight"])
    assert same(cuda.states(), before)
    assert not torch.equal(first.initial(3)["weight"], first.initial(4)["weight"])


def test_dropout_on_a_device_is_seeded_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, started=True)
    before, drawn = cuda.states(), []
    for _ in range(2):
        with own_draws(torch.device("cuda", 1)) as devices:
            assert devices == [1]
            seed_draws(7, devices)
            drawn.append([torch.rand(3), torch.rand(3, generator=cuda.generators[1])])
            assert torch.equal(cuda.generators[0].get_state(), before[0])
    assert same(drawn[0], drawn[1])
    assert same(cuda.states(), before)


@pytest.fixture
def there() -> Iterator[None]:
    """A pretended device, so that a tensor of the host that meets one of the device raises."""
    from tests.pretended import Pretended

    with Pretended():
        yield


class Placed(nn.Module):
    """Keeps a tensor on its device that is neither parameter nor buffer, as ``.cuda()`` in a factory leaves it."""

    def __init__(self, features: int, outputs: int) -> None:
        from tests.pretended import DEVICE

        super().__init__()
        self.layer = nn.Linear(features, outputs)
        self.shift = torch.ones(features).to(DEVICE)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + self.shift)


@pytest.mark.usefixtures("there")
def test_a_model_is_tried_out_where_it_will_be_trained() -> None:
    from tests.pretended import DEVICE

    assert build_model(Placed, 4, 1, DEVICE).shapes == {"layer.weight": (1, 4), "layer.bias": (1,)}
    with pytest.raises(Exception, match="mixes tensors of the host and of the device"):
        build_model(Placed, 4, 1)
