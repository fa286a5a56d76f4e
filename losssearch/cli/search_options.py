"""The options of ``losssearch search``: what each takes, and what the help says of it. Defaults are in the command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DATA, SEARCH, FAIRNESS, PRIVACY = "Data and metric", "Search", "Fairness", "Differential privacy"
WORKERS, STUDY = "Workers and device", "Study and output"
"""Panels of the help, in the order in which the command names their first options."""

Data: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        show_default=False,
        help="A file (.csv, .csv.gz, .parquet, .arrow, .npz), builtin:NAME or openml:ID. Not needed to --resume.",
    ),
]
Target: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="Column to predict; several, with commas between them, for a task that reads several.",
        rich_help_panel=DATA,
    ),
]
Metric: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Metric that matters, such as f1 or rmse. Default: the task's own.",
        rich_help_panel=DATA,
    ),
]
Task: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="binary, multiclass or regression. Default: inferred from the target.",
        rich_help_panel=DATA,
    ),
]
Drop: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="COL[,COL…]", help="Columns that must not be features.", rich_help_panel=DATA),
]
Positive: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE",
        help="Positive class of a binary target. Default: 1, true, yes or the rarer one.",
        rich_help_panel=DATA,
    ),
]
DropMissingTarget: TypeAlias = Annotated[
    bool, typer.Option("--drop-missing-target", help="Leave out rows without a target.", rich_help_panel=DATA)
]
MaxRows: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=50, help="Use a stratified sample of so many rows. Default: all.", rich_help_panel=DATA
    ),
]
Test: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Rows to test on, with the same columns. Default: a fifth of the data.",
        rich_help_panel=DATA,
    ),
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="Keep rows of one value together, such as those of a patient; no feature.",
        rich_help_panel=DATA,
    ),
]
TimeColumn: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="COL",
        help="Train on earlier rows, confirm and test on later ones; numbers or dates.",
        rich_help_panel=DATA,
    ),
]
TimeAsFeature: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--time-as-feature",
        help="Let the model see the column of --time. Default: it does not.",
        rich_help_panel=DATA,
    ),
]
Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="Column that says train, validation or test of each row; no feature.",
        rich_help_panel=DATA,
    ),
]
Weight: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="Column of sample weights: a row of weight 2 counts as two; no feature.",
        rich_help_panel=DATA,
    ),
]
DataMemory: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory for the data, such as 2G. Larger Parquet and Arrow tables are streamed, other files refused. "
        "Default: a quarter of the machine's.",
        rich_help_panel=DATA,
    ),
]
Space: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Search space: a bundled one or a YAML file. Default: the task's own.",
        rich_help_panel=SEARCH,
    ),
]
Model: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME|FACTORY",
        help="linear, mlp, residual_mlp, lightgbm, xgboost, or package.module:factory, a callable of "
        "(features, outputs).",
        rich_help_panel=SEARCH,
    ),
]
Sensitive: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COL[,COL…]",
        help="Columns, or cuts such as age>=25, whose groups are to be treated alike; or one number.",
        rich_help_panel=FAIRNESS,
    ),
]
SensitiveAsFeature: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--sensitive-as-feature",
        help="Let the model see the sensitive columns. Default: it does not.",
        rich_help_panel=FAIRNESS,
    ),
]
Constraint: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'GAP <= X'",
        help="What must hold between groups, such as 'demographic_parity_difference <= 0.05'.",
        rich_help_panel=FAIRNESS,
    ),
]
Objective: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A metric and, given again, a gap: draws the whole trade-off of the two.",
        rich_help_panel=FAIRNESS,
    ),
]
Confidence: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Confidence with which a constraint is to hold on new data.", rich_help_panel=FAIRNESS
    ),
]
GroupThresholds: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--group-thresholds",
        help="Tune a threshold a group too; predictions then need the attribute.",
        rich_help_panel=FAIRNESS,
    ),
]
NoReferences: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-references",
        help="Do not set fairlearn's mitigations beside. Default: where the extra `fairness` is installed.",
        rich_help_panel=FAIRNESS,
    ),
]
PrivateEpsilon: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="EPSILON",
        help="Also train a final model under differential privacy. Needs the extra `private`.",
        rich_help_panel=PRIVACY,
    ),
]
PrivateDelta: TypeAlias = Annotated[
    float, typer.Option(metavar="DELTA", help="The delta of that promise.", rich_help_panel=PRIVACY)
]
Trials: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Losses to try; half of them are baselines. Default: 128, or what the time budget holds.",
        rich_help_panel=SEARCH,
    ),
]
TimeBudget: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Stop in time to end within this long, such as 10m.", rich_help_panel=SEARCH),
]
Epochs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Epochs of each training. Default: from the number of rows.",
        rich_help_panel=SEARCH,
    ),
]
Rates: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RATE[,RATE…]",
        help="Learning rates above 0 that every loss is trained at; the best counts. Default: 0.0005, 0.002, 0.008 "
        "and 0.03; of trees 0.05, 0.1 and 0.3; of a front 0.002 and 0.006.",
        rich_help_panel=SEARCH,
    ),
]
Draws: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Draws of rows and seed on which the search judges each loss, 1 to 1000. Default: 5 below 1,000 rows, "
        "3 below 20,000, 2 below 100,000, else 1.",
        rich_help_panel=SEARCH,
    ),
]
ConfirmSeeds: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Fresh seeds and splits that the finalists are trained on for the verdict.",
        rich_help_panel=SEARCH,
    ),
]
PreferKnown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--prefer-known",
        help="Recommend a baseline unless the searched loss is better by more than one standard error.",
        rich_help_panel=SEARCH,
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Ray workers; 0: in this process. Default: all cores, or 0 for a small study.",
        rich_help_panel=WORKERS,
    ),
]
RayAddress: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster that runs already.", rich_help_panel=WORKERS)
]
CpusPerWorker: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="N", help="Cores that Ray keeps free for each worker.", rich_help_panel=WORKERS),
]
GpusPerWorker: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="N", help="GPUs, or a share of one, for each worker.", rich_help_panel=WORKERS),
]
MemoryPerWorker: TypeAlias = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory for each worker, such as 2G.", rich_help_panel=WORKERS)
]
Device: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.", rich_help_panel=WORKERS)]
Study: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the study. Default: from data and metric.", rich_help_panel=STUDY),
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the study in --out (or of --study), with the options that it was started with.",
        rich_help_panel=STUDY,
    ),
]
Storage: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Store of the study. Default: study.db in its folder.", rich_help_panel=STUDY),
]
TrackingUri: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URI", help="MLflow store. Default: mlflow.db in the study's folder.", rich_help_panel=STUDY),
]
NoMlflow: TypeAlias = Annotated[
    bool, typer.Option("--no-mlflow", help="Do not track with MLflow.", rich_help_panel=STUDY)
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the study. Default: losssearch-runs/STUDY.", rich_help_panel=STUDY),
]
Import: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE|FILE.py",
        help="Module of your own that adds terms, weightings, metrics or kinds of task; may be given again.",
        rich_help_panel=SEARCH,
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option(metavar="N", help="Same seed, same result, whatever the number of workers.", rich_help_panel=SEARCH),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print result.json, and nothing else, on stdout.", rich_help_panel=STUDY)
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option("--quiet", help="No progress and no notes; leaderboard and verdict are shown.", rich_help_panel=STUDY),
]
Silent: TypeAlias = Annotated[
    bool, typer.Option("--silent", help="Print errors alone, and what --json asks for.", rich_help_panel=STUDY)
]
