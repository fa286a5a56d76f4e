"""What holds for every balance of the registry, and each against its paper's formula in a plain loop."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.export.bundle import write_bundle
from losssearch.losses.balance import Balance, balances
from losssearch.losses.compose import ComposedLoss, compose
from losssearch.losses.composed_states import read_states, write_states
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec

REPLICAS, BATCH, STEPS = 2, 12, 9
PARTS = [{"term": "squared"}, {"term": "absolute", "weight": 0.5}, {"term": "huber", "delta": 0.5}]
NUMBERS: dict[str, dict[str, float]] = {
    "dwa": {"temperature": 1.0, "window": 2},
    "relobralo": {"lookback": 0.5, "decay": 0.9},
}
EVERY = sorted(set(balances) - {"sum"})


def spec(kind: str, parts: int = 3, **numbers: Any) -> LossSpec:
    made = Balance(kind, **{**NUMBERS.get(kind, {}), **numbers})
    return LossSpec.from_json({"parts": PARTS[:parts], "balance": made.to_json()})


SPECS = [spec(kind, parts) for kind in EVERY for parts in (2, 3)]


def population() -> PopulationLoss:
    return PopulationLoss([*SPECS, LossSpec.from_json({"parts": PARTS})], sizes=Sizes(0))


def drawn(source: torch.Generator, members: int) -> tuple[Tensor, dict[str, Tensor]]:
    outputs = torch.randn(REPLICAS, members, BATCH, generator=source)
    return outputs, {"target": torch.randn(REPLICAS, BATCH, generator=source)}


def alone(loss: PopulationLoss, learned: Tensor, k: int, seed: int, r: int) -> ComposedLoss:
    own = ComposedLoss(loss.specs[k], seed=seed)
    own.set_learned(loss.learned(k, learned[r, k]))
    return own


def test_the_population_is_each_loss_alone_and_a_checkpoint_continues_it() -> None:
    """Values, gradients and states over batches; the single losses are stored and loaded in the middle."""
    loss, source, seeds = population(), torch.Generator().manual_seed(0), [3, 4]
    count = len(loss.specs)
    states, learned = loss.start(seeds), loss.start_learned(seeds)
    singles = {(r, k): alone(loss, learned, k, seeds[r], r) for r in range(REPLICAS) for k in range(count)}
    for step in range(STEPS):
        outputs, batch = drawn(source, count)
        slopes, by_learned, after = loss.slopes(outputs, batch, {}, learned, 0.1 * step, states=states)
        states = loss.carried(states, after, batch)
        for (r, k), own in singles.items():
            leaf = outputs[r, k].clone().requires_grad_()
            names = list(loss.learned(k, learned[r, k]))
            value = own(leaf, batch["target"][r], progress=0.1 * step)
            slope, *rest = torch.autograd.grad(value, [leaf, *(own.learned[n] for n in names)])
            torch.testing.assert_close(slopes[r, k], slope, rtol=1e-4, atol=1e-6)
            flat = torch.cat([torch.zeros(0), *(one.flatten() for one in rest)])
            torch.testing.assert_close(by_learned[r, k, : len(flat)], flat, rtol=1e-4, atol=1e-6)
        if step == STEPS // 2:
            for (r, k), own in singles.items():
                file = io.BytesIO()
                torch.save(own.state_dict(), file)
                file.seek(0)
                singles[r, k] = ComposedLoss(own.spec, seed=99)
                singles[r, k].load_state_dict(torch.load(file, weights_only=True))
    for (k, key), value in loss.apart(states).items():
        for r in range(REPLICAS):
            _, name = key.split("_", 1)
            found = singles[r, k].get_buffer(f"{name}_balance")
            torch.testing.assert_close(value[r], found, rtol=1e-4, atol=1e-5)


def test_members_keep_their_states_where_others_leave() -> None:
    """To the bit: a smaller population continues with what it had in the larger one."""
    loss, source = population(), torch.Generator().manual_seed(1)
    states, learned = loss.start([0, 1]), loss.start_learned([0, 1])
    for _ in range(3):
        outputs, batch = drawn(source, len(loss.specs))
        _, _, after = loss.slopes(outputs, batch, {}, learned, 0.5, states=states)
        states = loss.carried(states, after, batch)
    chosen = list(range(0, len(loss.specs), 3))
    apart = loss.apart(states)
    fewer = loss.like([loss.specs[k] for k in chosen])
    own = fewer.together({(chosen.index(k), name): value for (k, name), value in apart.items() if k in chosen})
    outputs, batch = drawn(source, len(loss.specs))
    rows = torch.tensor(chosen)
    whole, _, after = loss.slopes(outputs, batch, {}, learned, 0.5, states=states)
    part, _, less = fewer.slopes(outputs[:, rows], batch, {}, learned[:, rows], 0.5, states=own)
    torch.testing.assert_close(part, whole[:, rows], rtol=1e-6, atol=1e-8)
    kept, more = fewer.apart(fewer.carried(own, less, batch)), loss.apart(loss.carried(states, after, batch))
    assert kept
    for (k, name), value in kept.items():
        torch.testing.assert_close(value, more[chosen[k], name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", EVERY)
def test_the_exported_loss_is_the_searched_one_with_its_states(kind: str, tmp_path: Path) -> None:
    """Over 50 batches, in training and, in between, without a graph."""
    write_bundle(tmp_path / "b", spec(kind), task="regression")
    namespace: dict[str, Any] = {"__file__": str(tmp_path / "b/loss.py"), "__name__": "loss"}
    exec(compile((tmp_path / "b/loss.py").read_text(), "loss.py", "exec"), namespace)
    exported, searched, source = namespace["Loss"](), ComposedLoss(spec(kind)), torch.Generator().manual_seed(2)
    for step in range(50):
        output, target = torch.randn(BATCH, generator=source), torch.randn(BATCH, generator=source)
        ours, theirs = output.clone().requires_grad_(), output.clone().requires_grad_()
        value, other = exported(ours, target), searched(theirs, target)
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(
            torch.autograd.grad(value, ours), torch.autograd.grad(other, theirs), rtol=1e-4, atol=1e-7
        )
        if step % 10 == 9:
            with torch.no_grad():
                seen, found = exported.eval()(output, target), searched.eval()(output, target)
            torch.testing.assert_close(seen, found, rtol=1e-5, atol=1e-7)
            exported.train()
            searched.train()
    if kind == "grad_norm":
        done = subprocess.run(
            [sys.executable, "-I", "loss.py"], cwd=tmp_path / "b", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", EVERY)
def test_one_part_is_refused_in_one_line(kind: str) -> None:
    with pytest.raises(SpecError, match="give two or more parts, got one") as caught:
        LossSpec.from_json({"parts": PARTS[:1], "balance": Balance(kind).to_json()})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", EVERY)
def test_terms_below_zero_are_refused_where_they_may_not_be(kind: str) -> None:
    data = {"parts": [{"term": "squared"}, {"term": "general_robust"}], "balance": Balance(kind).to_json()}
    if not balances[kind].needs_nonnegative:
        assert LossSpec.from_json(data).balance.kind == kind
        return
    with pytest.raises(SpecError, match="needs terms that are never below zero, got general_robust"):
        LossSpec.from_json(data)


def weights(loss: ComposedLoss, values: list[float]) -> Tensor:
    """What each part counts in the balance of a loss of which these are the values, as the next batch."""
    kind = loss.spec.balance
    leaf = torch.tensor(values).requires_grad_()
    record, states = kind.record, read_states(loss, loss.learned, loss._kept[None], leaf, None)
    numbers = {name: torch.tensor(float(number)) for name, number in kind.numbers if not hasattr(number, "kind")}
    found = record.function(leaf, **numbers, **states)
    with torch.no_grad():
        after = {n: s.update(leaf, **numbers, **states) for n, s in record.states.items() if s.update is not None}
        write_states(loss, loss._kept[None], after, None)
    return found.detach() if found.dim() else torch.autograd.grad(found, leaf)[0]


SERIES = [[4.0, 1.0, 2.0], [3.0, 0.9, 2.0], [2.0, 0.9, 1.0], [2.0, 0.5, 1.5], [1.0, 0.4, 1.4], [0.9, 0.1, 1.5]]


def test_dwa_is_the_paper_with_windows_of_one_batch_and_of_two() -> None:
    one, two = (ComposedLoss(spec("dwa", temperature=2.0, window=window)) for window in (1, 2))
    means = [(torch.tensor(SERIES[i]) + torch.tensor(SERIES[i + 1])) / 2 for i in (0, 2, 4)]
    for t, values in enumerate(SERIES):
        expected = torch.ones(3)
        if t >= 2:
            ratio = torch.tensor(SERIES[t - 1]) / torch.tensor(SERIES[t - 2])
            expected = 3 * torch.exp(ratio / 2) / torch.exp(ratio / 2).sum()
        torch.testing.assert_close(weights(one, values), expected)
        expected = torch.ones(3) if t < 4 else 3 * torch.softmax(means[1] / means[0] / 2, 0)
        torch.testing.assert_close(weights(two, values), expected)


def test_soft_adapt_is_the_paper_without_smoothing() -> None:
    loss = ComposedLoss(spec("soft_adapt", beta=0.5, decay=0.0))
    for t, values in enumerate(SERIES):
        slope = torch.tensor(values) - torch.tensor(SERIES[max(t - 1, 0)])
        torch.testing.assert_close(weights(loss, values), torch.exp(0.5 * slope) / torch.exp(0.5 * slope).sum())


def test_relobralo_is_the_paper_at_the_draws_of_its_generator() -> None:
    loss = ComposedLoss(spec("relobralo", temperature=0.5, decay=0.8, lookback=0.6), seed=5)
    state = [int(x) for x in loss.get_buffer("draws_balance")]
    past, drawn = torch.ones(3), []
    for t, values in enumerate(SERIES):
        own = torch.tensor(values)
        u = (state[0] / 30269 + state[1] / 30307 + state[2] / 30323) % 1
        state = [171 * state[0] % 30269, 172 * state[1] % 30307, 170 * state[2] % 30323]
        if t:
            rho = u < 0.6
            drawn.append(rho)
            first, last = (torch.tensor(SERIES[i]) for i in (0, t - 1))
            back, near = (3 * torch.softmax(own / (0.5 * other), 0) for other in (first, last))
            past = 0.8 * (past if rho else back) + 0.2 * near
        torch.testing.assert_close(weights(loss, values), past)
    assert len(set(drawn)) == 2


def test_famo_is_the_paper() -> None:
    loss = ComposedLoss(spec("famo", rate=0.5, decay=0.01))
    xi = torch.zeros(3)
    for t, values in enumerate(SERIES):
        own = torch.tensor(values)
        if t:
            moved = xi.clone().requires_grad_()
            delta = torch.tensor(SERIES[t - 1]).log() - own.log()
            (gradient,) = torch.autograd.grad(torch.softmax(moved, 0), moved, grad_outputs=delta)
            xi = xi - 0.5 * gradient - 0.01 * xi
        c = 1 / (torch.softmax(xi, 0) / own).sum()
        torch.testing.assert_close(weights(loss, values), c * torch.softmax(xi, 0) / own)


def test_the_geometric_mean_and_the_softplus_are_their_formulas() -> None:
    own = torch.tensor(SERIES[0])
    mean = float(own.prod()) ** (1 / 3)
    torch.testing.assert_close(weights(ComposedLoss(spec("geometric_mean")), SERIES[0]), mean / (3 * own))
    loss = ComposedLoss(spec("softplus_uncertainty"))
    loss.set_learned({"balance_log_variance": torch.tensor([0.0, 1.0, -1.0])})
    torch.testing.assert_close(weights(loss, SERIES[0]), torch.exp(-torch.tensor([0.0, 1.0, -1.0])) / 2)


def test_random_weights_are_softmaxes_of_normal_numbers() -> None:
    loss = ComposedLoss(spec("random"), seed=1)
    found = torch.stack([weights(loss, SERIES[0]) for _ in range(2000)])
    torch.testing.assert_close(found.sum(1), torch.ones(2000))
    normal = found.log() - found.log().mean(1, keepdim=True)  # the numbers less their mean: variance 1 - 1/3
    assert torch.allclose(normal.mean(0), torch.zeros(3), atol=0.06)
    assert torch.allclose(normal.var(0), torch.full((3,), 2 / 3), atol=0.06)


def test_grad_norm_follows_the_paper_and_evens_out_the_gradients() -> None:
    """Against autograd's step on the weights; the norms are those that autograd gives for each part at the outputs."""
    loss = ComposedLoss(spec("grad_norm", asymmetry=0.5, rate=0.05))
    source, w, first = torch.Generator().manual_seed(3), torch.ones(3), torch.zeros(3)
    for t in range(6):
        output, target = torch.randn(BATCH, generator=source).requires_grad_(), torch.randn(BATCH, generator=source)
        parts = [compose({"parts": [part]})(output, target) for part in PARTS]
        own = torch.stack([p.weighting.fixed * v for p, v in zip(loss.spec.parts, _ordered(loss, parts), strict=True)])
        norms = torch.stack([torch.autograd.grad(v, output, retain_graph=True)[0].norm() for v in own])
        (slope,) = torch.autograd.grad(loss(output, target), output)
        expected = torch.autograd.grad((w * own).sum(), output)[0]
        torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-6)
        own, norms = own.detach(), norms.detach() / norms.mean()
        first = first if t else own
        ratio = own / first
        leaf = w.clone().requires_grad_()
        goal = (w * norms).mean() * (ratio / ratio.mean()) ** 0.5
        (gradient,) = torch.autograd.grad((leaf * norms - goal).abs().sum(), leaf)
        w = w - 0.05 * gradient
        w = 3 * w / w.sum()
    torch.testing.assert_close(loss.get_buffer("weights_balance"), w, rtol=1e-4, atol=1e-5)


def _ordered(loss: ComposedLoss, values: list[Tensor]) -> list[Tensor]:
    """The values of `PARTS` in the order of the spec's parts."""
    names = [part["term"] for part in PARTS]
    return [values[names.index(part.name)] for part in loss.spec.parts]
