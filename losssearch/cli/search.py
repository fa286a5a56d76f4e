"""``losssearch search``: find the loss."""

from __future__ import annotations

import re
import time

import typer

from losssearch.cli import search_options as given

_OTHER_NAMES = {
    "time_column": "time",
    "constraint": "constraints",
    "objective": "objectives",
    "no_references": "references",
    "no_mlflow": "mlflow",
    "imported": "imports",
}
"""Parameters of the command whose option has another name in Python."""

_PART = re.compile(r'(?:"[^"]*"|\((?:[^()]|\([^()]*\))*\)|[^,])+')


def search(
    context: typer.Context,
    data: given.Data = None,
    target: given.Target = None,
    metric: given.Metric = None,
    task: given.Task = None,
    drop: given.Drop = None,
    positive: given.Positive = None,
    drop_missing_target: given.DropMissingTarget = False,
    max_rows: given.MaxRows = None,
    test: given.Test = None,
    group: given.Group = None,
    time_column: given.TimeColumn = None,
    time_as_feature: given.TimeAsFeature = False,
    split: given.Split = None,
    weight: given.Weight = None,
    data_memory: given.DataMemory = None,
    space: given.Space = None,
    model: given.Model = "mlp",
    sensitive: given.Sensitive = None,
    sensitive_as_feature: given.SensitiveAsFeature = False,
    constraint: given.Constraint = None,
    objective: given.Objective = None,
    confidence: given.Confidence = 0.95,
    group_thresholds: given.GroupThresholds = False,
    no_references: given.NoReferences = False,
    private_epsilon: given.PrivateEpsilon = None,
    private_delta: given.PrivateDelta = 1e-5,
    trials: given.Trials = None,
    time_budget: given.TimeBudget = None,
    epochs: given.Epochs = None,
    rates: given.Rates = None,
    draws: given.Draws = None,
    confirm_seeds: given.ConfirmSeeds = 5,
    prefer_known: given.PreferKnown = False,
    workers: given.Workers = None,
    ray_address: given.RayAddress = None,
    cpus_per_worker: given.CpusPerWorker = None,
    gpus_per_worker: given.GpusPerWorker = None,
    memory_per_worker: given.MemoryPerWorker = None,
    device: given.Device = "auto",
    study: given.Study = None,
    resume: given.Resume = False,
    storage: given.Storage = None,
    tracking_uri: given.TrackingUri = None,
    no_mlflow: given.NoMlflow = False,
    out: given.Out = None,
    imported: given.Import = None,
    seed: given.Seed = 0,
    as_json: given.AsJson = False,
    quiet: given.Quiet = False,
    silent: given.Silent = False,
) -> None:
    """Find the training loss that makes a model best at a metric, and prove it against strong baselines."""
    started = time.monotonic()  # before the imports: a time budget counts them
    from losssearch.api import run
    from losssearch.assembly import Options
    from losssearch.cli.output import write_json
    from losssearch.cli.summary import print_summary
    from losssearch.errors import ConstraintUnmetError, OptionError
    from losssearch.progress import progress
    from losssearch.study.settings import parse_duration

    if data is None and not resume:
        raise OptionError("DATA must be given: a file, builtin:NAME or openml:ID; only --resume --out DIR needs none")
    options = Options(
        data=data,
        target=target,
        metric=metric,
        task=task,
        model=model,
        space=space,
        drop=_listed(drop),
        positive=positive,
        drop_missing_target=drop_missing_target,
        max_rows=max_rows,
        test=test,
        group=group,
        time=time_column,
        split=split,
        time_as_feature=time_as_feature,
        weight=weight,
        data_memory=data_memory,
        sensitive=_listed(sensitive) or None,
        sensitive_as_feature=sensitive_as_feature,
        constraints=tuple(constraint or ()),
        objectives=_listed(objective),
        confidence=confidence,
        group_thresholds=group_thresholds,
        references=not no_references,
        private_epsilon=private_epsilon,
        private_delta=private_delta,
        trials=trials,
        time_budget=parse_duration(time_budget) if time_budget is not None else None,
        epochs=epochs,
        rates=_numbers("--rates", rates),
        draws=draws,
        confirm_seeds=confirm_seeds,
        prefer_known=prefer_known,
        workers=workers,
        ray_address=ray_address,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        memory_per_worker=memory_per_worker,
        device=device,
        study=study,
        resume=resume,
        storage=storage,
        tracking_uri=tracking_uri,
        mlflow=not no_mlflow,
        out=out,
        imports=tuple(imported or ()),
        seed=seed,
        started=started,
        explicit=_explicit(context),
    )
    unmet: ConstraintUnmetError | None = None
    with progress(0 if quiet or silent or as_json else 1) as observer:
        try:
            result = run(options, observer)
        except ConstraintUnmetError as error:
            unmet, result = error, error.result
    if as_json:
        write_json(result.to_json())
    elif not silent:
        print_summary(result.to_json(), result.out)
    if unmet:
        raise unmet


def _explicit(context: typer.Context) -> frozenset[str]:
    """Names of the options that stand on the command line."""
    sources = ((name, context.get_parameter_source(name)) for name in context.params)
    named = (name for name, source in sources if source is not None and source.name != "DEFAULT")
    return frozenset(_OTHER_NAMES.get(name, name) for name in named) - {"as_json", "quiet", "silent"}


def _listed(entries: list[str] | None) -> list[str]:
    """Names given one by one or separated by commas; not by those within parentheses or double quotes."""
    parts = [part.strip() for entry in entries or () for part in _PART.findall(entry)]
    return [name for part in parts if (name := part[1:-1] if part[:1] == part[-1:] == '"' else part)]


def _numbers(option: str, entries: list[str] | None) -> list[float] | None:
    """Numbers that come one by one or separated by commas; None if the option was not given."""
    from losssearch.errors import OptionError

    if entries is None:
        return None
    try:
        return [float(part) for entry in entries for part in entry.split(",")]
    except ValueError:
        raise OptionError(
            f"{option} must be numbers separated by commas, such as 0.001,0.01, got {','.join(entries)!r:.80}"
        ) from None
