"""The kinds of task, and what each offers to a loss."""

from losssearch.tasks import kinds
from losssearch.tasks.declare import task_kind
from losssearch.tasks.fair import attribute_task, fair_task, worst_cell_task
from losssearch.tasks.kind import KINDS, TASKS, TaskKind, affine, get_kind, get_task
from losssearch.tasks.predicting import Predicting
from losssearch.tasks.task import Baseline, Task
from losssearch.tasks.view import LOGIT, LOGITS, PREDICTION, AdjustmentKind, View

__all__ = [
    "KINDS",
    "LOGIT",
    "LOGITS",
    "PREDICTION",
    "TASKS",
    "AdjustmentKind",
    "Baseline",
    "Predicting",
    "Task",
    "TaskKind",
    "View",
    "affine",
    "attribute_task",
    "fair_task",
    "get_kind",
    "get_task",
    "kinds",
    "task_kind",
    "worst_cell_task",
]
