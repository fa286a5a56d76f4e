"""The Python interface: search for a loss, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Literal

from losssearch import stopping
from losssearch.assembly import Options, assemble
from losssearch.assembly.arguments import check_types, plain
from losssearch.data import Data
from losssearch.data.given_splits import Named
from losssearch.data.groups import Sensitive
from losssearch.errors import ConnectionLostError, ConstraintUnmetError, InterruptedStudyError, LossSearchError
from losssearch.evaluation.record import MetricFunction
from losssearch.execution import one_thread
from losssearch.export.writing import FULL
from losssearch.models import ModelFactory
from losssearch.progress import progress
from losssearch.publishing.publisher import Publishing
from losssearch.redaction import guarded
from losssearch.study.budget import UNLIMITED
from losssearch.study.context import Context
from losssearch.study.observer import Observer
from losssearch.study.result import Finished
from losssearch.study.settings import parse_duration
from losssearch.study.study import run_study
from losssearch.study.study_context import StudyContext
from losssearch.study.user_study import FunctionContext
from losssearch.study.user_verdict import run_function_study
from losssearch.study_result import SearchResult, VerdictSummary, open_result
from losssearch.training.user_function import TrainFunction


def search(
    data: Data | None = None,
    *,
    train: TrainFunction | None = None,
    target: str | Sequence[str] | None = None,
    metric: str | MetricFunction | None = None,
    direction: str | None = None,
    task: str | None = None,
    classes: int | None = None,
    class_prior: Sequence[float] | None = None,
    model: str | ModelFactory = "mlp",
    space: str | Path | None = None,
    drop: tuple[str, ...] | list[str] = (),
    positive: object = None,
    drop_missing_target: bool = False,
    max_rows: int | None = None,
    test: Data | None = None,
    group: Named | None = None,
    time: Named | None = None,
    split: Named | None = None,
    time_as_feature: bool = False,
    weight: Named | None = None,
    sample_weight: Named | None = None,
    data_memory: str | None = None,
    sensitive: Sensitive | None = None,
    sensitive_as_feature: bool = False,
    constraints: str | Sequence[str] = (),
    objectives: Sequence[str] = (),
    confidence: float = 0.95,
    group_thresholds: bool = False,
    references: bool = True,
    private_epsilon: float | None = None,
    private_delta: float = 1e-5,
    trials: int | None = None,
    time_budget: str | float | None = None,
    epochs: int | None = None,
    rates: Sequence[float] | None = None,
    draws: int | None = None,
    confirm_seeds: int = 5,
    prefer_known: bool = False,
    workers: int | None = None,
    ray_address: str | None = None,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float | None = None,
    memory_per_worker: str | None = None,
    resources: Mapping[str, float | str] | None = None,
    device: str = "auto",
    study: str | None = None,
    resume: bool = False,
    storage: str | None = None,
    tracking_uri: str | None = None,
    mlflow: bool = True,
    out: str | Path | None = None,
    imports: str | Sequence[str] = (),
    seed: int = 0,
    observer: Observer | None = None,
    verbose: bool | int = 1,
) -> SearchResult:
    """Find the training loss that makes a model best at a metric, and prove it against strong baselines.

    Args:
        data: a file, ``builtin:NAME``, ``openml:ID``, a data frame, or a pair (X, y) of arrays or tensors.
        train: in place of data, a function ``train(loss, trial)`` that trains a model of its own with the loss module
            and gives the metric; ``trial`` is a `losssearch.training.handle.TrialHandle`. Needs ``metric``, any name,
            and ``task``.
        target: the column to predict; not needed for a pair. A list of columns for a task that reads several.
        metric: the metric that matters; the task's own where left out. A name, or a function of (outputs, target) or
            (outputs, batch) of one model, which may be declared with `losssearch.metric`.
        direction: whether a metric of your own is to ``maximize`` or to ``minimize``; for a training function's metric
            ``maximize`` where left out.
        task: ``binary``, ``multiclass`` or ``regression``; inferred from the target where left out.
        classes: how many classes a training function's data have.
        class_prior: the share of each class in a training function's data; equal shares where left out.
        model: ``linear``, ``mlp``, ``residual_mlp``, ``lightgbm``, ``xgboost``, or a factory called with
            (features, outputs).
        space: a bundled search space or a YAML file; the task's own where left out.
        drop: columns that must not be features.
        positive: the positive class of a binary target.
        drop_missing_target: leave out rows without a target instead of refusing them.
        max_rows: use a stratified sample of so many rows at most; where left out, all.
        test: the rows to test on, given as ``data`` is; the others are split 75 : 25 into search and confirmation.
        group: a column whose rows with one value are never split: patients, customers, sites. For a pair: one value per
            row, which come before those of ``test`` where both are given; likewise ``time`` and ``split``.
        time: a column of numbers or dates; later rows are for confirmation and test, and validate what earlier ones
            trained. No feature, unless ``time_as_feature``.
        split: a column that names each row's part: train, validation or test. See docs/splits.md.
        time_as_feature: let the model see the column of times.
        weight: a column of sample weights, or one per row: a row of weight 2 counts as two, in training, metrics and
            intervals. No feature. See docs/splits.md.
        sample_weight: the same, by scikit-learn's name.
        data_memory: memory that data may take, such as ``"2G"``; a quarter of the machine's where left out. A Parquet
            or Arrow table of more rows is streamed from disk; any other file that needs more is refused.
        sensitive: columns whose groups are to be treated alike, or cuts such as ``"age>=25"``; no features, unless
            ``sensitive_as_feature``. With arrays: one label a row.
        sensitive_as_feature: let the model see the sensitive attribute.
        constraints: what must hold between the groups, such as ``"demographic_parity_difference <= 0.05"``.
        objectives: a metric and a gap between groups, of which to draw the whole trade-off.
        confidence: the probability with which a constraint is to hold on new data, in [0.5, 1).
        group_thresholds: also tune a decision threshold for each group; predictions then need the attribute.
        references: set fairlearn's mitigations beside a study of groups, where the extra ``fairness`` is installed.
        private_epsilon: train a final model with differential privacy at this epsilon and ``private_delta``; it lies in
            ``export/private_model.safetensors``. Needs the extra ``private``.
        private_delta: the delta of that promise.
        trials: how many losses to try, half of them baselines; 128 where left out, or as many as ``time_budget`` holds.
        time_budget: seconds, or a duration such as ``"10m"``, in which to end.
        epochs: how long each training lasts; from the number of rows where left out (20 for a training function).
        rates: learning rates that every loss is trained at, the best of which counts; a training function chooses its
            own where they are left out.
        draws: on how many draws of rows and seed the search judges each loss; from the number of rows where left out
            (1 for a training function).
        confirm_seeds: on how many fresh seeds and splits the finalists are trained for the verdict; 2 at the least.
        prefer_known: recommend a searched loss only where the evidence before test has it better than the best baseline
            by more than one standard error; where left out, wherever it is believed better at all.
        workers: Ray workers; 0 trains in this process; where left out, all cores, or 0 for a small study.
        ray_address: the address of a Ray cluster that runs already.
        cpus_per_worker: cores that Ray keeps free for each worker; 1 where left out.
        gpus_per_worker: GPUs, or a share of one, for each worker.
        memory_per_worker: memory for each worker, such as ``"2G"``.
        resources: the same three as ``{"num_cpus": …, "num_gpus": …, "memory": …}``; where left out, what a model
            factory or training function has as attributes of these names.
        device: ``auto``, ``cpu`` or ``cuda``.
        study: the study's name.
        resume: continue a study that was stopped; its folder, ``out``, is enough where the other arguments were texts
            and numbers, which the folder keeps. What is given in addition must be what it was, but for ``trials``,
            ``time_budget``, workers, device and stores.
        storage: the store's URL; a file in ``out`` where left out.
        tracking_uri: the MLflow store; a file in ``out`` where left out.
        mlflow: whether to track the study with MLflow.
        out: the study's folder; ``losssearch-runs/STUDY`` where left out.
        imports: modules of your own that add terms, weightings, metrics or kinds of task, by name or as paths of
            ``.py`` files; see docs/extending.md.
        seed: from which all random choices follow: same seed, same result, whatever the number of workers.
        observer: is told of the progress in place of a display; see `losssearch.study.observer.Observer`.
        verbose: 1 shows progress and notes, in the notebook or on stderr; 0 does not. ``result.notes`` has all notes.

    Raises:
        InputError: something cannot be used; nothing was written.
        ConstraintUnmetError: the study finished, but no candidate meets the constraint; its ``result`` is the closest.
        ConnectionLostError: a worker, store or tracking server was lost; the state is saved.
        InterruptedStudyError: Ctrl-C; the state is saved.
    """
    # The parameters are the fields of `Options` by name, so that a new one is written down in two places, not three.
    options = {name: value for name, value in locals().items() if name not in ("observer", "verbose")}
    check_types(options | {"verbose": verbose})
    options = {name: plain(value) for name, value in options.items()}
    options["started"] = monotonic()
    for name in ("constraints", "imports"):
        if isinstance(options[name], str):
            options[name] = (options[name],)
    if isinstance(time_budget, str):
        options["time_budget"] = parse_duration(time_budget)
    with progress(verbose) if observer is None else nullcontext(observer) as watching:
        return run(Options(**options), watching)


@guarded()
def run(options: Options, observer: Observer) -> SearchResult:
    """Run the study of ``options``; see `search`. It stops where `losssearch.stopping.current` is asked to."""
    with stopping.stoppable():
        return _run(options, observer)


def _run(options: Options, observer: Observer) -> SearchResult:
    stop = stopping.current()
    assembled = assemble(options, observer)
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
        raise InterruptedStudyError(f"stopped{_after(context)}; all is saved in {out}, --resume goes on") from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or out
        raise ConnectionLostError(
            f"a study needs room to write, {place} has none ({error.strerror}): make room and use --resume"
        ) from error
    finally:
        stop.settle()
        _close(context, status, publishing)
    if unmet := result["verdict"].get("unmet"):
        raise ConstraintUnmetError(unmet, SearchResult(result, out))
    return SearchResult(result, out)


def _after(context: StudyContext) -> str:
    """How far a study came; nothing where the store does not answer, which must not hide that the user stopped it."""
    try:
        trials = context.store.trials(context.settings.study)
    except ConnectionLostError:
        return ""
    done, asked = sum(trial.state.value != "running" for trial in trials), context.settings.trials
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
