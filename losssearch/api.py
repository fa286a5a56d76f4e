"""The Python interface: search for a loss, and what comes of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from time import monotonic
from typing import Any, Literal

from torch import nn

from losssearch import stopping
from losssearch.assembly import assemble
from losssearch.errors import (
    ConnectionLostError,
    ConstraintUnmetError,
    InterruptedStudyError,
    LossSearchError,
    OptionError,
)
from losssearch.execution import one_thread
from losssearch.export.writing import FULL
from losssearch.option_names import option
from losssearch.progress import progress
from losssearch.publishing.publisher import Publishing
from losssearch.redaction import guarded
from losssearch.request import Call, Request, request_of, takes_options
from losssearch.storage.lease import Job
from losssearch.storage.records import TrialState
from losssearch.study.budget import UNLIMITED
from losssearch.study.context import Context
from losssearch.study.observer import Observer, Recorder
from losssearch.study.result import Finished
from losssearch.study.study import run_study
from losssearch.study.study_context import StudyContext
from losssearch.study.user_study import FunctionContext
from losssearch.study.user_verdict import run_function_study
from losssearch.study_result import SearchResult, VerdictSummary, open_result


@takes_options(Call)
def search(given: dict[str, Any]) -> SearchResult:  # noqa: D417  (the parameters are those of `Call`)
    """Find the training loss that makes a model best at a metric, and prove it against strong baselines.

    Options may be given by their own names, or several of them as a group, such as
    ``budget=ls.Budget(trials=64, epochs=10)``; each once.

    Args:
        {arguments}

    Returns:
        The finished study: verdict, leaderboard, the loss as a module, and its export.

    Raises:
        InputError: something cannot be used; nothing was written.
        ConstraintUnmetError: the study finished, but no candidate satisfies the constraint; its ``result`` is the
            closest.
        ConnectionLostError: a worker, store or tracking server was lost; the state is saved.
        StudyHeldError: another process drives the study that is to be resumed.
        InterruptedStudyError: Ctrl-C; the state is saved.

    Example:
        ::

            result = ls.search("builtin:wine", target="target", metric="balanced_accuracy", trials=16)
            print(result.verdict)
    """
    started = monotonic()  # a time budget counts the checks
    _refuse_model(given.get("model"))
    asked = replace(request_of(given), started=started)
    observer = given.get("observer")
    with progress(given.get("verbose", 1)) if observer is None else nullcontext(observer) as watching:
        return run(asked, watching)


def _refuse_model(model: Any) -> None:
    """A model in place of its factory comes with advice."""
    if isinstance(model, nn.Module):
        name = type(model).__name__
        raise OptionError(
            f"{option('model')} must be a factory that makes a new model for each training, called with (features, "
            f"outputs); got a model, {name}(…): give a function, such as lambda features, outputs: {name}(…)"
        )


@guarded()
def run(options: Request, observer: Observer, *, job: Job | None = None) -> SearchResult:
    """Run the study of ``options``; see `search`. It stops where `losssearch.stopping.current` is asked to.

    ``job`` is for a queue of jobs: of one job, the driver of a newer attempt takes the study over at once, and the next
    write of the older one's raises `ConnectionLostError`.
    """
    watched = Recorder(observer)  # which may be a user's own, without some of the methods
    with stopping.stoppable():
        return _run(options, watched, job)


def _run(options: Request, observer: Observer, job: Job | None) -> SearchResult:
    stop = stopping.current()
    assembled = assemble(options, observer, job)
    context, out = assembled.context, assembled.out
    status: Literal["FINISHED", "KILLED", "FAILED"] = "FAILED"
    publishing = Publishing(context, out, assembled.entered, assembled.privacy)
    try:
        with one_thread():
            result = publishing.run(_finish)
        stop.check()  # the exception of a signal may have been swallowed
        status = "FINISHED"
    except (KeyboardInterrupt, Exception) as error:
        if not (stop.requested or isinstance(error, KeyboardInterrupt)):
            raise
        stop.settle()
        status = "KILLED"
        raise InterruptedStudyError(
            f"stopped{_after(context)}; all is saved in {out}, {option('resume', True)} continues it"
        ) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or out
        raise ConnectionLostError(
            f"a study needs room to write, {place} has none ({error.strerror}): make room and use "
            f"{option('resume', True)}"
        ) from error
    finally:
        stop.settle()
        _close(context, status, publishing)
    observer.finished(result)
    if unmet := result["verdict"].get("unmet"):
        raise ConstraintUnmetError(unmet, SearchResult(result, out))
    return SearchResult(result, out)


def _after(context: StudyContext) -> str:
    """How far a study came; nothing where the store does not answer, which must not hide that the user stopped it."""
    try:
        counts = context.store.counts(context.settings.study)
    except ConnectionLostError:
        return ""
    done, asked = sum(counts.values()) - counts[TrialState.RUNNING], context.settings.trials
    return f" after {f'{done} of {asked}' if asked < UNLIMITED else done} trials"


def _finish(context: StudyContext) -> Finished:
    match context:
        case Context():
            return run_study(context)
        case FunctionContext():
            return run_function_study(context)
    raise TypeError(f"a study of {type(context).__name__} has no way to run")


def _close(context: StudyContext, status: Literal["FINISHED", "KILLED", "FAILED"], publishing: Publishing) -> None:
    try:
        context.executor.close()
        context.tracker.close(status)
        problems = context.tracker.problems
        for problem in problems:
            context.observer.note(problem)
        if status == "FINISHED":
            publishing.mark(problems)  # the last step: whatever was killed before it is done again by --resume
    finally:
        context.store.close()


__all__ = ["LossSearchError", "SearchResult", "VerdictSummary", "open_result", "run", "search"]
