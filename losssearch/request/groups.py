"""The options of a search, each written once: what it is called, what it may be, its default and its help.

The groups are also arguments of `losssearch.search`: ``budget=ls.Budget(trials=64, epochs=10)`` says the same as
``trials=64, epochs=10``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losssearch.option_names import option
from losssearch.request import kinds
from losssearch.request.option import Range, asked, documented, options_of

if TYPE_CHECKING:
    from losssearch.data import Data
    from losssearch.data.given_splits import Named
    from losssearch.data.groups import Sensitive
    from losssearch.data.target_columns import TargetName
    from losssearch.evaluation.record import MetricFunction
    from losssearch.models import ModelFactory
    from losssearch.training.user_function import TrainFunction

DATA, SEARCH, FAIRNESS, PRIVACY = "Data and metric", "Search", "Fairness", "Differential privacy"
WORKERS, STUDY = "Workers and device", "Study and output"
"""Panels of the command line's help, in their order."""


@dataclass(frozen=True)
class Question:
    """The data, the metric, the model and the losses that are searched."""

    data: Data | None = asked(
        None,
        "A file (.csv, .csv.gz, .parquet, .arrow, .npz), builtin:NAME or openml:ID. Not needed to resume a study.",
        kinds.DATA,
        more="A data frame, or a pair (X, y) of arrays or tensors.",
        positional=True,
        metavar="DATA",
        panel=DATA,
        resumed="content",
        names_file=True,
        may_hold_rows=True,
    )
    train: TrainFunction | None = asked(
        None,
        "A function train(loss, trial) that trains a model of its own and returns the metric, in place of data.",
        kinds.function("a function of (loss, trial)"),
        more="``trial`` is a `losssearch.TrialHandle`. Needs ``metric``, any name, and ``task``.",
        panel=DATA,
        python_only=True,
        local_only=True,
        resumed="content",
    )
    target: TargetName | None = asked(
        None,
        "Column to predict; several, with commas between them, for a task that reads several.",
        kinds.TARGET,
        more="A list of columns says the same. Not needed for a pair.",
        metavar="COL",
        panel=DATA,
    )
    metric: str | MetricFunction | None = asked(
        None,
        "Metric that matters, such as f1 or rmse. Default: the task's own.",
        kinds.METRIC,
        more="Or a function of (outputs, target) or (outputs, batch) of one model, which may be declared with "
        "`losssearch.metric`.",
        metavar="NAME",
        panel=DATA,
        inferred=True,
    )
    direction: str | None = asked(
        None,
        "Whether a metric of your own is to ``maximize`` or to ``minimize``. Default for a training function: "
        "maximize.",
        kinds.text("'maximize' or 'minimize'"),
        panel=DATA,
        python_only=True,
    )
    task: str | None = asked(
        None,
        "binary, multiclass or regression. Default: inferred from the target.",
        kinds.text("'binary', 'multiclass' or 'regression'"),
        metavar="NAME",
        panel=DATA,
        inferred=True,
    )
    classes: int | None = asked(
        None, "Number of classes in the data of a training function.", kinds.WHOLE, panel=DATA, python_only=True
    )
    class_prior: Sequence[float] | None = asked(
        None,
        "Share of each class in the data of a training function. Default: equal shares.",
        kinds.SHARES,
        panel=DATA,
        python_only=True,
    )
    drop: Sequence[str] = asked(
        (), "Columns that must not be features.", kinds.COLUMNS, metavar="COL[,COL…]", panel=DATA
    )
    positive: object = asked(
        None,
        "Positive class of a binary target. Default: 1, true, yes or the rarer one.",
        kinds.ANYTHING,
        metavar="VALUE",
        panel=DATA,
    )
    drop_missing_target: bool = asked(False, "Leave out rows without a target.", kinds.FLAG, panel=DATA)
    max_rows: int | None = asked(
        None,
        "Use a stratified sample of N rows, 50 or more. Default: all.",
        kinds.WHOLE,
        range=Range(50),
        metavar="N",
        panel=DATA,
    )
    weight: Named | None = asked(
        None,
        "Column of sample weights: a row of weight 2 counts as two; no feature.",
        kinds.NAMED,
        more="Or one weight per row. It counts in training, metrics and intervals. See docs/splits.md.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
    )
    sample_weight: Named | None = asked(
        None,
        f"The same as {option('weight')}, by scikit-learn's name.",
        kinds.NAMED,
        flag="weight",
        panel=DATA,
        python_only=True,
        may_hold_rows=True,
    )
    data_memory: str | None = asked(
        None,
        "Memory for the data, such as 2G. Larger Parquet and Arrow tables are streamed, other files refused. "
        "Default: a quarter of the machine's.",
        kinds.SIZE,
        metavar="SIZE",
        panel=DATA,
        resumed="may change",
    )
    space: str | Path | None = asked(
        None,
        "Search space: a bundled one or a YAML file. Default: the task's own.",
        kinds.SPACE,
        metavar="NAME|FILE",
        panel=SEARCH,
        resumed="content",
        names_file=True,
    )
    model: str | ModelFactory = asked(
        "mlp",
        "linear, mlp, residual_mlp, lightgbm, xgboost, or package.module:factory, a callable of (features, outputs).",
        kinds.MODEL,
        more="Or the callable itself.",
        metavar="NAME|FACTORY",
        panel=SEARCH,
    )
    imports: str | Sequence[str] = asked(
        (),
        "Module of your own that adds terms, weightings, metrics or kinds of task: a name or the path of a .py file. "
        "There may be several.",
        kinds.MODULES,
        more="See docs/extending.md.",
        flag="import",
        metavar="MODULE|FILE.py",
        panel=SEARCH,
        local_only=True,
        resumed="may change",
        names_file=True,
    )
    seed: int = asked(
        0,
        "Same seed, same result, whatever the number of workers.",
        kinds.WHOLE,
        range=Range(0, 1 << 32, open_high=True),
        metavar="N",
        panel=SEARCH,
    )


@dataclass(frozen=True)
class Splits:
    """How the rows are split. See docs/splits.md."""

    test: Data | None = asked(
        None,
        "Rows to test on, with the same columns. Default: a fifth of the data.",
        kinds.MORE_DATA,
        more="Given in the form of ``data``; the other rows are split 75 : 25 into search and confirmation.",
        metavar="FILE",
        panel=DATA,
        resumed="content",
        names_file=True,
        may_hold_rows=True,
    )
    group: Named | None = asked(
        None,
        "Keep rows of one value together, such as those of a patient; no feature.",
        kinds.NAMED,
        more="A column; for a pair one value per row, those of ``test`` last, and likewise ``time`` and ``split``.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
    )
    time: Named | None = asked(
        None,
        "Train on earlier rows, confirm and test on later ones; numbers or dates.",
        kinds.NAMED,
        more="Later rows validate what earlier ones trained. No feature, unless ``time_as_feature``.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
    )
    time_as_feature: bool = asked(
        False, f"Let the model see the column of {option('time')}. Default: it does not.", kinds.FLAG, panel=DATA
    )
    split: Named | None = asked(
        None,
        "Column that says train, validation or test of each row; no feature.",
        kinds.NAMED,
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
    )


@dataclass(frozen=True)
class Budget:
    """How long a search takes, and how surely it decides."""

    trials: int | None = asked(
        None,
        "Losses to try; half of them are baselines. Default: 128, or what the time budget holds.",
        kinds.WHOLE,
        range=Range(2, why=", one for the plain loss and one for the search"),
        metavar="N",
        panel=SEARCH,
        resumed="may change",
    )
    time_budget: str | float | None = asked(
        None,
        "Stop in time to end within this long, such as 10m.",
        kinds.DURATION,
        more="A number is in seconds.",
        metavar="DURATION",
        panel=SEARCH,
        resumed="may change",
    )
    epochs: int | None = asked(
        None,
        "Epochs of each training. Default: from the number of rows.",
        kinds.WHOLE,
        more="20 for a training function.",
        range=Range(1),
        metavar="N",
        panel=SEARCH,
        inferred=True,
    )
    rates: Sequence[float] | None = asked(
        None,
        "Learning rates above 0 that every loss is trained at; the best counts. Default: 0.0005, 0.002, 0.008 and "
        "0.03; of trees 0.05, 0.1 and 0.3; of a front 0.002 and 0.006.",
        kinds.RATES,
        more="A training function chooses its own.",
        metavar="RATE[,RATE…]",
        panel=SEARCH,
    )
    draws: int | None = asked(
        None,
        "Draws of rows and seed on which the search judges each loss, 1 to 1000. Default: 5 below 1,000 rows, "
        "3 below 20,000, 2 below 100,000, else 1.",
        kinds.WHOLE,
        range=Range(1, 1000),
        metavar="N",
        panel=SEARCH,
    )
    confirm_seeds: int = asked(
        5,
        "Fresh seeds and splits that the finalists are trained on for the verdict.",
        kinds.WHOLE,
        range=Range(2, why=" to give an interval"),
        metavar="N",
        panel=SEARCH,
    )
    prefer_known: bool = asked(
        False,
        "Recommend a baseline unless the searched loss is better by more than one standard error.",
        kinds.FLAG,
        panel=SEARCH,
    )


@dataclass(frozen=True)
class Fairness:
    """Groups of people, and what must hold between them. See docs/fairness.md."""

    sensitive: Sensitive | None = asked(
        None,
        "Columns, or cuts such as age>=25, whose groups are to be treated alike; or one number.",
        kinds.SENSITIVE,
        more="No features, unless ``sensitive_as_feature``. For a pair: one label per row.",
        metavar="COL[,COL…]",
        panel=FAIRNESS,
    )
    sensitive_as_feature: bool = asked(
        False, "Let the model see the sensitive columns. Default: it does not.", kinds.FLAG, panel=FAIRNESS
    )
    constraints: str | Sequence[str] = asked(
        (),
        "What must hold between groups, such as 'demographic_parity_difference <= 0.05'.",
        kinds.LIMITS,
        flag="constraint",
        metavar="'GAP <= X'",
        panel=FAIRNESS,
    )
    objectives: Sequence[str] = asked(
        (),
        "A metric and, given again, a gap: draws the whole trade-off of the two.",
        kinds.GOALS,
        flag="objective",
        metavar="NAME",
        panel=FAIRNESS,
    )
    confidence: float = asked(
        0.95,
        "Confidence with which a constraint is to hold on new data.",
        kinds.NUMBER,
        range=Range(0.5, 1, open_high=True),
        metavar="SHARE",
        panel=FAIRNESS,
    )
    group_thresholds: bool = asked(
        False,
        "Tune a threshold for each group too; predictions then need the attribute.",
        kinds.FLAG,
        panel=FAIRNESS,
    )
    references: bool = asked(
        True,
        "Compare with fairlearn's mitigations, which need the extra `fairness`.",
        kinds.FLAG,
        flag="no-references",
        panel=FAIRNESS,
    )


@dataclass(frozen=True)
class Privacy:
    """A final model with differential privacy. See docs/privacy.md."""

    private_epsilon: float | None = asked(
        None,
        "Also train a final model under differential privacy. Needs the extra `private`.",
        kinds.NUMBER,
        more="The model is written to ``export/private_model.safetensors``.",
        metavar="EPSILON",
        panel=PRIVACY,
    )
    private_delta: float = asked(1e-5, "The delta of that promise.", kinds.NUMBER, metavar="DELTA", panel=PRIVACY)


@dataclass(frozen=True)
class Compute:
    """Who trains: workers and devices. See docs/ray.md."""

    workers: int | None = asked(
        None,
        "Ray workers; 0: in this process. Default: all cores, or 0 for a small study.",
        kinds.WHOLE,
        range=Range(0, 4096),
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    ray_address: str | None = asked(
        None,
        "A Ray cluster that runs already.",
        kinds.TEXT,
        metavar="ADDRESS",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    cpus_per_worker: float | None = asked(
        None,
        "Cores that Ray keeps free for each worker.",
        kinds.NUMBER,
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    gpus_per_worker: float | None = asked(
        None,
        "GPUs, or a share of one, for each worker.",
        kinds.NUMBER,
        metavar="N",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    memory_per_worker: str | None = asked(
        None,
        "Memory for each worker, such as 2G.",
        kinds.SIZE,
        metavar="SIZE",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )
    resources: Mapping[str, float | str] | None = asked(
        None,
        "The same three as {'num_cpus': …, 'num_gpus': …, 'memory': …}. Default: what a model factory or training "
        "function has as attributes of these names.",
        kinds.RESOURCES,
        panel=WORKERS,
        python_only=True,
        local_only=True,
        resumed="may change",
    )
    device: str = asked(
        "auto",
        "auto, cpu or cuda.",
        kinds.text("'auto', 'cpu' or 'cuda'"),
        metavar="NAME",
        panel=WORKERS,
        local_only=True,
        resumed="may change",
    )


@dataclass(frozen=True)
class Output:
    """Where a study is kept, and whether an earlier one is resumed."""

    study: str | None = asked(
        None,
        "Name of the study. Default: from data and metric.",
        kinds.TEXT,
        metavar="NAME",
        panel=STUDY,
        resumed="not kept",
    )
    resume: bool = asked(
        False,
        f"Continue the study in {option('out')} (or of {option('study')}), with the options that it was started with.",
        kinds.FLAG,
        more="Data and functions are given again. What is given in addition must be what it was, except for "
        "trials, time "
        "budget, workers, device and stores.",
        panel=STUDY,
        local_only=True,
        resumed="not kept",
    )
    storage: str | None = asked(
        None,
        "Store of the study. Default: study.db in its folder.",
        kinds.URL,
        metavar="URL",
        panel=STUDY,
        local_only=True,
        resumed="may change",
    )
    tracking_uri: str | None = asked(
        None,
        "MLflow store. Default: mlflow.db in the study's folder.",
        kinds.URL,
        metavar="URI",
        panel=STUDY,
        local_only=True,
        resumed="may change",
    )
    mlflow: bool = asked(
        True, "Track the study with MLflow.", kinds.FLAG, flag="no-mlflow", panel=STUDY, resumed="may change"
    )
    out: str | Path | None = asked(
        None,
        "Folder of the study. Default: losssearch-runs/STUDY.",
        kinds.PATH,
        metavar="DIR",
        panel=STUDY,
        local_only=True,
        resumed="not kept",
    )


GROUPS: dict[str, type[Any]] = {
    "splits": Splits,
    "budget": Budget,
    "fairness": Fairness,
    "privacy": Privacy,
    "compute": Compute,
    "output": Output,
}
"""The groups that `losssearch.search` takes, by the name of the argument."""

for _group in GROUPS.values():
    _group.__doc__ = f"{_group.__doc__}\n\nArgs:\n    {documented(options_of(_group), 4)}\n"
