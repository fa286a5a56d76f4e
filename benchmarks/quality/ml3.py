"""ML3's learned loss (Bechtle et al. 2021, "Meta-learning via learned loss", algorithm 1), for regression.

A small network gives the loss of a prediction and its target. It is learned by going back through one step of
gradient descent on it: the step's result is judged by the squared error, whose gradient teaches the network. Then
models are trained with the network held fixed, and everything else (model, draws, rates, early stopping on the
metric, the tuned shift) is what everybody else gets.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.quality.fitting import MODEL, Fitted, plan_for
from benchmarks.quality.problem import Problem
from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.models import build_model
from losssearch.training import RATES

SCENARIOS = frozenset({"diabetes-rmse", "california-rmse", "california-mae", "insurance-mae"})
"""Where it runs: a learned loss takes a training of its own."""
HIDDEN, META_RATE, INNER_RATE, RESTART = 40, 1e-3, 1e-1, 100
"""Width of the learned loss, rates of meta-training and of the step it goes through, steps of one inner training."""
SHARE, STEPS = 0.5, 3_000
"""Meta-training ends after this share of the budget, or this number of steps."""


class LearnedLoss(nn.Module):
    """A positive number for each pair of prediction and target: two layers of 40 smooth units, softplus at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, 1), nn.Softplus()
        )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch."""
        value: Tensor = self.layers(torch.stack([prediction, target], dim=-1))
        return value.mean()


def network(width: int, seed: int) -> nn.Module:
    """The same network as the built-in ``mlp``, as a plain module."""
    start = build_model(MODEL, width, 1).initial(seed)
    shapes = [value.shape for value in start.values() if value.dim() == 2]
    torch.manual_seed(seed)
    sizes = [width, *([64] * (len(shapes) - 1))]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))


def fit(problem: Problem, seeds: int, budget: float) -> Fitted:
    """Learn the loss on the first draw, then train with it as everybody trains."""
    if problem.scenario.name not in SCENARIOS:
        raise NotImplementedError("ML3 runs on a few scenarios only")
    replicas = problem.replicas("final", seeds, hold=True)
    loss = _learn(replicas, time.process_time() + SHARE * budget)
    sign = 1 if problem.metric.direction == "maximize" else -1
    runs = [[_train(problem, replicas.take([r]), loss, rate) for r in range(seeds)] for rate in RATES]
    best = max(runs, key=lambda run: float(np.mean([utility for utility, _ in run])))
    outputs = np.stack([held for _, held in best]).astype(np.float32)
    return Fitted(outputs, tuple(sign * utility for utility, _ in best), RATES[runs.index(best)])


def _learn(replicas: Replicas, deadline: float) -> LearnedLoss:
    torch.manual_seed(0)
    loss, plan = LearnedLoss(), plan_for(replicas)
    optimiser = torch.optim.Adam(loss.parameters(), lr=META_RATE)
    features, target = replicas.train["features"][0], replicas.train["target"][0]
    model = network(replicas.width, 0)
    for step in range(STEPS):
        if time.process_time() > deadline:
            break
        if step % RESTART == 0:
            model = network(replicas.width, step)
        parameters = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
        rows = torch.randint(len(target), (2, plan.batch_size))
        inner = loss(functional_call(model, parameters, features[rows[0]]), target[rows[0]])
        gradients = torch.autograd.grad(inner, list(parameters.values()), create_graph=True)
        moved = {n: p - INNER_RATE * g for (n, p), g in zip(parameters.items(), gradients, strict=True)}
        outer = (functional_call(model, moved, features[rows[1]]) - target[rows[1]]).square().mean()
        optimiser.zero_grad()
        outer.backward()
        optimiser.step()
        model.load_state_dict({name: value.detach() for name, value in moved.items()})
    return loss.requires_grad_(False)


def _train(problem: Problem, one: Replicas, loss: LearnedLoss, rate: float) -> tuple[float, np.ndarray]:
    """The utility on validation at the best epoch, and the adjusted outputs on the test rows."""
    plan, judge = plan_for(one), MetricJudge(problem.metric.name, problem.task.kind, one)
    model = network(one.width, one.seeds[0])
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=plan.weight_decay)
    steps = max(1, one.train["features"].shape[1] // plan.batch_size)
    chance = torch.Generator().manual_seed(one.seeds[0])
    best, held, best_epoch = -np.inf, np.zeros(len(problem.test)), 0
    for epoch in range(1, plan.epochs + 1):
        order = torch.randperm(one.train["features"].shape[1], generator=chance)
        for step in range(steps):
            done = ((epoch - 1) * steps + step) / (plan.epochs * steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 - 0.9 * done)
            batch = order[step * plan.batch_size : (step + 1) * plan.batch_size]
            optimiser.zero_grad()
            loss(model(one.train["features"][0, batch]), one.train["target"][0, batch]).backward()
            optimiser.step()
        with torch.no_grad():
            inner = model(one.validation["features"][0])[None, None]
            utility, adjust = judge(inner, one.validation["target"], torch.ones(1, dtype=torch.bool))
            if float(utility) > best:
                best, best_epoch = float(utility), epoch
                held = adjust(model(one.held["test"]["features"][0])[None, None])[0, 0].numpy()
        if epoch - best_epoch >= plan.patience:
            break
    return best, held
