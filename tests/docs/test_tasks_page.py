"""The page of kinds of task names what each has, and its loop trains a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from losssearch.evaluation.registry import metrics_for
from losssearch.export.bundle import write_bundle
from losssearch.losses.spec import LossSpec
from losssearch.tasks import TASKS
from losssearch.tasks.kind import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
OWN = ("distribution", "count", "survival", "ordinal", "ranking")


def section(kind: str) -> str:
    """The text under the heading of a kind."""
    return PAGE.partition(f"\n## {kind.capitalize()}\n")[2].partition("\n## ")[0]


def test_every_kind_is_on_the_page() -> None:
    kinds = {name for name, kind in KINDS.items() if kind.module.startswith("losssearch")}
    assert kinds == {*OWN, "binary", "multiclass", "regression"}
    assert all(f"`{name}`" in PAGE for name in kinds)


@pytest.mark.parametrize("kind", OWN)
def test_the_metrics_and_the_menu_of_a_kind_are_named(kind: str) -> None:
    named = set(re.findall(r"`(\w+)", section(kind)))
    assert f"--task {kind} " in section(kind)
    assert {name.partition("(")[0] for name in metrics_for(kind)} - named == set()
    assert {baseline.term for baseline in TASKS[kind].menu} - named == set()


def test_the_loop_trains_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = LossSpec.from_json({"parts": [{"term": "aft_weibull"}, {"term": "one_sided_squared", "weight": 0.3}]})
    write_bundle(tmp_path / "runs" / "patients" / "export", spec, task="survival", classes=2)
    source = torch.Generator().manual_seed(0)
    features = torch.randn(256, 3, generator=source)
    time, event = torch.exp(1 - features[:, 0] + 0.1 * torch.randn(256, generator=source)), torch.arange(256) % 2.0
    (loop,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        known = {"features": features, "time": time, "event": event}
        exec(compile(loop, "tasks.md", "exec"), known)
    learned = known["model"](features)[:, 0].detach()
    assert torch.corrcoef(torch.stack((learned, time.log())))[0, 1] > 0.9
