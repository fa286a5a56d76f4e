"""A user's model that raises after it was tried: whose fault it is, in one sentence."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.errors import InterruptedStudyError, ModelError, OptionError
from losssearch.models import StackedModel, build_model


class Narrow(nn.Module):
    """Gives its second layer too few features on a batch of ten or more."""

    def __init__(self, features: int, width: int, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 4), *layers)
        self.head = nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.body(x)
        output: Tensor = self.head(hidden[:, :3] if len(x) >= 10 else hidden)
        return output


def forward(model: StackedModel, rows: int) -> Tensor:
    parameters = {name: value[None, None] for name, value in model.initial(0).items()}
    buffers = {name: value[None, None].clone() for name, value in model.buffers(0).items()}
    return model.forward(parameters, buffers, torch.zeros(1, rows, 5), training=True, seed=0)


@pytest.mark.parametrize("layers", [(), (nn.Dropout(0.1),)], ids=["stacked", "one by one"])
def test_the_layer_the_batch_and_the_reason_are_named(layers: Any) -> None:
    model = build_model(lambda features, width: Narrow(features, width, *layers), 5, 1)
    assert forward(model, 9).shape == (1, 1, 9)
    with pytest.raises(ModelError, match=r"\[rows, 5\] .* on one of 12 its layer head \(Linear\) raised RuntimeError:"):
        forward(model, 12)


def test_batch_normalisation_of_one_row_is_named() -> None:
    model = build_model(lambda features, width: Narrow(features, width, nn.BatchNorm1d(4)), 5, 1)
    with pytest.raises(ModelError, match=r"on one of 1 its layer body\.1 \(BatchNorm1d\) raised ValueError"):
        forward(model, 1)


def test_an_error_of_the_users_own_code_names_its_module() -> None:
    class Choosy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 4:
                raise LookupError("no such\n row")
            return super().forward(x)

    model = build_model(Choosy, 5, 1)
    with pytest.raises(ModelError, match=r"its forward \(Choosy\) raised LookupError: no such row"):
        forward(model, 5)


def test_what_is_wrong_from_the_start_is_said_as_before() -> None:
    with pytest.raises(OptionError, match="the model must accept a tensor"):
        build_model(lambda features, width: nn.Linear(features + 1, width), 5, 1)


class Leaving(nn.Linear):
    """Ends the program on a batch of ten rows or more."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) >= 10:
            sys.exit(0)
        return super().forward(x)


def leave(*_: int) -> nn.Module:
    sys.exit(0)


class Dull(nn.Linear):
    """Gives ``added`` plus a line; in one mode alone."""

    added, mode = math.inf, True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (self.added if self.training is self.mode else 0.0)


def test_sys_exit_in_a_model_is_a_fault_of_the_model() -> None:
    with pytest.raises(OptionError, match=r"factory must accept .* it raised SystemExit\(0\)"):
        build_model(leave, 5, 1)
    with pytest.raises(ModelError, match=r"its forward \(Leaving\) raised SystemExit"):
        forward(build_model(Leaving, 5, 1), 10)
    with pytest.raises(OptionError, match=r"must accept a tensor .* it raised SystemExit"):
        build_model(type("Gone", (nn.Linear,), {"forward": leave}), 5, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, InterruptedStudyError])
def test_a_stop_in_a_model_stays_a_stop(error: type[BaseException]) -> None:
    def stopped(*_: int) -> nn.Module:
        raise error("stop")

    with pytest.raises(error):
        build_model(stopped, 5, 1)
    with pytest.raises(error):
        build_model(type("Gone", (nn.Linear,), {"forward": stopped}), 5, 1)


@pytest.mark.parametrize("added", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(("training", "mode"), [(True, "training"), (False, "evaluation")])
def test_outputs_that_are_not_finite_are_refused_before_a_study(added: float, training: bool, mode: str) -> None:
    kind = type("Odd", (Dull,), {"added": added, "mode": training})
    with pytest.raises(OptionError, match=rf"must put out finite numbers; untrained, in {mode} mode.* {added} or"):
        build_model(kind, 5, 1)
