"""All pictures of a report's page, and the sentence that explains its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from losssearch.losses.spec import LossSpec
from losssearch.report.course_pictures import course_pictures
from losssearch.report.diagnosis_pictures import diagnosis_pictures, history_picture, shape_pictures
from losssearch.report.explained import explained
from losssearch.report.panels import Picture
from losssearch.report.shape import facts_of, picture_of, shape_curves
from losssearch.report.stages import Stage, stages_of
from losssearch.storage.records import TrialRecord
from losssearch.tasks import get_kind

if TYPE_CHECKING:
    from torch import Tensor


def draw_pictures(
    result: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    spec: LossSpec,
    *,
    facts: Mapping[str, float | Sequence[float]] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
) -> tuple[dict[str, Picture], str]:
    """The pictures by name, and what the drawn loss amounts to in the curves of the catalogue, empty if nothing.

    Takes what `losssearch.report.figures.write_figures` takes.
    """
    task = str(result["task"])
    known = facts_of(result, facts or {})
    found: dict[str, Picture] = {}
    if (history := history_picture(result, trials)) is not None:
        found["history"] = history
    said = ""
    if get_kind(task).picture is not None:
        about = picture_of(task)
        _, drawn, curves = shape_curves(result, spec, facts=facts, learned=learned)
        if curves["loss"]:
            found |= shape_pictures(curves, about.axis, about.over)
        amounts = explained(drawn, task, known, _last_stage(result, drawn), _common(known))
        who = "It" if drawn == spec else "The searched loss, drawn here,"
        said = f"{who} explains itself as: {amounts.text}" if amounts is not None else ""
    return {**found, **course_pictures(result, known), **diagnosis_pictures(result)}, said


def _last_stage(result: Mapping[str, Any], spec: LossSpec) -> Stage:
    """The end of training of the loss that is drawn, or a loss without states."""
    loss = (result.get("course") or {}).get("loss")
    if not loss or LossSpec.from_json(loss["spec"]) != spec:
        return Stage("", 1.0)
    return stages_of(loss, int((result.get("plan") or {}).get("epochs") or 1))[-1]


def _common(facts: Mapping[str, Any]) -> int:
    shares = next((value for value in facts.values() if value.dim() == 1), None)
    return 0 if shares is None else int(shares.argmax())
