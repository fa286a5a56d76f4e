"""The kinds of task, and what each offers to a loss."""

from losssearch.tasks.task import TASKS, Task, get_task

__all__ = ["TASKS", "Task", "get_task"]
