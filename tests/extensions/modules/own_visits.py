"""A kind of task whose rows are visits of patients: whole patients are split, and resampled by intervals."""

from torch import Tensor

import losssearch as ls


@ls.loss_term(reference="least squares")
def own_visit_error(change: Tensor, target: Tensor) -> Tensor:
    """Squared error, one value per sample; change and target [batch]."""
    return (target - change).square()


ls.task_kind("own_visits", heads={"change": 1}, menu=["own_visit_error"], metric="rmse", unit="group")
