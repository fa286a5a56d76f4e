"""A study whose sensitive attribute is a number: from the call to the exported loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import losssearch as ls
from losssearch.errors import ConstraintUnmetError


def people(rows: int, *, regression: bool) -> pd.DataFrame:
    """Rows whose first feature follows the age, and so does the target."""
    random = np.random.default_rng(0)
    age = random.uniform(18, 80, rows)
    skill = random.normal(size=rows) + (age - 50) / 25
    other = random.normal(size=rows)
    score = skill + other + 0.5 * random.normal(size=rows)
    return pd.DataFrame(
        {"skill": skill, "other": other, "age": age, "goal": score if regression else (score > 0).astype(int)}
    )


@pytest.mark.e2e
@pytest.mark.parametrize("regression", [False, True])
def test_the_correlation_with_a_number_is_limited(regression: bool, tmp_path: Path) -> None:
    try:
        found = ls.search(
            people(1_500, regression=regression),
            target="goal",
            sensitive="age",
            constraints="attribute_correlation <= 0.2",
            metric="mae" if regression else "accuracy",
            trials=12,
            epochs=8,
            confirm_seeds=2,
            workers=0,
            mlflow=False,
            out=tmp_path / "study",
        )
    except ConstraintUnmetError as error:
        found = error.result
    result = found.to_json()
    assert set(result["data"]["attribute"]) == {"name", "mean", "std"}
    assert result["data"]["features"] == 2
    names = {entry["name"] for entry in result["baselines"]}
    assert names >= {"correlation_penalty", "distance_penalty"}
    plain = next(entry for entry in result["baselines"] if entry["name"] in ("cross_entropy", "mse"))
    (held,), (loose,) = result["best"]["constraints"], plain["constraints"]
    assert held["name"] == "attribute_correlation"
    assert held["test"] < loose["test"] - 0.1
    assert 0.05 < held["noise_floor"]["quantile"] < 0.2
    assert [row["group"] for row in result["best"]["groups"]["test"]] == list(result["data"]["groups"])
    page = (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert "the size of the linear correlation" in page
    loss = ls.load_loss(found.out / "export")
    output, target = torch.linspace(-1, 1, 8, requires_grad=True), torch.tensor([0, 1] * 4)
    number = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    value = loss(output, target, group=number)
    assert value == loss(output, target, group=number[:, None].float())
    assert value != loss(output, target, group=-(torch.arange(8.0) ** 2))
