"""A model may put out its heads one by one: they are joined in the order that the task declares."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.errors import OptionError
from losssearch.models import build_model

HEADS = {"mean": 2, "spread": 1}


class TwoHeads(nn.Module):
    def __init__(self, features: int, form: str) -> None:
        super().__init__()
        self.mean, self.spread, self.form = nn.Linear(features, 2), nn.Linear(features, 1), form

    def forward(self, x: Tensor) -> Any:
        mean, spread = self.mean(x), self.spread(x)
        forms: dict[str, Any] = {
            "one": torch.cat((mean, spread), -1),
            "mapping": {"spread": spread, "mean": mean},
            "tuple": (mean, spread[:, 0]),
            "fewer": {"mean": mean},
            "other order": (spread, mean),
            "text": "mean",
        }
        return forms[self.form]


def outputs(form: str) -> Tensor:
    model = build_model(lambda features, columns: TwoHeads(features, form), 5, HEADS)
    stacked = {name: value[None, None] for name, value in model.initial(0).items()}
    return model.forward(stacked, {}, torch.linspace(-1, 1, 15).view(1, 3, 5), training=False, seed=0)


@pytest.mark.parametrize("form", ["mapping", "tuple"])
def test_heads_are_joined_in_the_declared_order(form: str) -> None:
    assert outputs(form).shape == (1, 1, 3, 3)
    assert torch.equal(outputs(form), outputs("one"))


@pytest.mark.parametrize(
    ("form", "found"), [("fewer", "a mapping with 'mean'"), ("other order", r"\[4, 1\] for mean"), ("text", "str")]
)
def test_other_heads_are_told_with_those_that_are_wanted(form: str, found: str) -> None:
    wanted = r"the heads mean \[batch, 2\], spread \[batch, 1\]"
    with pytest.raises(OptionError, match=rf"{wanted} in a mapping or a tuple; it put out {found}"):
        outputs(form)


def test_one_tensor_of_another_width_is_told_with_the_heads() -> None:
    with pytest.raises(OptionError, match=r"put out \['batch=4', 3\] \(mean 2, spread 1\) .* got \[4, 4\]"):
        build_model(lambda features, _: nn.Linear(features, 4), 5, HEADS)
