"""losssearch finds the training loss that makes a model best at your metric, and proves it.

::

    import losssearch as ls

    result = ls.search("adult.parquet", target="income", metric="average_precision", trials=256)
    result.verdict            # difference to the best known loss, its interval, and a sentence
    result.export("my_loss")  # a plain PyTorch module, free of losssearch

Names are imported when they are first used, so ``import losssearch`` does not load PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losssearch.api import SearchResult, search
    from losssearch.data.batch import Field, declare_field
    from losssearch.data.target_kind import Classes, Numbers
    from losssearch.errors import LossSearchError
    from losssearch.evaluation.decision import Decision
    from losssearch.evaluation.decision_tuning import tune_decision
    from losssearch.evaluation.declaring import metric
    from losssearch.export.bundle import load_loss
    from losssearch.losses import loss_term, terms
    from losssearch.losses.arrays import add_array
    from losssearch.losses.balance import balance
    from losssearch.losses.compose import compose
    from losssearch.losses.domains import Choice, Float, Int
    from losssearch.losses.offer import Provider
    from losssearch.losses.reduction import reduction
    from losssearch.losses.schedule import LEVEL, schedule
    from losssearch.losses.state import Dimensions, Learned, State
    from losssearch.losses.weighting import weighting
    from losssearch.request import Budget, Compute, Fairness, Output, Privacy, Splits
    from losssearch.study_result import load_result
    from losssearch.tasks import Baseline, task_kind
    from losssearch.training.handle import TrialHandle

__version__ = "0.1.0"

__all__ = [
    "LEVEL",
    "Baseline",
    "Budget",
    "Choice",
    "Classes",
    "Compute",
    "Decision",
    "Dimensions",
    "Fairness",
    "Field",
    "Float",
    "Int",
    "Learned",
    "LossSearchError",
    "Numbers",
    "Output",
    "Privacy",
    "Provider",
    "SearchResult",
    "Splits",
    "State",
    "TrialHandle",
    "__version__",
    "add_array",
    "balance",
    "compose",
    "declare_field",
    "load_loss",
    "load_result",
    "loss_term",
    "metric",
    "reduction",
    "schedule",
    "search",
    "task_kind",
    "terms",
    "tune_decision",
    "weighting",
]

_HOME = {
    "Baseline": "losssearch.tasks",
    "Budget": "losssearch.request",
    "Choice": "losssearch.losses.domains",
    "Classes": "losssearch.data.target_kind",
    "Compute": "losssearch.request",
    "Decision": "losssearch.evaluation.decision",
    "Dimensions": "losssearch.losses.state",
    "Fairness": "losssearch.request",
    "Field": "losssearch.data.batch",
    "Float": "losssearch.losses.domains",
    "Int": "losssearch.losses.domains",
    "LEVEL": "losssearch.losses.schedule",
    "Learned": "losssearch.losses.state",
    "LossSearchError": "losssearch.errors",
    "Numbers": "losssearch.data.target_kind",
    "Output": "losssearch.request",
    "Privacy": "losssearch.request",
    "Provider": "losssearch.losses.offer",
    "SearchResult": "losssearch.api",
    "Splits": "losssearch.request",
    "State": "losssearch.losses.state",
    "TrialHandle": "losssearch.training.handle",
    "add_array": "losssearch.losses.arrays",
    "balance": "losssearch.losses.balance",
    "compose": "losssearch.losses.compose",
    "declare_field": "losssearch.data.batch",
    "load_loss": "losssearch.export.bundle",
    "load_result": "losssearch.study_result",
    "loss_term": "losssearch.losses",
    "metric": "losssearch.evaluation.declaring",
    "reduction": "losssearch.losses.reduction",
    "schedule": "losssearch.losses.schedule",
    "search": "losssearch.api",
    "task_kind": "losssearch.tasks",
    "terms": "losssearch.losses",
    "tune_decision": "losssearch.evaluation.decision_tuning",
    "weighting": "losssearch.losses.weighting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
