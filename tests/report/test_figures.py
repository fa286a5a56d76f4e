"""The figures: PNG files whatever the study went through, drawn without touching the user's matplotlib."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from losssearch.losses import terms
from losssearch.losses.spec import LossSpec
from losssearch.report import canvas, figures, shape
from losssearch.report.figures import history_figure, leaderboard_figure, write_figures
from losssearch.report.shape import curves, shape_figure
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.tasks import KINDS, TASKS

Maker = Callable[..., Any]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is made, still open for questions."""
    seen: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        seen.append(figure)
        return canvas.png(figure)

    monkeypatch.setattr(figures, "png", keep)
    monkeypatch.setattr(shape, "png", keep)
    return seen


RAW = {"zero": torch.tensor(0.0)}


def texts(figure: Figure) -> str:
    found = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(" ".join(text.split()) for text in found)


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("recommended", ["searched", "baseline"])
def test_three_png_files(make_result: Maker, make_trials: Maker, tmp_path: Path, task: str, recommended: str) -> None:
    result = make_result(task, recommended=recommended)
    trials = make_trials(result)
    spec = LossSpec.from_json(result["best"]["spec"])
    paths = write_figures(tmp_path / "figures", result, trials, spec)
    assert [path.name for path in paths] == ["leaderboard.png", "history.png", "loss_shape.png"]
    for path in paths:
        height, width, _ = imread(path).shape
        assert width == 1350
        assert 300 < height < 1200
    again = write_figures(tmp_path / "again", result, trials, spec)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_pyplot_and_settings_stay_untouched(make_result: Maker, make_trials: Maker, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    result = make_result()
    write_figures(tmp_path, result, make_trials(result), LossSpec.from_json(result["best"]["spec"]))
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_the_leaderboard_says_metric_unit_direction_and_winner(make_result: Maker, drawn: list[Figure]) -> None:
    leaderboard_figure(make_result("regression"))
    said = texts(drawn[0])
    assert "mae on test [100 000 dollars], lower is better; mean and one standard deviation over 5 replicas" in said
    assert "Searched loss against 4 baselines: mae on california_housing" in said
    assert said.count("recommended") == 1
    assert "9.7000 ± 0.0034" in said
    assert drawn[0].axes[0].get_xlim()[1] < 1.0


def test_long_and_strange_names_stay_inside(make_result: Maker, make_trials: Maker, drawn: list[Figure]) -> None:
    result = make_result()
    result["data"]["name"] = "数据 $x_1$ \\frac " + "very_long_name_" * 20
    result["study"] = "a$b$c" * 30
    result["metric"]["unit"] = "thousand units of a currency"
    for baseline in result["baselines"]:
        baseline["name"] += "_with_a_name_that_goes_on_and_on_for_ever"
    leaderboard_figure(result)
    history_figure(result, make_trials(result))
    parts = [
        {"term": "weighted_cross_entropy", "weight": {"schedule": "linear", "start": 1, "end": 0.2}},
        *(
            {"term": name, "weight": {"learned": "uncertainty"}}
            for name in ("focal", "pairwise_auc", "ldam", "soft_f1")
        ),
    ]
    shape_figure(result, LossSpec.from_json({"parts": parts}), facts={"class_prior": (0.9, 0.1)})
    for figure in drawn:
        # matplotlib keeps ticks outside the limits, undrawn
        undrawn = {tick for axis in figure.axes for tick in axis.get_xticklabels()}
        for text in figure.findobj(mpl.text.Text):
            if text.get_visible() and text.get_text() and text not in undrawn:
                box = text.get_window_extent()
                assert box.x0 >= 0, text
                assert box.x1 <= figure.bbox.x1, text
                assert box.y0 >= 0, text
                assert box.y1 <= figure.bbox.y1, text


def test_the_history_counts_what_became_of_the_trials(
    make_result: Maker, make_trials: Maker, drawn: list[Figure]
) -> None:
    result = make_result("regression")
    trials = make_trials(result)
    history_figure(result, trials)
    said = texts(drawn[0])
    count = {state: sum(trial.state is state for trial in trials) for state in TrialState}
    searched = sum(trial.state is TrialState.COMPLETED and trial.origin == "searched" for trial in trials)
    screened = count[TrialState.DUPLICATE] + count[TrialState.REJECTED] + count[TrialState.EQUIVALENT]
    for label in (
        f"pruned ({count[TrialState.PRUNED]})",
        f"failed ({count[TrialState.FAILED]})",
        f"screened out ({screened})",
        f"searched ({searched})",
        "baseline (4)",
    ):
        assert label in said
    best = min(trial.value for trial in trials if trial.value is not None)
    assert f"best so far: {best:.4f}" in said


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_history_of_few_trials(make_result: Maker, make_trials: Maker, kept: int) -> None:
    result = make_result()
    assert history_figure(result, make_trials(result)[:kept]).startswith(b"\x89PNG")


def test_a_history_in_which_all_failed(make_result: Maker, make_trials: Maker) -> None:
    result = make_result()
    lost = [replace(trial, state=TrialState.FAILED, value=None) for trial in make_trials(result, 9)]
    assert history_figure(result, lost).startswith(b"\x89PNG")


def test_a_leaderboard_without_test_values(make_result: Maker) -> None:
    result = make_result()
    for entry in (result["searched"], *result["baselines"]):
        entry["test"] = {"mean": None, "std": None, "values": []}
    assert imread(io.BytesIO(leaderboard_figure(result))).size


DRAWN = [task.with_groups().offers for kind, task in TASKS.items() if KINDS[kind].picture is not None]


@pytest.mark.parametrize("name", sorted(name for name, term in terms.items() if any(map(term.fits, DRAWN))))
def test_every_term_has_a_finite_shape(name: str) -> None:
    spec = LossSpec.from_json({"parts": [{"term": name}]})
    task = "regression" if "prediction" in spec.reads else "binary" if "logit" in spec.reads else "multiclass"
    prior = torch.tensor([0.7, 0.2, 0.1] if task == "multiclass" else [0.8, 0.2], dtype=torch.float64)
    for curve in curves(spec, task, "loss", {**RAW, "class_prior": prior}):
        numbers = torch.tensor([curve.value, curve.slope])
        assert numbers.isfinite().all()
        assert numbers.abs().max() > 0


def test_the_shape_of_known_losses() -> None:
    half = torch.full((2,), 0.5, dtype=torch.float64)
    (squared,) = curves(
        LossSpec.from_json({"parts": [{"term": "squared"}]}), "regression", "mse", {**RAW, "class_prior": half}
    )
    position = torch.tensor(squared.position)
    torch.testing.assert_close(torch.tensor(squared.value), position**2, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(torch.tensor(squared.slope), 2 * position)
    spec = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})
    (entropy,) = curves(spec, "binary", "ce", {**RAW, "class_prior": half})
    torch.testing.assert_close(torch.tensor(entropy.slope), -torch.sigmoid(-torch.tensor(entropy.position)))


def test_a_loss_relative_to_the_target_is_drawn_at_the_distance_of_its_zero() -> None:
    spec = LossSpec.from_json({"parts": [{"term": "relative_absolute"}]})
    for zero in (-1.0, -4.0):
        (curve,) = curves(
            spec, "regression", "searched", {"class_prior": torch.ones(2) / 2, "zero": torch.tensor(zero)}
        )
        assert curve.slope[-1] == pytest.approx(1 / abs(zero))


def test_classes_and_stages_get_curves_where_they_differ() -> None:
    parts = [{"term": "weighted_cross_entropy", "power": 1.0, "weight": {"schedule": "linear", "start": 1, "end": 0.2}}]
    found = curves(
        LossSpec.from_json({"parts": parts}), "binary", "x", {**RAW, "class_prior": torch.tensor([0.9, 0.1])}
    )
    assert [curve.label for curve in found] == [
        "x, commonest class, at the end",
        "x, commonest class, at the start",
        "x, rarest class, at the end",
        "x, rarest class, at the start",
    ]
    assert max(map(abs, found[3].slope)) > 4 * max(map(abs, found[1].slope))


def test_a_learned_shape_is_drawn_as_it_was_found(make_result: Maker) -> None:
    result = make_result("regression")
    spec = LossSpec.from_json({"parts": [{"term": "general_robust"}]})
    plain = shape_figure(result, spec)
    assert shape_figure(result, spec, learned={"learned.0_shape": torch.nn.Parameter(torch.tensor(-5.0))}) != plain
    assert shape_figure(result, spec, learned={"0_shape": 0.0}) == plain


def test_the_plain_loss_as_winner_is_drawn_beside_the_searched(make_result: Maker, drawn: list[Figure]) -> None:
    result = make_result()
    result["best"] = {**result["baselines"][0], "groups": {}}
    shape_figure(result, LossSpec.from_json(result["best"]["spec"]))
    said = texts(drawn[0])
    assert "cross entropy" in said
    assert "searched loss" in said


def test_trials_need_not_be_in_order(make_result: Maker, make_trials: Maker) -> None:
    result = make_result()
    trials: list[TrialRecord] = make_trials(result)
    assert history_figure(result, trials[::-1]) == history_figure(result, trials)


def test_the_shape_keeps_weights_and_learned_scalars_where_parts_of_groups_are_left_out() -> None:
    half = torch.ones(2, dtype=torch.float64) / 2
    parts = [
        {"term": "binary_cross_entropy", "weight": 0.2},
        {"term": "focal", "weight": 0.6},
        {"term": "group_disparity", "weight": 0.2},
    ]
    spec = LossSpec.from_json({"parts": parts})
    (shown,) = curves(spec, "binary", "x", {**RAW, "class_prior": half})
    weights = {part.name: part.weighting.largest for part in spec.parts}
    expected = np.zeros(len(shown.slope))
    for name in ("binary_cross_entropy", "focal"):
        (alone,) = curves(LossSpec.from_json({"parts": [{"term": name}]}), "binary", "x", {**RAW, "class_prior": half})
        expected += weights[name] * np.array(alone.slope)
    np.testing.assert_allclose(shown.slope, expected, rtol=1e-9)


def test_the_shape_has_the_learned_scalars_of_the_parts_that_it_shows() -> None:
    robust = {"term": "general_robust", "weight": {"learned": "uncertainty"}}
    fair = {"term": "group_disparity_regression", "weight": 2.0}
    both = LossSpec.from_json({"parts": [robust, fair]})
    place = next(index for index, part in enumerate(both.parts) if part.name == "general_robust")
    state = {f"{place}_shape": 1.7, f"{place}_log_scale": -0.9, f"{place}_log_variance": 0.9}
    own = {name.replace(f"{place}_", "0_", 1): value for name, value in state.items()}
    half = torch.ones(2, dtype=torch.float64) / 2
    (shown,) = curves(both, "regression", "x", {**RAW, "class_prior": half}, state)
    (expected,) = curves(LossSpec.from_json({"parts": [robust]}), "regression", "x", {**RAW, "class_prior": half}, own)
    np.testing.assert_allclose(shown.slope, expected.slope, rtol=1e-9)
