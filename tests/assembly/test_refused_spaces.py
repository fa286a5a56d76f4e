"""Spaces that a trainer cannot serve are refused in one line, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import losssearch as ls
from losssearch.data.batch import Sizes
from losssearch.errors import InputError, OptionError, SpecError
from losssearch.losses.spec import LossSpec, Part
from losssearch.training.boosting.pieces import pieces_of

BALANCED = """
task: regression
max_parts: 2
balances: {balances}
slots:
  base: {{terms: {{squared: }}}}
  more: {{terms: {{absolute: }}, weight: [0.1, 1.0]}}
"""


def searched(tmp_path: Path, data: str | pd.DataFrame, **options: Any) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError) as caught:
        ls.search(data, trials=4, workers=0, out=str(out), mlflow=False, **options)
    assert not (out / "study.db").exists()
    assert "\n" not in str(caught.value)
    raise caught.value


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("balances", ["[sum, dwa]", "[famo]"])
def test_trees_are_grown_from_sums_alone(tmp_path: Path, library: str, balances: str) -> None:
    name = balances.strip("[]").split(", ")[-1]
    with pytest.raises(OptionError, match=rf"^the balance {name} of the space .*, and {library} grows trees from the"):
        searched(tmp_path, "builtin:diabetes", space_text=BALANCED.format(balances=balances), model=library)


def test_a_loss_with_a_balance_says_so_where_trees_meet_it() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "squared"}, {"term": "absolute"}], "balance": "geometric_mean"})
    with pytest.raises(
        SpecError, match=r"^growing trees needs a loss that is the sum of its parts; the balance of this"
    ):
        pieces_of(spec, {}, Sizes(0))
    assert LossSpec((Part("squared"), Part("absolute"))).balance.is_sum


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_do_not_start_anew(tmp_path: Path, library: str) -> None:
    with pytest.raises(
        OptionError, match=f"^biased_twin of the space .*_hidden_groups lets .*{library} grows each tree"
    ):
        searched(tmp_path, "builtin:digits", space="hidden_groups", model=library)


def test_a_training_function_does_not_start_anew(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"biased_twin of the space binary_hidden_groups .* trains its model once"):
        ls.search(
            train=lambda loss, trial: 0.0,
            task="binary",
            metric="accuracy",
            space="hidden_groups",
            trials=4,
            workers=0,
            out=str(tmp_path / "run"),
            mlflow=False,
        )


def censored() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=120), "time": 1 + random.exponential(5, 120)})
    return frame.assign(event=np.arange(120) % 2, often=1.0 + np.arange(120) % 3)


def test_terms_that_cannot_weigh_rows_are_refused_with_weights(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^cox_breslow gives one value per batch and cannot weigh rows: leave out"):
        searched(tmp_path, censored(), target=["time", "event"], task="survival", weight="often")


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_trees_refuse_grades_before_anything_is_trained(tmp_path: Path, library: str) -> None:
    graded = censored().assign(event=np.arange(120) % 4)
    with pytest.raises(OptionError, match=rf"^{library} puts out .*; task ordinal has score \(1\), cuts \(3\)"):
        searched(tmp_path, graded, target="event", task="ordinal", model=library)
