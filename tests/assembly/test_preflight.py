"""What is the user's own is tried on a few rows: its faults end a search before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import losssearch as ls
from losssearch.errors import InputError
from losssearch.losses import balance, reduction, term, weighting

REGISTRIES = (term._registry, weighting._registry, reduction._registry, balance._registry)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test declares is forgotten."""
    yield
    for one in REGISTRIES:
        for name in [name for name, record in one.items() if record.function.__module__ == __name__]:  # type: ignore[attr-defined]
            del one[name]  # type: ignore[attr-defined]


def rows() -> pd.DataFrame:
    draws = np.random.default_rng(0)
    frame = pd.DataFrame(draws.normal(size=(120, 3)), columns=["a", "b", "c"])
    return frame.assign(y=(frame["a"] + 0.5 * draws.normal(size=120) > 0).astype(int))


def search(out: Path, **options: Any) -> ls.SearchResult:
    given = {"target": "y", "trials": 4, "epochs": 1, "draws": 1, "rates": (0.01,), "confirm_seeds": 2}
    return ls.search(rows(), **{**given, "workers": 0, "mlflow": False, "verbose": 0, "out": out, **options})


def refused(out: Path, said: str, **options: Any) -> None:
    with pytest.raises(InputError, match=said) as caught:
        search(out, **options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not out.exists()


def space(folder: Path, terms: str, more: str = "", **entries: str) -> Path:
    file = folder / "space.yaml"
    kept = "".join(f"{key}: {value}\n" for key, value in entries.items())
    file.write_text(f"# Which?\ntask: binary\nslots:\n  base: {{terms: {terms}}}\n{more}{kept}")
    return file


def raising(outputs: Tensor, target: Tensor) -> float:
    raise ValueError("no such thing")


def nan_always(outputs: Tensor, target: Tensor) -> float:
    return math.nan


def infinite(decisions: Tensor, target: Tensor) -> float:
    return math.inf


def by_row(outputs: Tensor, target: Tensor) -> Tensor:
    return outputs


def as_text(outputs: Tensor, target: Tensor) -> str:
    return "0.5"


def nothing(outputs: Tensor, target: Tensor) -> None:
    return None


def wrong_name(batch: dict[str, Tensor]) -> Tensor:
    return batch["prediction"].mean()


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (raising, "^metric raising raised ValueError: no such thing$"),
        (nan_always, "^metric nan_always must return a finite number, got nan, nan, nan, nan for 4 sets of outputs on"),
        (infinite, "^metric infinite must return a finite number, got inf"),
        (by_row, r"^metric by_row must return one number, got values of shape \[\d+\]$"),
        (as_text, "^metric as_text must return one number, got str$"),
        (nothing, "^metric nothing must return one number, got NoneType$"),
        (wrong_name, "^metric wrong_name raised KeyError: 'prediction'$"),
    ],
)
def test_a_metric_that_cannot_serve_is_named(metric: Callable[..., Any], said: str, tmp_path: Path) -> None:
    refused(tmp_path / "study", said, metric=metric, direction="maximize")


def seldom(outputs: Tensor, target: Tensor) -> Tensor:
    """Is not defined unless almost every decision is right, as an untrained model's are not."""
    right = ((outputs > 0) == target.bool()).double().mean()
    return right if right > 0.9 else right * math.nan


def test_a_metric_that_is_sometimes_defined_is_tried_out_in_the_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metric seldom gave no finite number$") as caught:
        search(tmp_path / "study", metric=seldom, direction="maximize")
    assert "model" not in str(caught.value)


def broken_nan(logit: Tensor, labels: Tensor) -> Tensor:
    """Is not a number."""
    return logit * math.nan


def broken_gradient(logit: Tensor, labels: Tensor) -> Tensor:
    """Is finite, but its gradient is not."""
    return (logit - logit.detach()).abs().sqrt() + labels


def broken_shape(logit: Tensor, labels: Tensor) -> Tensor:
    """Gives two values per sample."""
    return torch.stack((logit, logit), -1)


def broken_raise(logit: Tensor, labels: Tensor) -> Tensor:
    """Raises."""
    return logit + torch.ones(7)


def broken_detached(logit: Tensor, labels: Tensor) -> Tensor:
    """Does not depend on the outputs."""
    return labels.to(logit.dtype)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (broken_nan, r"^the term broken_nan must give finite numbers, got the value nan on \d+ rows$"),
        (broken_gradient, r"^the term broken_gradient must give finite numbers, got the gradient (nan|inf) on"),
        (broken_shape, r"broken_shape must return one value per sample, \[batch\], got the shape"),
        (broken_raise, "broken_raise raised RuntimeError: "),
        (broken_detached, "^the term broken_detached must depend on what the model puts out"),
    ],
)
def test_a_term_that_cannot_serve_is_named(function: Callable[..., Tensor], said: str, tmp_path: Path) -> None:
    ls.loss_term(reference="made up", nonnegative=False)(function)
    name = function.__name__
    refused(tmp_path / "study", said, space=space(tmp_path, f"{{{name}: }}"))
    known = space(tmp_path, "{focal: }", f"  more: {{terms: {{{name}: }}, weighting: [constant]}}\n")
    refused(tmp_path / "study", said, space=known)


def test_other_functions_of_losses_are_tried_too(tmp_path: Path) -> None:
    @ls.weighting(formula="bad·{part}")
    def bad_weight(value: Tensor) -> Tensor:
        """Raises."""
        return value + torch.ones(7).reshape(value.shape)

    @ls.balance(formula="bad({part})")
    def bad_balance(values: Tensor) -> Tensor:
        """Is not a number."""
        return values.sum() * math.nan

    @ls.reduction(formula="bad({part})")
    def bad_mean(losses: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Raises."""
        raise KeyError("bad")

    more = "  more: {{terms: {{focal: }}, {}}}\n"
    made = space(tmp_path, "{binary_cross_entropy: }", more.format("weighting: [bad_weight]"))
    refused(tmp_path / "study", "^the weighting bad_weight raised RuntimeError", space=made)
    made = space(tmp_path, "{binary_cross_entropy: }", more.format("reductions: {bad_mean: }"))
    refused(tmp_path / "study", "^the reduction bad_mean raised KeyError", space=made)
    made = space(tmp_path, "{binary_cross_entropy: }", more.format("required: true"), balances="[bad_balance]")
    refused(tmp_path / "study", "^the balance bad_balance must give finite numbers, got the value nan on", space=made)


def test_a_rejection_says_which_term_was_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @ls.loss_term(reference="made up", power=ls.Float(0.0, 2.0, default=2.0))
    def half_nan(logit: Tensor, labels: Tensor, *, power: Tensor) -> Tensor:
        """Is not a number below a power of 1.9."""
        return (logit - labels).square() * torch.where(power < 1.9, math.nan, 1.0)

    def share(decisions: Tensor, target: Tensor) -> Tensor:
        return (decisions == target).double().mean()

    made = space(tmp_path, "{half_nan: {power: [0.0, 2.0]}}")
    found = search(tmp_path / "study", space=made, trials=8, metric=share, direction="maximize")
    reason = "a part has no usable gradient at initialisation (that of half_nan is not finite)"
    (note,) = [line for line in found.notes if "rejected before training" in line]
    assert reason in note
    told = [one for one in found.to_json()["reasons"] if one["state"] == "rejected"]
    assert told[0]["reason"] == reason
    assert "half_nan" in told[0]["formula"]
    assert found.to_json()["trials"]["rejected"] == told[0]["count"]
    assert reason in (tmp_path / "study" / "report.html").read_text()
    from losssearch.cli.app import main

    assert main(["leaderboard", str(tmp_path / "study")]) == 0
    assert f": {reason}" in capsys.readouterr().out
