"""A study whose metric is that of the worst cell of label and group, from the call to the exported loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import losssearch as ls
from losssearch.errors import InputError
from losssearch.study.observer import SilentObserver

QUICK: dict[str, Any] = {"trials": 14, "epochs": 4, "workers": 0, "mlflow": False, "confirm_seeds": 2}


class Notes(SilentObserver):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def marked(classes: int = 2, rows: int = 1_500) -> pd.DataFrame:
    """A watermark that goes with the label in 90 % of the rows; the group says who has it."""
    random = np.random.default_rng(0)
    label = random.integers(classes, size=rows)
    mark = np.where(random.random(rows) < 0.9, label % 2, 1 - label % 2)
    features = random.normal(size=(rows, 3))
    features[:, 0] += label
    frame = pd.DataFrame(features, columns=list("abc")).assign(mark=mark + 0.1 * random.normal(size=rows))
    return frame.assign(who=np.where(mark == 1, "marked", "bare"), y=np.array(["no", "yes", "maybe"])[label])


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("classes", "metric", "model"),
    [(2, "worst_cell(accuracy)", "mlp"), (3, "worst_cell(accuracy)", "mlp"), (2, "worst_group(f1)", "lightgbm")],
)
def test_the_worst_cell_is_what_is_searched_for(tmp_path: Path, classes: int, metric: str, model: str) -> None:
    found = ls.search(
        marked(classes), target="y", metric=metric, sensitive="who", model=model, out=tmp_path / "study", **QUICK
    )
    result = found.to_json()
    assert result["metric"]["name"] == metric
    best = result["best"]
    assert len(best["cells"]) == 2 * classes
    assert sum(cell["rows"] for cell in best["cells"]) == result["data"]["rows"]["test"]
    if metric == "worst_cell(accuracy)":  # the mean over trainings of the worst is at most the worst of the means
        assert best["test"]["mean"] <= min(cell["accuracy"] for cell in best["cells"]) + 1e-9
        plain = next(entry for entry in result["baselines"] if entry["name"] == "cross_entropy")
        assert best["test"]["mean"] > plain["test"]["mean"]  # which goes by the watermark
    page = (found.out / "report.html").read_text(encoding="utf-8")
    assert "Cells of label and group" in page
    assert f"<td>{best['cells'][0]['label']}</td><td>{best['cells'][0]['group']}</td>" in page
    low, high = result["verdict"]["interval"]
    assert low <= result["verdict"]["difference"] <= high


@pytest.mark.e2e
def test_a_loss_that_reads_the_group_is_exported(tmp_path: Path) -> None:
    space = tmp_path / "one.yaml"
    space.write_text("task: binary\nslots: {base: {terms: {group_logit_adjustment: {tau: [0.8, 1.2]}}}}\n")
    found = ls.search(
        marked(),
        target="y",
        metric="worst_cell(accuracy)",
        sensitive="who",
        space=space,
        out=tmp_path / "study",
        **QUICK,
    )
    loss = ls.load_loss(found.out / "export")
    assert found.to_json()["best"]["name"] in ("searched", "group_logit_adjustment", "reweighing", "group_dro")
    group = torch.tensor([0, 0, 1, 1])
    value = loss(torch.randn(4, requires_grad=True), torch.tensor([0, 1, 1, 1]), group=group)
    value.backward()
    counts = [buffer for name, buffer in loss.state_dict().items() if name.startswith("memory")]
    assert counts[0].shape[-1] == 2


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metric": "worst_cell(accuracy)"}, "give sensitive, the column that says who is in which"),
    ({"metric": "worst_cell", "sensitive": "who"}, "is written as a call, such as worst_cell"),
    ({"metric": "worst_cell(f1)", "sensitive": "who"}, "worst_cell takes accuracy"),
    ({"metric": "worst_group(accuracy)", "sensitive": "a"}, "needs groups, and 'a' is a number: give a cut"),
    (
        {"metric": "worst_cell(accuracy)", "sensitive": "who", "constraints": "demographic_parity_difference <= 0.1"},
        "leave out constraints and",
    ),
    (
        {"objectives": ["worst_cell(accuracy)", "demographic_parity_difference"], "sensitive": "who"},
        "and the gap of objectives",
    ),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[said[:20] for _, said in REFUSED])
def test_what_cannot_be_asked_is_refused_and_nothing_is_written(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        ls.search(marked(), target="y", out=tmp_path / "study", **options)
    assert said in str(error.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.e2e
def test_an_objective_without_a_gap_is_the_metric_and_small_cells_are_named(tmp_path: Path) -> None:
    frame, notes = marked(), Notes()
    rare = frame.index[(frame.y == "yes") & (frame.who == "bare")][8:]
    found = ls.search(
        frame.drop(index=rare),
        target="y",
        objectives=["worst_cell(accuracy)"],
        sensitive="who",
        out=tmp_path / "study",
        observer=notes,
        **QUICK,
    )
    (line,) = [line for line in notes.lines if "leaves out cells" in line]
    assert "yes × " in line
    assert "fewer than 5 rows" in line
    (cell,) = [cell for cell in found.to_json()["best"]["cells"] if not cell["counted"]]
    assert (cell["label"], cell["rows"] < 5) == ("yes", True)
