"""Every metric there is, with its direction, tasks, unit and what is tuned for it after training."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from losssearch.errors import OptionError
from losssearch.evaluation import calibration, confusion, multiclass, prior_shift, ranking, regression, shift
from losssearch.evaluation import temperature as tempering
from losssearch.evaluation.measure import Summed, mean
from losssearch.evaluation.record import Direction, Metric, MetricFamily
from losssearch.evaluation.threshold import fit_threshold

BINARY = frozenset({"binary"})
MULTICLASS = frozenset({"multiclass"})
REGRESSION = frozenset({"regression"})


def _decision(name: str, direction: Direction, unit: str, quality: confusion.Quality) -> Metric:
    fit = partial(fit_threshold, quality=quality, sign=1.0 if direction == "maximize" else -1.0)
    return Metric(name, direction, BINARY, unit, "threshold", Summed(False, confusion.counts, quality), fit)


def _cost(fp: float, fn: float) -> Metric:
    if not (0 <= fp < math.inf and 0 <= fn < math.inf and fp + fn > 0):
        raise OptionError(f"cost needs finite fp and fn of at least 0, one of them above 0; got fp={fp:g}, fn={fn:g}")
    metric = _decision(f"cost(fp={fp:g},fn={fn:g})", "minimize", "cost a sample", partial(confusion.cost, fp=fp, fn=fn))
    return replace(metric, aims=(("ratio", fn / fp),)) if fp > 0 and fn > 0 else metric


def _pinball(q: float) -> Metric:
    if not 0 < q < 1:
        raise OptionError(f"pinball needs a quantile q between 0 and 1, both excluded; got q={q:g}")
    function = Summed(False, partial(regression.pinball, q=q), mean)
    fit = partial(shift.fit_quantile, q=q)
    return Metric(
        f"pinball(q={q:g})", "minimize", REGRESSION, "units of the target", "shift", function, fit, aims=(("q", q),)
    )


METRICS: tuple[Metric, ...] = (
    _decision("accuracy", "maximize", "share", confusion.accuracy),
    _decision("balanced_accuracy", "maximize", "share", confusion.balanced_accuracy),
    _decision("f1", "maximize", "share", confusion.f1),
    _decision("mcc", "maximize", "correlation", confusion.mcc),
    Metric("roc_auc", "maximize", BINARY, "share", "none", ranking.Ranked(False, ranking.roc_area)),
    Metric("average_precision", "maximize", BINARY, "share", "none", ranking.Ranked(False, ranking.precision_area)),
    Metric(
        name="log_loss",
        direction="minimize",
        tasks=BINARY,
        unit="nats",
        adjustment="temperature",
        function=Summed(False, calibration.binary_log_loss, mean),
        fit=tempering.fit_binary_log_loss,
    ),
    Metric(
        name="brier",
        direction="minimize",
        tasks=BINARY,
        unit="squared probability",
        adjustment="temperature",
        function=Summed(False, calibration.brier, mean),
        fit=tempering.fit_brier,
    ),
    Metric(
        name="ece",
        direction="minimize",
        tasks=BINARY,
        unit="probability",
        adjustment="temperature",
        function=Summed(False, calibration.binary_bins, calibration.calibration_error),
        fit=tempering.fit_binary_log_loss,
    ),
    Metric("accuracy", "maximize", MULTICLASS, "share", "none", Summed(True, multiclass.accuracy, mean)),
    Metric(
        name="balanced_accuracy",
        direction="maximize",
        tasks=MULTICLASS,
        unit="share",
        adjustment="prior_shift",
        function=Summed(True, multiclass.by_label, multiclass.balanced_accuracy),
        fit=prior_shift.fit_balanced_accuracy,
    ),
    Metric(
        name="macro_f1",
        direction="maximize",
        tasks=MULTICLASS,
        unit="share",
        adjustment="prior_shift",
        function=Summed(True, multiclass.by_label_and_prediction, multiclass.macro_f1),
        fit=prior_shift.fit_macro_f1,
    ),
    Metric(
        name="worst_class_recall",
        direction="maximize",
        tasks=MULTICLASS,
        unit="share",
        adjustment="prior_shift",
        function=Summed(True, multiclass.by_label, multiclass.worst_class_recall),
        fit=prior_shift.fit_worst_class_recall,
    ),
    Metric(
        name="log_loss",
        direction="minimize",
        tasks=MULTICLASS,
        unit="nats",
        adjustment="temperature",
        function=Summed(True, calibration.multiclass_log_loss, mean),
        fit=tempering.fit_multiclass_log_loss,
    ),
    Metric(
        name="ece",
        direction="minimize",
        tasks=MULTICLASS,
        unit="probability",
        adjustment="temperature",
        function=Summed(True, calibration.top_label_bins, calibration.calibration_error),
        fit=tempering.fit_multiclass_log_loss,
    ),
    Metric(
        name="rmse",
        direction="minimize",
        tasks=REGRESSION,
        unit="units of the target",
        adjustment="shift",
        function=Summed(False, regression.squared, regression.root_mean),
        fit=shift.fit_mean,
    ),
    Metric(
        name="mae",
        direction="minimize",
        tasks=REGRESSION,
        unit="units of the target",
        adjustment="shift",
        function=Summed(False, regression.absolute, mean),
        fit=partial(shift.fit_quantile, q=0.5),
    ),
    Metric(
        name="medae",
        direction="minimize",
        tasks=REGRESSION,
        unit="units of the target",
        adjustment="shift",
        function=regression.MedianAbsolute(False),
        fit=shift.fit_shortest_half,
    ),
    Metric(
        name="mape",
        direction="minimize",
        tasks=REGRESSION,
        unit="share of the target",
        adjustment="shift",
        function=Summed(False, regression.relative, mean),
        fit=shift.fit_relative,
        nonzero=True,
    ),
    Metric(
        name="poisson_deviance",
        direction="minimize",
        tasks=REGRESSION,
        unit="deviance",
        adjustment="shift",
        function=Summed(False, regression.poisson_deviance, mean),
        fit=shift.fit_poisson,
        lowest=0.0,
        grain=regression.LEAST_COUNT,
    ),
    Metric(
        name="r2",
        direction="maximize",
        tasks=REGRESSION,
        unit="share of variance",
        adjustment="shift",
        function=Summed(False, regression.squared_and_spread, regression.r2),
        fit=shift.fit_mean,
    ),
)

FAMILIES: tuple[MetricFamily, ...] = (
    MetricFamily("cost", ("fp", "fn"), "cost(fp=1,fn=5)", BINARY, _cost),
    MetricFamily("pinball", ("q",), "pinball(q=0.9)", REGRESSION, _pinball),
)
