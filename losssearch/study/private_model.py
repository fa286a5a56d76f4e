"""A final model trained under differential privacy, with the loss that the study recommends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losssearch.data import make_replicas
from losssearch.data.splits import Draw
from losssearch.errors import OptionError
from losssearch.judging.metric import MetricJudge
from losssearch.losses.offer import Offer
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model, is_looped
from losssearch.study.context import Context
from losssearch.study.settings import derived_seed
from losssearch.tasks import Predicting
from losssearch.training.private import Privacy, require_per_sample, train_privately
from losssearch.training.threads import one_thread

STEPS_AN_EPOCH = 50
"""Steps that a pass over the rows is cut into: large batches, because noise is paid for by the step."""


@dataclass(frozen=True)
class PrivateModel:
    """The parameters of the model, and what ``result.json`` says of it."""

    parameters: Mapping[str, Tensor]
    facts: dict[str, Any]


def train_private_model(context: Context, entries: Sequence[Mapping[str, Any]], privacy: Privacy) -> PrivateModel:
    """Train on the search part with the first of ``entries`` (of ``result.json``) whose loss is a mean over samples.

    Test says how good the model is; a threshold or temperature is tuned on the confirmation part.

    Raises `OptionError` if no loss is a mean over samples, or the model keeps statistics of batches.
    """
    entry = _first_private(entries, context.task.offer)
    spec, settings, parts = LossSpec.from_json(entry["spec"]), context.settings, context.partition
    seed = derived_seed(settings.seed, "private")
    replicas = make_replicas(context.dataset, [Draw(parts.search, parts.confirmation, seed)], held={"test": parts.test})
    shared, listed = context.task.shared, replicas.listed
    widths = context.task.widths(replicas.classes)
    model = build_model(context.model, replicas.width, widths, by_column=shared, listed=listed)
    if is_looped(model):
        raise OptionError("private training needs a model of stacked layers: buffers see several samples at once")
    rows = len(replicas.train["target"][0])
    batch_size = max(settings.plan.batch_size, rows // STEPS_AN_EPOCH)
    with one_thread():
        fit = train_privately(
            model,
            spec,
            {name: value[0] for name, value in replicas.train.items()},
            {name: value[0] for name, value in replicas.facts.items()},
            privacy,
            epochs=settings.plan.epochs,
            batch_size=batch_size,
            rate=entry["learning_rate"] or settings.rates[0],
            offer=context.task.offer,
            average=settings.plan.average,
        )

        def outputs(parameters: Mapping[str, Tensor], features: Tensor) -> Tensor:
            stacked = {name: value[None, None] for name, value in parameters.items()}
            with torch.no_grad():
                return model.forward(stacked, {}, features, training=False, seed=0)

        predicting = Predicting.of(context.task, replicas.classes)

        def read(outputs: Tensor) -> Tensor:
            return outputs if predicting is None else predicting(outputs, [predicting.head(spec)], replicas.facts)

        judge = MetricJudge(context.judged_by, settings.task, replicas)
        tuned = torch.tensor([spec.decision == "tuned"])

        def judged(parameters: Mapping[str, Tensor]) -> tuple[float, Callable[[Tensor], Tensor]]:
            validated = read(outputs(parameters, replicas.validation["features"]))
            utility, adjust = judge(validated, replicas.validation["target"], tuned)
            return float(utility), adjust

        chosen, (best, adjust) = fit.parameters, judged(fit.parameters)
        if fit.averaged is not None and (other := judged(fit.averaged))[0] > best:
            chosen, adjust = fit.averaged, other[1]
        test = replicas.held["test"]
        found = context.metric(
            adjust(read(outputs(chosen, test["features"]))), judge.target_unit(test["target"][:, None])
        )
    return PrivateModel(
        chosen,
        {
            "loss": entry["name"],
            "epsilon": fit.epsilon,
            "delta": fit.delta,
            "clip": privacy.clip,
            "noise_multiplier": fit.noise_multiplier,
            "steps": fit.steps,
            "sample_rate": fit.sample_rate,
            "test": float(found),
            "covers": "the steps of this training; not the encoding, the class prior, the search or the threshold",
        },
    )


def _first_private(entries: Sequence[Mapping[str, Any]], offer: Offer) -> Mapping[str, Any]:
    reason = "there is no loss to train with"
    for entry in entries:
        try:
            require_per_sample(LossSpec.from_json(entry["spec"]), offer)
        except OptionError as error:
            reason = str(error)
            continue
        return entry
    raise OptionError(reason)
