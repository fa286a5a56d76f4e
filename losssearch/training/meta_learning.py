"""Meta-learning of a loss network: a step of gradient descent on it is judged by what a plain loss makes of the result.

A small model takes one step on rows of a task by the network's loss, and the plain loss on other rows of the task says
how good that step was; its gradient goes back through the step to the network (Bechtle et al. 2021, ML3, algorithm 1).
The models walk on and are started anew now and then, so that the network sees every stage of a training. Several
networks are taught at once, each on tasks of its own, and the one that trains fresh models best on tasks that none has
seen is kept, as it was at the start, in the middle or at the end. Every network starts as the plain loss, and is held
to pushing outputs towards their targets. Steps have the length that they would have with the plain loss: what is
learned is the form of a loss, not its scale, which is a learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from losssearch.errors import SpecError
from losssearch.losses.learned.network import SIZE, network_leaves, network_loss

HIDDEN = 16
"""Width of the models that are trained on the way."""

WALK = 60
"""Steps of a model before it is started anew."""

_SHAPES = ((3, 40), (40,), (40, 40), (40,), (40, 1), (1,))
_REACH = 8.0
"""How far outputs are looked at where a network is held to its direction."""

Episode: TypeAlias = "tuple[Tensor, Tensor, Tensor, Tensor]"
"""Features and targets of the rows that a step descends, and of those that judge it, ``[tasks, rows, ...]``."""

Episodes: TypeAlias = Callable[[torch.Generator, int], Episode]
"""Draws as many tasks. Targets are class ids, or standardised numbers."""


@dataclass(frozen=True)
class MetaPlan:
    """How a network is taught.

    ``networks`` at once, each on ``tasks`` models, for ``steps`` steps of Adam at ``rate``; the models descend at
    ``inner_rate``. ``direction``: the weight of being held to the direction. ``exams``: tasks that choose among them.
    """

    networks: int = 4
    tasks: int = 8
    steps: int = 800
    rate: float = 1e-3
    inner_rate: float = 0.3
    direction: float = 1.0
    exams: int = 64
    seed: int = 0


@dataclass(frozen=True)
class MetaLearned:
    """``parameters`` of the best network; upper loss of fresh models trained by it, and by the plain loss."""

    parameters: Tensor
    upper: float
    plain: float


def meta_learn(episodes: Episodes, *, classes: int, features: int, plan: MetaPlan = MetaPlan()) -> MetaLearned:
    """Teach a network for outputs of ``classes`` classes, or of numbers where that is 0.

    Args:
        episodes: draws tasks of ``features`` features.
        classes: how many classes there are; 0 for numbers.
        features: columns of a task's features.
        plan: how long, and how many at once.

    Returns:
        The network that was best on tasks that none has seen.

    Raises:
        SpecError: none of the networks is finite, or there is one class.
    """
    if classes == 1:
        raise SpecError("a loss is learned for two classes or more, or for numbers (0), got 1")
    source = torch.Generator().manual_seed(plan.seed)
    model = _Model(features, max(classes, 1))
    phi = _imitated(torch.stack([_random_network(source) for _ in range(plan.networks)]), classes)
    optimiser = torch.optim.Adam([leaf := phi.requires_grad_()], lr=plan.rate)
    judged = vmap(grad(lambda *given: _judged(model, classes, plan, *given), has_aux=True))
    theta = model.start(source, plan.networks, plan.tasks)
    seen = [leaf.detach().clone()]
    done = torch.zeros(plan.networks, plan.tasks)
    ages = torch.randint(WALK, done.shape, generator=source)
    for step in range(plan.steps):
        drawn = [own.unflatten(0, (plan.networks, plan.tasks)) for own in episodes(source, plan.networks * plan.tasks)]
        slope, theta = judged(leaf.detach(), theta, ages / WALK, *drawn)
        held = vmap(grad(lambda own: _misdirection(own, classes)))(leaf.detach())
        leaf.grad = slope + plan.direction * held
        size = leaf.grad.norm(dim=-1, keepdim=True)
        leaf.grad = leaf.grad / size.clamp_min(1.0)
        optimiser.param_groups[0]["lr"] = plan.rate * (1 - 0.9 * step / plan.steps)
        optimiser.step()
        theta, ages = theta.detach(), ages + 1
        if step + 1 in (plan.steps // 2, plan.steps):
            seen.append(leaf.detach().clone())
        over = (ages >= WALK) | ~torch.isfinite(theta).all(-1)
        theta = torch.where(over[..., None], model.start(source, plan.networks, plan.tasks), theta)
        ages = torch.where(over, 0, ages)
    return _best(model, torch.cat(seen), episodes, classes, plan)


@dataclass(frozen=True)
class _Model:
    """A network of one hidden layer, its parameters in one row."""

    features: int
    columns: int

    def start(self, source: torch.Generator, *shape: int) -> Tensor:
        first = torch.randn(*shape, self.features * HIDDEN, generator=source) / math.sqrt(self.features)
        last = torch.randn(*shape, HIDDEN * self.columns, generator=source) * 0.5 / math.sqrt(HIDDEN)
        return torch.cat((first, torch.zeros(*shape, HIDDEN), last, torch.zeros(*shape, self.columns)), -1)

    def __call__(self, theta: Tensor, x: Tensor) -> Tensor:
        sizes = (self.features * HIDDEN, HIDDEN, HIDDEN * self.columns, self.columns)
        first, bias_1, last, bias_2 = theta.split(sizes)
        hidden = torch.tanh(x @ first.view(self.features, HIDDEN) + bias_1)
        output: Tensor = hidden @ last.view(HIDDEN, self.columns) + bias_2
        return output


def network_of(classes: int, output: Tensor, target: Tensor, progress: Tensor, phi: Tensor) -> Tensor:
    """The network's loss of outputs ``[batch, columns]``, ``[batch]``."""
    if classes:
        return network_loss(*network_leaves(output, target), progress, phi)
    return network_loss(output[..., 0], target, progress, phi)


def _plain(classes: int, output: Tensor, target: Tensor) -> Tensor:
    if classes:
        return -F.log_softmax(output, -1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return (output[..., 0] - target).square() / 2


def _stepped(
    model: _Model, classes: int, rate: float, phi: Tensor, theta: Tensor, progress: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """The parameters after one step of descent on the network's loss, as long as one on the plain loss."""

    def loss(own: Tensor) -> Tensor:
        return network_of(classes, model(own, x), y, progress, phi).mean()

    slope, plain = grad(loss)(theta), grad(lambda own: _plain(classes, model(own, x), y).mean())(theta)
    moved: Tensor = theta - rate * slope * (plain.norm() / slope.norm().clamp_min(1e-12))
    return moved


def _judged(
    model: _Model,
    classes: int,
    plan: MetaPlan,
    phi: Tensor,
    theta: Tensor,
    progress: Tensor,
    x: Tensor,
    y: Tensor,
    upper_x: Tensor,
    upper_y: Tensor,
) -> tuple[Tensor, Tensor]:
    """The plain loss of all tasks' models after a step on the network's, and these models."""

    def one(
        theta: Tensor, progress: Tensor, x: Tensor, y: Tensor, upper_x: Tensor, upper_y: Tensor
    ) -> tuple[Tensor, Tensor]:
        moved = _stepped(model, classes, plan.inner_rate, phi, theta, progress, x, y)
        return _plain(classes, model(moved, upper_x), upper_y).mean(), moved

    losses, moved = vmap(one)(theta, progress, x, y, upper_x, upper_y)
    return losses.nan_to_num(0.0).mean(), moved


def _grid(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, targets and progresses at which a network is looked at, all ``[points]``."""
    outputs, targets = torch.linspace(-_REACH, _REACH, 33), torch.tensor([-1.0, 1.0])
    if not classes:
        targets = torch.linspace(-2.5, 2.5, 7)
    found = torch.cartesian_prod(outputs, targets, torch.tensor([0.0, 0.5, 1.0]))
    output, target, progress = found.unbind(-1)
    if classes:
        return output, target, progress
    off = 4 * (output / _REACH) ** 3  # most points lie close to the target
    return target + off, target, progress


def _misdirection(phi: Tensor, classes: int) -> Tensor:
    """How far the network's slopes are from pushing outputs of the grid towards their targets."""
    output, target, progress = _grid(classes)
    slope = grad(lambda own: network_loss_at(own, target, progress, phi).sum())(output)
    right = -slope if classes else slope * (output - target).sign()
    far = torch.ones_like(output, dtype=torch.bool) if classes else (output - target).abs() > 0.01
    return torch.where(far, (0.002 - right).clamp_min(0), 0.0).mul(10).square().mean()


def network_loss_at(output: Tensor, target: Tensor, progress: Tensor, phi: Tensor) -> Tensor:
    """The network at points that each have a progress of their own, ``[points]``."""
    return vmap(network_loss, in_dims=(0, 0, 0, None))(output[:, None], target[:, None], progress, phi)[:, 0]


def _random_network(source: torch.Generator) -> Tensor:
    pieces = []
    for shape in _SHAPES:
        size = 0.0 if len(shape) == 1 else math.sqrt(2 / shape[0])
        pieces.append(size * torch.randn(math.prod(shape), generator=source))
    found = torch.cat(pieces)
    assert len(found) == SIZE  # noqa: S101  (the shapes are those of `network_loss`)
    return found


def _imitated(phi: Tensor, classes: int, steps: int = 400) -> Tensor:
    """Networks that were taught the plain loss on the grid."""
    output, target, progress = _grid(classes)
    wanted = F.softplus(-output) if classes else (output - target).abs().clamp_max(4.0).square() / 4
    optimiser = torch.optim.Adam([leaf := phi.requires_grad_()], lr=3e-3)

    def off(own: Tensor) -> Tensor:
        return (network_loss_at(output, target, progress, own) - wanted).square().mean()

    slopes = vmap(grad(off))
    for step in range(steps):
        leaf.grad = slopes(leaf.detach())
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - 0.9 * step / steps)
        optimiser.step()
    return leaf.detach()


def _best(model: _Model, phi: Tensor, episodes: Episodes, classes: int, plan: MetaPlan) -> MetaLearned:
    """The network whose fresh models have the smallest plain loss at the end of a walk, on tasks that none has seen."""
    upper = torch.stack([_examined(model, own, episodes, classes, plan) for own in phi])
    upper = torch.where(torch.isfinite(upper), upper, torch.inf)
    best = int(upper.argmin())
    if not math.isfinite(float(upper[best])):
        raise SpecError("none of the networks that were taught is finite: lower the rates of the plan")
    return MetaLearned(phi[best].clone(), float(upper[best]), float(_examined(model, None, episodes, classes, plan)))


def _examined(model: _Model, phi: Tensor | None, episodes: Episodes, classes: int, plan: MetaPlan) -> Tensor:
    """The mean plain loss of fresh models after a walk with a network, or with the plain loss where that is None.

    At the best of three rates.
    """
    found = []
    for rate in (0.1, 0.3, 1.0):
        source = torch.Generator().manual_seed(plan.seed + 1_000_003)
        x, y, upper_x, upper_y = episodes(source, plan.exams)
        theta = model.start(source, plan.exams)

        def step(own: Tensor, x: Tensor, y: Tensor, done: Tensor, rate: float = rate) -> Tensor:
            if phi is not None:
                return _stepped(model, classes, rate, phi, own, done, x, y)
            moved: Tensor = own - rate * grad(lambda at: _plain(classes, model(at, x), y).mean())(own)
            return moved

        walked = vmap(step, in_dims=(0, 0, 0, None))
        for number in range(WALK):
            theta = walked(theta, x, y, torch.tensor(number / WALK))
        found.append(vmap(lambda own, x, y: _plain(classes, model(own, x), y).mean())(theta, upper_x, upper_y).mean())
    return torch.stack(found).nan_to_num(torch.inf).min()
