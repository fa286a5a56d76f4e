"""Bundles with falsified numbers: a loss that works, or one error of losssearch, and no memory taken for either."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from losssearch.errors import InputError, SpecError
from losssearch.export.bundle import load_loss, read_bundle, write_bundle
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses.compose import compose

NUMBERS = (0, 1, -1, 3, 10, 1e-3, 1e3, 5e8, 1e12, 2**63, 10**400, 5e-324, -5e-324, 1e-310, 1e30, 1e38, 1e300, 1e308)
VALUES = (*NUMBERS, -1e308, 0.5, 2.5, True, None, "", "focal", "mean", "1", [], {}, [1e308], {"cvar": 1e-9}, [[[]]])
DISPARITY = {"parts": [{"term": "group_disparity"}, {"term": "cross_entropy"}]}
MEBIBYTE = 1 << 20


def places(content: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of parsed JSON."""
    if way:
        yield way
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from places(inner, (*way, key))


def mutated(content: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The content with one to three of its values replaced, left out or put in twice."""
    found: dict[str, Any] = json.loads(json.dumps(content))
    for _ in range(chance.randint(1, 3)):
        *way, last = chance.choice(list(places(found)))
        holder = found
        for key in way:
            holder = holder[key]
        what = chance.random()
        if what < 0.8:
            holder[last] = chance.choice(VALUES)
        elif what < 0.9:
            del holder[last]
        elif isinstance(holder, list):
            holder.append(holder[last])
        else:
            holder[chance.choice(("gamma", "weight", "x"))] = holder[last]
    return found


def peak() -> int:
    """Bytes of memory that this process has held at the most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_falsified_bundle_gives_a_loss_that_works_or_one_error(
    all_facts: dict[str, LossFacts], tmp_path: Path
) -> None:
    chance, before, loaded = random.Random(20_013), peak(), 0
    refused: list[str] = []
    for place, facts in enumerate(all_facts.values()):
        folder = tmp_path / str(place)
        names = ("classes", "class_prior", "learned", "groups", "target_mean", "target_scale")
        write_bundle(folder, facts.spec, task=facts.task, **{name: getattr(facts, name) for name in names})
        content = json.loads((folder / "loss.json").read_text())
        for _ in range(12):
            (folder / "loss.json").write_text(json.dumps(mutated(content, chance)))
            try:
                loss = load_loss(folder)
                source = loss_source(read_bundle(folder)) if chance.random() < 0.1 else ""
            except InputError as error:
                refused.append(str(error))
                continue
            loaded += 1
            rows = torch.arange(8) % 2
            output = torch.linspace(-1, 1, 8 * len(loss.class_prior if loss.class_prior is not None else "ab"))
            classes = {2: output.reshape(8, -1)[:, 0], 3: output.reshape(8, -1)}.get(output.numel() // 8)
            assert all(bool(value.isfinite().all()) for value in loss.state_dict().values())
            if classes is not None and loss.groups in (0, 3):
                beside = {"group": rows, "features": output.reshape(8, -1), "index": torch.arange(8)}
                try:
                    assert loss(classes, rows, progress=0.5, **beside).dim() == 0
                except SpecError as error:  # it remembers other classes than the outputs have
                    refused.append(str(error))
            compile(source, "loss.py", "exec")
            assert not {"inf", "nan", "-inf"} & set(source.replace("(", " ").replace(")", " ").split())
    assert loaded > 50
    assert len(refused) > 200
    assert all("\n" not in message and len(message) < 700 for message in refused)
    assert peak() - before < 200 * MEBIBYTE


@pytest.mark.parametrize("count", [500_000_000, 10**12, 10**400, -1, 2.5, 1e308])
@pytest.mark.parametrize("name", ["groups", "classes"])
def test_counts_are_refused_before_memory_is_taken(tmp_path: Path, name: str, count: float) -> None:
    write_bundle(tmp_path / "b", compose(DISPARITY, groups=3).spec, task="binary", groups=3)
    file, before = tmp_path / "b/loss.json", peak()
    file.write_text(json.dumps({**json.loads(file.read_text()), name: count}))
    with pytest.raises(SpecError, match=f"{name} must"):
        load_loss(tmp_path / "b")
    with pytest.raises(SpecError, match=f"{name} must"):
        compose(DISPARITY, **{"groups": 3, name: count})  # type: ignore[arg-type]
    assert peak() - before < 50 * MEBIBYTE


def test_classes_times_groups_are_bounded_too() -> None:
    spec = {"parts": [{"term": "group_disparity_multiclass"}]}
    with pytest.raises(SpecError, match="may carry 10000000 numbers"):
        compose(spec, groups=10_000, classes=100_000)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-31, 1e31, 1e300])
def test_a_scale_that_float32_does_not_divide_by_is_refused(scale: float) -> None:
    with pytest.raises(SpecError, match="scale must lie in"):
        compose({"parts": [{"term": "focal", "weight": 1e6, "scale": scale}]})


def test_the_smallest_and_largest_scale_give_finite_losses() -> None:
    for scale in (1e-30, 1e30):
        loss = compose({"parts": [{"term": "focal", "weight": 1e6, "scale": scale}]})
        assert bool(loss(torch.tensor([0.2, -1.0]), torch.tensor([0, 1])).isfinite())
