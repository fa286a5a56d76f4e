"""The kinds of task, and what each offers to a loss."""

from losssearch.tasks.fair import attribute_task, fair_task, worst_cell_task
from losssearch.tasks.task import TASKS, Task, get_task
from losssearch.tasks.view import LOGIT, LOGITS, PREDICTION, AdjustmentKind, View

__all__ = [
    "LOGIT",
    "LOGITS",
    "PREDICTION",
    "TASKS",
    "AdjustmentKind",
    "Task",
    "View",
    "attribute_task",
    "fair_task",
    "get_task",
    "worst_cell_task",
]
