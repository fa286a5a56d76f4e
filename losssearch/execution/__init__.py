"""Where populations are trained."""

from losssearch.execution.executor import Executor, InProcessExecutor
from losssearch.execution.job import Job, one_thread, run_job

__all__ = ["Executor", "InProcessExecutor", "Job", "one_thread", "run_job"]
