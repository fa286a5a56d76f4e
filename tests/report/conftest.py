"""Results and trials as a study leaves them, made up; fields as the contract of ``result.json`` has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from losssearch.losses.spec import LossSpec
from losssearch.storage.records import TrialRecord, TrialState


def summary(mean: float, spread: float = 0.004) -> dict[str, Any]:
    values = [mean + spread * step for step in (-1.2, -0.4, 0.1, 0.5, 1.0)]
    centre = sum(values) / 5
    std = math.sqrt(sum((value - centre) ** 2 for value in values) / 4)
    return {"mean": centre, "std": std, "values": values}


def spec_json(*parts: dict[str, Any], decision: str = "tuned") -> dict[str, Any]:
    return LossSpec.from_json({"parts": list(parts), "decision": decision}).to_json()


BASELINES = {
    "binary": {
        "cross_entropy": ("binary_cross_entropy", 0.671),
        "cross_entropy_tuned": ("binary_cross_entropy", 0.702),
        "weighted_cross_entropy": ("weighted_cross_entropy", 0.699),
        "focal": ("focal", 0.704),
        "label_smoothing": ("cross_entropy", 0.700),
        "logit_adjustment": ("logit_adjustment", 0.701),
        "generalised_cross_entropy": ("generalised_cross_entropy", 0.31),
    },
    "regression": {
        "mse": ("squared", 0.412),
        "absolute": ("absolute", 0.371),
        "huber": ("huber", 0.382),
        "tukey_biweight": ("tukey_biweight", 9.7),
    },
}


def entry(name: str, spec: dict[str, Any], mean: float) -> dict[str, Any]:
    return {
        "name": name,
        "spec": spec,
        "formula": LossSpec.from_json(spec).formula(),
        "weights_in_export": False,
        "validation": summary(mean + 0.004),
        "test": summary(mean),
        "constraints": [],
    }


def a_result(task: str = "binary", *, recommended: str = "searched") -> dict[str, Any]:
    binary = task == "binary"
    if binary:
        spec = spec_json(
            {"term": "focal", "gamma": 1.62, "weight": 0.7, "reduction": {"cvar": 0.45}, "scale": 0.31},
            {"term": "soft_f1", "weight": 0.3, "scale": 0.12},
        )
    else:
        spec = spec_json({"term": "huber", "delta": 0.4, "scale": 0.3})
    searched = entry("searched-41", spec, 0.713 if binary else 0.365)
    baselines = [
        entry(name, spec_json({"term": term}, decision="fixed" if i == 0 else "tuned"), mean)
        for i, (name, (term, mean)) in enumerate(BASELINES[task].items())
    ]
    against = "focal" if binary else "absolute"
    best = searched if recommended == "searched" else next(b for b in baselines if b["name"] == against)
    return {
        "study": "adult-f1",
        "task": task,
        "metric": {
            "name": "f1" if binary else "mae",
            "direction": "maximize" if binary else "minimize",
            "unit": "" if binary else "100 000 dollars",
        },
        "constraints": [],
        "data": {
            "name": "adult" if binary else "california_housing",
            "rows": {"train": 23_442, "validation": 5_861, "confirmation": 9_769, "test": 9_770},
            "features": 14,
            "fingerprint": "9f2c7e11ab034d5c",
            "classes": ["<=50K", ">50K"] if binary else [],
            "notes": ["fnlwgt: taken as a number"],
        },
        "seed": 0,
        "version": "0.1.0",
        "model": "mlp",
        "best": {**best, "groups": {}},
        "searched": searched,
        "baselines": baselines,
        "verdict": {
            "recommended": recommended,
            "against": against,
            "difference": 0.009 if binary else 0.006,
            "interval": [0.003, 0.015],
            "level": 0.95,
            "test": "paired bootstrap over rows and seeds",
            "text": (
                f"Use the searched loss: it beats the best baseline, {against}; on confirmation the searched loss "
                "differs from it by +0.0085 (standard error 0.002), on test by +0.009, 95% interval [+0.003, +0.015]; "
                "above zero is better"
                if recommended == "searched"
                else f"Use the baseline {against}: the search found nothing reliably better; on test +0.0001"
            ),
        },
        "ablation": [
            {"part": LossSpec.from_json({"parts": [part]}).formula(), "difference": 0.004, "interval": [0.001, 0.007]}
            for part in spec["parts"]
        ],
        "trials": {
            "total": 128,
            "completed": 61,
            "pruned": 52,
            "rejected": 4,
            "duplicate": 3,
            "equivalent": 2,
            "failed": 6,
        },
        "timing": {
            "total_s": 341.2,
            "search_s": 221.7,
            "training_s": 205.4,
            "confirmation_s": 104.9,
            "trials_per_minute": 34.6,
        },
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "losssearch", "run_id": "a1b2c3"},
        "export": {
            "python": "export/loss.py",
            "spec": "export/loss.json",
            "weights": None,
            "pt2": None,
            "report": None,
        },
    }


def standing(limit: float, test: float, *, floor: float | None = None) -> dict[str, Any]:
    """An entry of ``constraints`` in a result."""
    found = {
        "name": "demographic_parity_difference",
        "op": "<=",
        "limit": limit,
        "validation": test - 0.002,
        "confirmation": {"value": test + 0.001, "bound": test + 0.02, "status": "met", "level": 0.95},
        "test": test,
        "test_values": [test - 0.001, test + 0.001],
        "met": test <= limit,
    }
    if floor is None:
        return found
    return found | {"noise_floor": {"mean": floor / 2, "quantile": floor, "verifiable": floor <= limit}}


def a_fair_result(*, limit: float = 0.05, floor: float = 0.012) -> dict[str, Any]:
    """A binary study under one constraint: cross-entropy alone breaks the limit."""
    result = a_result("binary")
    result["constraints"] = [f"demographic_parity_difference <= {limit}"]
    result["data"] |= {"sensitive": ["sex"], "sensitive_as_feature": False, "groups": {"F": 400, "M": 600}}
    gaps = {"cross_entropy": 0.19, "focal": 0.04}
    for baseline in result["baselines"]:
        baseline["constraints"] = [standing(limit, gaps.get(baseline["name"], 0.03))]
    result["baselines"][0]["test"] = summary(0.76)
    result["searched"]["constraints"] = [standing(limit, 0.021)]
    estimate = {"value": 0.25, "low": 0.2, "high": 0.3}
    fields = ("base_rate", "selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy")
    rows = [
        {"group": name, "rows": count} | dict.fromkeys((*fields, "calibration"), estimate)
        for name, count in (("F", 400), ("M", 600))
    ]
    rows[0]["precision"] = {"value": None, "low": None, "high": None}
    result["best"] |= {"constraints": [standing(limit, 0.021, floor=floor)], "groups": {"test": rows}}
    return result


def some_trials(result: dict[str, Any], count: int = 128) -> list[TrialRecord]:
    """Baselines first, then candidates that improve slowly, with every state among them."""
    sign = 1 if result["metric"]["direction"] == "maximize" else -1
    level = result["best"]["validation"]["mean"]
    baselines = result["baselines"]
    states = [TrialState.COMPLETED, TrialState.PRUNED, TrialState.COMPLETED, TrialState.PRUNED, TrialState.COMPLETED]
    trials = []
    for number in range(count):
        wave = abs(math.sin(number * 12.9898)) ** 1.5
        value = level - sign * (0.002 + 0.05 * wave * (1 - 0.6 * number / count))
        if number < len(baselines):
            base = baselines[number]
            trials.append(
                _trial(number, "baseline", base["name"], base["spec"], TrialState.COMPLETED, base["validation"]["mean"])
            )
            continue
        state = states[number % 5]
        if number % 23 == 0:
            state = TrialState.FAILED
        elif number % 29 == 0:
            state = TrialState.DUPLICATE
        elif number % 31 == 0:
            state = TrialState.REJECTED
        trials.append(_trial(number, "searched", f"searched-{number}", result["searched"]["spec"], state, value))
    return trials


def _trial(number: int, origin: str, name: str, spec: dict[str, Any], state: TrialState, value: float) -> TrialRecord:
    return TrialRecord(
        number=number,
        origin=origin,
        name=name,
        spec=spec,
        key=LossSpec.from_json(spec).key,
        state=state,
        value=value if state is TrialState.COMPLETED else None,
        values=(value,) if state is TrialState.COMPLETED else (),
        rungs=((2, value),) if state in (TrialState.COMPLETED, TrialState.PRUNED) else (),
        reason="the loss became infinite" if state is TrialState.FAILED else "",
    )


@pytest.fixture
def make_result() -> Callable[..., dict[str, Any]]:
    return a_result


@pytest.fixture
def make_fair_result() -> Callable[..., dict[str, Any]]:
    return a_fair_result


@pytest.fixture
def make_trials() -> Callable[..., list[TrialRecord]]:
    return some_trials
