"""``losssearch search``: find the loss."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer


def search(
    data: Annotated[
        str, typer.Argument(help="A file (.csv, .csv.gz, .parquet, .arrow, .npz), builtin:NAME or openml:ID.")
    ],
    target: Annotated[str | None, typer.Option(help="Column to predict.", show_default=False)] = None,
    metric: Annotated[str | None, typer.Option(help="Metric that matters. Default: the task's own.")] = None,
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression. Default: from the target.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COL[,COL…]", help="Columns that must not be features.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Positive class of a binary target. Default: 1, true, yes or the rarer.")
    ] = None,
    drop_missing_target: Annotated[
        bool, typer.Option("--drop-missing-target", help="Leave out rows without a target.")
    ] = False,
    max_rows: Annotated[
        int | None, typer.Option(min=50, help="Use a stratified sample of so many rows. Default: all.")
    ] = None,
    data_memory: Annotated[
        str | None,
        typer.Option(metavar="2G", help="Stream a larger Parquet or Arrow table. Default: a quarter of the memory."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.yaml", help="Search space. Default: the task's own.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|package.module:factory",
            help="linear, mlp, residual_mlp, lightgbm, xgboost, or your own factory(features, outputs).",
        ),
    ] = "mlp",
    sensitive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL[,COL…]", help="Columns, or cuts such as age>=25, whose groups are to be treated alike."
        ),
    ] = None,
    sensitive_as_feature: Annotated[
        bool,
        typer.Option("--sensitive-as-feature", help="Let the model see the sensitive columns. Default: it does not."),
    ] = False,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'GAP <= X'", help="What must hold between groups: 'demographic_parity_difference <= 0.05'."
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A metric and, given again, a gap: draws the whole trade-off of the two."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Confidence with which a constraint is to hold on new data.")
    ] = 0.95,
    group_thresholds: Annotated[
        bool,
        typer.Option("--group-thresholds", help="Tune a threshold a group too; predictions then need the attribute."),
    ] = False,
    private_epsilon: Annotated[
        float | None,
        typer.Option(help="Train a final model under differential privacy at this epsilon (extra `private`)."),
    ] = None,
    private_delta: Annotated[float, typer.Option(help="The delta of that promise.")] = 1e-5,
    trials: Annotated[
        int | None,
        typer.Option(help="Losses to try; half of them are baselines. Default: 128, or what the time budget holds."),
    ] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="10m", help="Stop in time to end within this long.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each training. Default: from the number of rows.")
    ] = None,
    confirm_seeds: Annotated[int, typer.Option(help="Fresh seeds and splits of the confirmation.")] = 5,
    workers: Annotated[
        int | None, typer.Option(help="Ray workers; 0: in this process. Default: all cores, or 0 for a small study.")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="A standing Ray cluster.")] = None,
    cpus_per_worker: Annotated[float | None, typer.Option(help="Cores that Ray keeps free for each worker.")] = None,
    gpus_per_worker: Annotated[float | None, typer.Option(help="GPUs, or a share of one, for each worker.")] = None,
    memory_per_worker: Annotated[str | None, typer.Option(metavar="2G", help="Memory for each worker.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    study: Annotated[str | None, typer.Option(help="Name of the study. Default: from data and metric.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was stopped.")] = False,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Store. Default: study.db in the study's folder.")
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow store. Default: mlflow.db in the study's folder.")
    ] = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Do not track with MLflow.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the study. Default: losssearch-runs/STUDY.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same result, whatever the number of workers.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json, and nothing else, on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")] = False,
) -> None:
    """Find the training loss that makes a model best at a metric, and prove it against strong baselines."""
    started = time.monotonic()  # before the imports: a time budget counts them
    from losssearch.api import run
    from losssearch.assembly import Options
    from losssearch.cli.output import write_json
    from losssearch.cli.progress import Progress, interruptible
    from losssearch.cli.summary import print_summary
    from losssearch.errors import ConstraintUnmetError
    from losssearch.search.observer import SilentObserver
    from losssearch.search.settings import parse_duration

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
        data_memory=data_memory,
        sensitive=_listed(sensitive) or None,
        sensitive_as_feature=sensitive_as_feature,
        constraints=tuple(constraint or ()),
        objectives=_listed(objective),
        confidence=confidence,
        group_thresholds=group_thresholds,
        private_epsilon=private_epsilon,
        private_delta=private_delta,
        trials=trials,
        time_budget=parse_duration(time_budget) if time_budget is not None else None,
        epochs=epochs,
        confirm_seeds=confirm_seeds,
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
        seed=seed,
        started=started,
    )
    unmet: ConstraintUnmetError | None = None
    with interruptible(), nullcontext() if quiet or as_json else Progress() as progress:
        try:
            result = run(options, progress or SilentObserver())
        except ConstraintUnmetError as error:
            unmet, result = error, error.result
    if as_json:
        write_json(result.to_json())
    elif not quiet:
        print_summary(result.to_json(), result.out)
    if unmet:
        raise unmet


def _listed(entries: list[str] | None) -> list[str]:
    """Names that may come one by one or parted by commas."""
    return [name.strip() for entry in entries or () for name in entry.split(",") if name.strip()]
