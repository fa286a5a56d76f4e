"""``losssearch search``: find the loss."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

DATA, SEARCH, FAIRNESS, PRIVACY = "Data and metric", "Search", "Fairness", "Differential privacy"
WORKERS, STUDY = "Workers and device", "Study and output"
"""Panels of the help, in the order in which their first options stand below."""


_PART = re.compile(r'(?:"[^"]*"|\((?:[^()]|\([^()]*\))*\)|[^,])+')


def search(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A file (.csv, .csv.gz, .parquet, .arrow, .npz), builtin:NAME or openml:ID."
        ),
    ],
    target: Annotated[str | None, typer.Option(metavar="COL", help="Column to predict.", rich_help_panel=DATA)] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric that matters, such as f1 or rmse. Default: the task's own.",
            rich_help_panel=DATA,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="binary, multiclass or regression. Default: inferred from the target.",
            rich_help_panel=DATA,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COL[,COL…]", help="Columns that must not be features.", rich_help_panel=DATA),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Positive class of a binary target. Default: 1, true, yes or the rarer one.",
            rich_help_panel=DATA,
        ),
    ] = None,
    drop_missing_target: Annotated[
        bool, typer.Option("--drop-missing-target", help="Leave out rows without a target.", rich_help_panel=DATA)
    ] = False,
    max_rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=50, help="Use a stratified sample of so many rows. Default: all.", rich_help_panel=DATA
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Rows to test on, with the same columns. Default: a fifth of the data.",
            rich_help_panel=DATA,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Keep rows of one value together, such as those of a patient; no feature.",
            rich_help_panel=DATA,
        ),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="COL",
            help="Train on earlier rows, confirm and test on later ones; numbers or dates.",
            rich_help_panel=DATA,
        ),
    ] = None,
    time_as_feature: Annotated[
        bool,
        typer.Option(
            "--time-as-feature",
            help="Let the model see the column of --time. Default: it does not.",
            rich_help_panel=DATA,
        ),
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column that says train, validation or test of each row; no feature.",
            rich_help_panel=DATA,
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of sample weights: a row of weight 2 counts as two; no feature.",
            rich_help_panel=DATA,
        ),
    ] = None,
    data_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Stream a Parquet or Arrow table larger than this, such as 2G. Default: a quarter of the memory.",
            rich_help_panel=DATA,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Search space: a bundled one or a YAML file. Default: the task's own.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FACTORY",
            help="linear, mlp, residual_mlp, lightgbm, xgboost, or package.module:factory, a callable of "
            "(features, outputs).",
            rich_help_panel=SEARCH,
        ),
    ] = "mlp",
    sensitive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL[,COL…]",
            help="Columns, or cuts such as age>=25, whose groups are to be treated alike; or one number.",
            rich_help_panel=FAIRNESS,
        ),
    ] = None,
    sensitive_as_feature: Annotated[
        bool,
        typer.Option(
            "--sensitive-as-feature",
            help="Let the model see the sensitive columns. Default: it does not.",
            rich_help_panel=FAIRNESS,
        ),
    ] = False,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'GAP <= X'",
            help="What must hold between groups, such as 'demographic_parity_difference <= 0.05'.",
            rich_help_panel=FAIRNESS,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A metric and, given again, a gap: draws the whole trade-off of the two.",
            rich_help_panel=FAIRNESS,
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Confidence with which a constraint is to hold on new data.", rich_help_panel=FAIRNESS
        ),
    ] = 0.95,
    group_thresholds: Annotated[
        bool,
        typer.Option(
            "--group-thresholds",
            help="Tune a threshold a group too; predictions then need the attribute.",
            rich_help_panel=FAIRNESS,
        ),
    ] = False,
    no_references: Annotated[
        bool,
        typer.Option(
            "--no-references",
            help="Do not set fairlearn's mitigations beside. Default: where the extra `fairness` is installed.",
            rich_help_panel=FAIRNESS,
        ),
    ] = False,
    private_epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="EPSILON",
            help="Also train a final model under differential privacy. Needs the extra `private`.",
            rich_help_panel=PRIVACY,
        ),
    ] = None,
    private_delta: Annotated[
        float, typer.Option(metavar="DELTA", help="The delta of that promise.", rich_help_panel=PRIVACY)
    ] = 1e-5,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Losses to try; half of them are baselines. Default: 128, or what the time budget holds.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Stop in time to end within this long, such as 10m.", rich_help_panel=SEARCH
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Epochs of each training. Default: from the number of rows.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    confirm_seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Fresh seeds and splits that the finalists are trained on for the verdict.",
            rich_help_panel=SEARCH,
        ),
    ] = 5,
    prefer_known: Annotated[
        bool,
        typer.Option(
            "--prefer-known",
            help="Recommend a baseline unless the searched loss is better by more than one standard error.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Ray workers; 0: in this process. Default: all cores, or 0 for a small study.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster that runs already.", rich_help_panel=WORKERS)
    ] = None,
    cpus_per_worker: Annotated[
        float | None,
        typer.Option(metavar="N", help="Cores that Ray keeps free for each worker.", rich_help_panel=WORKERS),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(metavar="N", help="GPUs, or a share of one, for each worker.", rich_help_panel=WORKERS),
    ] = None,
    memory_per_worker: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory for each worker, such as 2G.", rich_help_panel=WORKERS)
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.", rich_help_panel=WORKERS)] = "auto",
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the study. Default: from data and metric.", rich_help_panel=STUDY),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a study that was stopped.", rich_help_panel=STUDY)
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Store of the study. Default: study.db in its folder.", rich_help_panel=STUDY),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow store. Default: mlflow.db in the study's folder.", rich_help_panel=STUDY
        ),
    ] = None,
    no_mlflow: Annotated[
        bool, typer.Option("--no-mlflow", help="Do not track with MLflow.", rich_help_panel=STUDY)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the study. Default: losssearch-runs/STUDY.", rich_help_panel=STUDY),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", help="Same seed, same result, whatever the number of workers.", rich_help_panel=SEARCH
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print result.json, and nothing else, on stdout.", rich_help_panel=STUDY)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.", rich_help_panel=STUDY)] = False,
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
    """Names that may come one by one or parted by commas; not by those within parentheses or double quotes."""
    parts = [part.strip() for entry in entries or () for part in _PART.findall(entry)]
    return [name for part in parts if (name := part[1:-1] if part[:1] == part[-1:] == '"' else part)]
