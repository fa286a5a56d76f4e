"""What the verdict of a whole study says: the table beside it, the progress line, and losses that decide alike."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.study.study import run_study
from losssearch.training import Outcome
from tests.study.oracle import Oracle, context


class Fickle(Oracle):
    """The better a loss is before test, the worse it is on test."""

    target: dict[str, Any]

    def _outcome(self, job: Job, spec: LossSpec) -> Outcome:
        draws = torch.Generator().manual_seed(int(spec.key[:6], 16))
        value = int(spec.key[:4], 16) / 65_536
        held = {}
        for part, rows in self.rows[job.replicas].items() if job.hold else ():
            target = torch.as_tensor(self.target[part])
            right = torch.rand(2, rows, generator=draws) < (1 - value if part == "test" else value)
            held[part] = torch.nn.functional.one_hot(torch.where(right, target, (target + 1) % 3), 3).float().numpy()
        return Outcome("completed", utilities=(value, value + 0.01), rate=0.01, epochs=3, held=held)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    executor = Fickle()
    run = context(tmp_path_factory.mktemp("study"), executor)
    executor.target = {part: run.dataset.target[getattr(run.partition, part)] for part in ("confirmation", "test")}
    return run_study(run).result


def test_every_loss_that_is_better_in_the_table_is_named(study: dict[str, Any]) -> None:
    verdict = study["verdict"]
    table = {"searched": study["searched"], **{entry["name"]: entry for entry in study["baselines"]}}
    own = "searched" if verdict["recommended"] == "searched" else verdict["against"]
    better = [name for name, entry in table.items() if entry["test"]["mean"] > table[own]["test"]["mean"]]
    assert better
    said = re.search(r"In the table, which is sorted by test, (.*?) (is|are) ahead of the recommended", verdict["text"])
    assert said is not None
    assert set(re.findall(r"(\w+) \(", said[1])) == set(better)
    assert "The recommendation was made before test was read" in verdict["text"]


def test_best_on_the_progress_line_is_explained(study: dict[str, Any]) -> None:
    text = study["verdict"]["text"]
    assert re.search(r'"best [\d.]+" while searching was the best of \d+ values on the search\'s own validation', text)


def test_the_recommended_loss_that_is_first_needs_no_excuse(tmp_path: Path) -> None:
    executor = Oracle()

    def alike(job: Job, spec: LossSpec) -> Outcome:
        utilities = tuple((0.5 + 0.01 * torch.randn(5, generator=torch.Generator().manual_seed(1))).tolist())
        held = {}
        for part, rows in executor.rows[job.replicas].items() if job.hold else ():
            held[part] = torch.randn(2, rows, 3, generator=torch.Generator().manual_seed(2)).numpy()
        return Outcome("completed", utilities=utilities, rate=0.01, epochs=3, held=held)

    executor._outcome = alike  # type: ignore[method-assign]
    result = run_study(context(tmp_path, executor)).result
    verdict = result["verdict"]
    rows = result["data"]["rows"]["test"]
    assert f"both make the same decisions on all {rows} test rows with each of 2 seeds" in verdict["text"]
    assert "[+0, +0]" not in verdict["text"]
    assert "In the table" not in verdict["text"]
    assert (verdict["recommended"], verdict["grade"], verdict["probability_better"]) == (
        "baseline",
        "not told apart",
        0.5,
    )
