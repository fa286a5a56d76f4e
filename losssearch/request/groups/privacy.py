"""A final model with differential privacy."""

from __future__ import annotations

from dataclasses import dataclass

from losssearch.arguments import named_fields
from losssearch.request import kinds
from losssearch.request.groups.panels import PRIVACY
from losssearch.request.option import asked


@named_fields
@dataclass(frozen=True)
class Privacy:
    """A final model with differential privacy. See docs/privacy.md."""

    private_epsilon: float | None = asked(
        None,
        "Also train a final model under differential privacy. Needs the extra `private`.",
        kinds.NUMBER,
        more="The model is written to ``export/private_model.safetensors``.",
        metavar="EPSILON",
        panel=PRIVACY,
        local_only=False,
    )
    private_delta: float = asked(
        1e-5, "The delta of that promise.", kinds.NUMBER, metavar="DELTA", panel=PRIVACY, local_only=False
    )
