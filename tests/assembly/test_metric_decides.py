"""The metric decides how a target is read where it can, and a metric that the target leaves undefined is refused."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losssearch.assembly import assemble
from losssearch.errors import InputError
from losssearch.request import Request
from losssearch.study.observer import SilentObserver

DRAW = np.random.default_rng(0)


def kind_of(target: object, tmp_path: Path, **options: object) -> str:
    features = DRAW.normal(size=(len(target), 3))  # type: ignore[arg-type]
    asked = Request(data=(features, target), out=tmp_path / "study", workers=0, mlflow=False, **options)  # type: ignore[arg-type]
    assembled = assemble(asked, SilentObserver())
    assembled.context.store.close()
    return assembled.context.task.kind


def refusal(target: object, tmp_path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        kind_of(target, tmp_path, **options)
    assert not (tmp_path / "study").exists()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


COUNTS = np.arange(200) % 4
FEW = np.arange(52) % 3


@pytest.mark.parametrize(
    ("target", "metric", "kind"),
    [
        (COUNTS, "rmse", "regression"), (COUNTS, "pinball(q=0.9)", "regression"),
        (COUNTS, "poisson_deviance", "regression"),
        (COUNTS % 2, "mae", "regression"), (COUNTS.astype(str), "rmse", "regression"),
        (COUNTS % 2 == 1, "r2", "regression"),
        (FEW, "accuracy", "multiclass"), (FEW, "macro_f1", "multiclass"), (FEW / 2, "log_loss", "multiclass"),
        (FEW % 2, "accuracy", "binary"), (np.repeat(np.arange(30), 10), "balanced_accuracy", "multiclass"),
        (COUNTS, None, "multiclass"), (FEW, None, "regression"), (COUNTS % 2, "cost(fp=1,fn=5)", "binary"),
    ],
)  # fmt: skip
def test_the_metric_decides_the_task(target: np.ndarray, metric: str | None, kind: str, tmp_path: Path) -> None:
    assert kind_of(target, tmp_path, metric=metric) == kind


def test_an_asked_task_and_an_objective_count_too(tmp_path: Path) -> None:
    assert kind_of(COUNTS, tmp_path / "a", metric="log_loss", task="multiclass") == "multiclass"
    assert kind_of(COUNTS, tmp_path / "b", objectives=("mae",)) == "regression"


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (COUNTS, {"metric": "rmse", "task": "multiclass"}),
        (COUNTS, {"metric": "f1"}),
        (pd.Series(list("abcd") * 50), {"metric": "rmse"}),
        (DRAW.normal(size=200), {"metric": "roc_auc"}),
        (np.arange(200), {"metric": "accuracy"}),
    ],
)
def test_a_refusal_names_the_option(target: object, options: dict[str, object], tmp_path: Path) -> None:
    assert re.search(r"by task$|give task |\(task=", refusal(target, tmp_path, **options))


AMOUNTS = DRAW.lognormal(0, 1, 200)


@pytest.mark.parametrize(
    ("metric", "target"),
    [
        ("mape", np.where(np.arange(200) == 9, 0.0, AMOUNTS)),
        ("mape", np.where(np.arange(200) == 9, 1e-30, AMOUNTS)),
        ("mape", np.where(np.arange(200) % 3, 0.0, AMOUNTS)),
        ("poisson_deviance", AMOUNTS - 1),
        ("poisson_deviance", AMOUNTS * 1e-9),
    ],
)
def test_a_metric_that_is_undefined_on_the_target_is_refused(metric: str, target: np.ndarray, tmp_path: Path) -> None:
    message = refusal(target, tmp_path, metric=metric, task="regression")
    assert message.startswith(f"metric {metric}")
    assert "give" in message


@pytest.mark.parametrize(
    ("metric", "target"), [("mape", AMOUNTS * 1e-30), ("mape", -AMOUNTS), ("poisson_deviance", AMOUNTS)]
)
def test_a_metric_that_is_defined_is_taken(metric: str, target: np.ndarray, tmp_path: Path) -> None:
    assert kind_of(target, tmp_path, metric=metric) == "regression"


def test_a_leak_is_a_note_of_the_study(tmp_path: Path) -> None:
    told = []

    class Listening(SilentObserver):
        def note(self, text: str) -> None:
            told.append(text)

    frame = pd.DataFrame({"x": DRAW.normal(size=200), "paid": COUNTS % 2 * 3.5, "y": COUNTS % 2})
    options = Request(data=frame, target="y", out=tmp_path / "study", workers=0, mlflow=False)
    context = assemble(options, Listening()).context
    context.store.close()
    for notes in (told, context.described()["notes"]):
        assert any("'paid' alone predicts the target" in note and "drop='paid'" in note for note in notes)
