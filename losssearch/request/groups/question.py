"""The data, the metric, the model and the losses that are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from losssearch.option_names import option
from losssearch.request import kinds
from losssearch.request.groups.panels import DATA, SEARCH
from losssearch.request.option import Range, asked

if TYPE_CHECKING:
    from losssearch.data import Data
    from losssearch.data.given_splits import Named
    from losssearch.data.target_columns import TargetName
    from losssearch.evaluation.record import MetricFunction
    from losssearch.models import ModelFactory
    from losssearch.training.user_function import TrainFunction


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
        local_only=True,
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
        local_only=False,
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
        local_only=False,
    )
    direction: str | None = asked(
        None,
        "Whether a metric of your own is to ``maximize`` or to ``minimize``. Default for a training function: "
        "maximize.",
        kinds.text("'maximize' or 'minimize'"),
        panel=DATA,
        python_only=True,
        local_only=True,
    )
    task: str | None = asked(
        None,
        "Kind of task: binary, multiclass or regression, which the target suggests by default; distribution, count, "
        "survival, ordinal or ranking.",
        kinds.text("the name of a kind of task, such as 'regression'"),
        metavar="NAME",
        panel=DATA,
        inferred=True,
        local_only=False,
    )
    classes: int | None = asked(
        None,
        "Number of classes in the data of a training function.",
        kinds.WHOLE,
        panel=DATA,
        python_only=True,
        local_only=True,
    )
    class_prior: Sequence[float] | None = asked(
        None,
        "Share of each class in the data of a training function. Default: equal shares.",
        kinds.SHARES,
        panel=DATA,
        python_only=True,
        local_only=True,
    )
    drop: Sequence[str] = asked(
        (), "Columns that must not be features.", kinds.COLUMNS, metavar="COL[,COL…]", panel=DATA, local_only=False
    )
    positive: object = asked(
        None,
        "Positive class of a binary target. Default: 1, true, yes or the rarer one.",
        kinds.ANYTHING,
        metavar="VALUE",
        panel=DATA,
        local_only=False,
    )
    drop_missing_target: bool = asked(
        False, "Leave out rows without a target.", kinds.FLAG, panel=DATA, local_only=False
    )
    max_rows: int | None = asked(
        None,
        "Use a stratified sample of N rows, 50 or more. Default: all.",
        kinds.WHOLE,
        range=Range(50),
        metavar="N",
        panel=DATA,
        local_only=False,
    )
    weight: Named | None = asked(
        None,
        "Column of sample weights: a row of weight 2 counts as two; no feature.",
        kinds.NAMED,
        more="Or one weight per row. It counts in training, metrics and intervals. See docs/splits.md.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )
    sample_weight: Named | None = asked(
        None,
        f"The same as {option('weight')}, by scikit-learn's name.",
        kinds.NAMED,
        flag="weight",
        panel=DATA,
        python_only=True,
        may_hold_rows=True,
        local_only=True,
    )
    exposure: Named | None = asked(
        None,
        "Column that says how long, or how much, each row was observed, for counts; no feature.",
        kinds.NAMED,
        more="Or one number above 0 per row.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )
    query: Named | None = asked(
        None,
        "Column of the query that each row belongs to, for tasks that order rows within queries; no feature.",
        kinds.NAMED,
        more="Or one value per row.",
        metavar="COL",
        panel=DATA,
        may_hold_rows=True,
        local_only=False,
    )
    data_memory: str | None = asked(
        None,
        "Memory for the data, such as 2G. Larger Parquet and Arrow tables are streamed, other files refused. "
        "Default: a quarter of the machine's.",
        kinds.SIZE,
        metavar="SIZE",
        panel=DATA,
        resumed="may change",
        local_only=True,
    )
    space: str | Path | None = asked(
        None,
        "Search space: a bundled one or a YAML file. Default: auto, the task's own, with losses against wrong labels "
        "where the labels look wrong.",
        kinds.SPACE,
        metavar="NAME|FILE",
        panel=SEARCH,
        resumed="content",
        names_file=True,
        local_only=False,
    )
    space_text: str | None = asked(
        None,
        f"Search space as YAML text of at most 64 kB, in place of {option('space')}.",
        kinds.TEXT,
        panel=SEARCH,
        python_only=True,
        resumed="content",
        local_only=False,
    )
    warm_start: Literal["library"] | None = asked(
        None,
        "library: first try the losses that your earlier studies of the same task confirmed, those on the most similar "
        "data; at most 8.",
        kinds.LIBRARY,
        more=f"From the store of {option('storage')}, else from the folders next to the study's own.",
        metavar="library",
        panel=SEARCH,
        local_only=True,
    )
    model: str | ModelFactory = asked(
        "mlp",
        "linear, mlp, residual_mlp, lightgbm, xgboost, or package.module:factory, a callable of (features, outputs).",
        kinds.MODEL,
        more="Or the callable itself.",
        metavar="NAME|FACTORY",
        panel=SEARCH,
        local_only=False,
    )
    imports: str | Path | Sequence[str | Path] = asked(
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
        local_only=False,
    )
