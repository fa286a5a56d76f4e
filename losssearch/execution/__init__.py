"""Executors: where populations are trained."""

from losssearch.execution.executor import Executor, Heard, InProcessExecutor
from losssearch.execution.job import Job, run_job
from losssearch.training.threads import one_thread

__all__ = ["Executor", "Heard", "InProcessExecutor", "Job", "one_thread", "run_job"]
