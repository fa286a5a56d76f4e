"""Numbers of lifelines 0.30.3, scikit-survival 0.28.0 and torchsurv 0.2.0 that survival terms and metrics must equal.

In an environment of its own, from the repository::

    pip install lifelines==0.30.3 scikit-survival==0.28.0 torchsurv==0.2.0
    python benchmarks/oracles/survival.py > tests/oracles/survival.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

ROWS = 40


def rows() -> dict[str, Any]:
    """Times with ties among events and among censored rows, and the outputs of a model."""
    random = np.random.default_rng(17)
    risk = random.normal(size=ROWS).round(3)
    time = np.clip((8 * random.exponential(np.exp(-risk / 2))).round(), 1, 25)
    event = (random.random(ROWS) < 0.65).astype(float)
    return {"risk": risk.tolist(), "time": time.tolist(), "event": event.tolist()}


def partial_likelihoods(given: dict[str, Any]) -> dict[str, float]:
    """torchsurv's negative partial likelihood, summed over events, by ties."""
    import torch
    from torchsurv.loss.cox import neg_partial_log_likelihood

    risk, time = torch.tensor(given["risk"], dtype=torch.float64), torch.tensor(given["time"], dtype=torch.float64)
    event = torch.tensor(given["event"]) > 0
    return {
        ties: float(neg_partial_log_likelihood(risk, event, time, ties_method=ties, reduction="sum"))
        for ties in ("efron", "breslow")
    }


def accelerated(given: dict[str, Any]) -> dict[str, dict[str, float]]:
    """lifelines' fits of one distribution to all times: its location and scale of log time, and its likelihood."""
    from lifelines import LogLogisticFitter, LogNormalFitter, WeibullFitter

    time, event = np.array(given["time"]), np.array(given["event"])
    normal = LogNormalFitter().fit(time, event)
    weibull = WeibullFitter().fit(time, event)
    logistic = LogLogisticFitter().fit(time, event)
    return {
        "aft_normal": {
            "location": float(normal.mu_),
            "scale": float(normal.sigma_),
            "log_likelihood": float(normal.log_likelihood_),
        },
        "aft_weibull": {
            "location": float(np.log(weibull.lambda_)),
            "scale": float(1 / weibull.rho_),
            "log_likelihood": float(weibull.log_likelihood_),
        },
        "aft_logistic": {
            "location": float(np.log(logistic.alpha_)),
            "scale": float(1 / logistic.beta_),
            "log_likelihood": float(logistic.log_likelihood_),
        },
    }


def concordances(given: dict[str, Any]) -> dict[str, float]:
    """scikit-survival's concordance index of risks without and with ties."""
    from sksurv.metrics import concordance_index_censored

    event, time, risk = np.array(given["event"]) > 0, np.array(given["time"]), np.array(given["risk"])
    return {
        "plain": float(concordance_index_censored(event, time, risk)[0]),
        "rounded": float(concordance_index_censored(event, time, risk.round())[0]),
    }


def brier(given: dict[str, Any]) -> dict[str, Any]:
    """scikit-survival's Brier scores of exponential survival curves, weighted by the inverse of censoring."""
    from sksurv.metrics import brier_score, integrated_brier_score
    from sksurv.util import Surv

    event, time, risk = np.array(given["event"]) > 0, np.array(given["time"]), np.array(given["risk"])
    seen = Surv.from_arrays(event, time)
    times = [2.0, 3.5, 5.0, 6.0, 9.0, 12.0]
    curves = np.exp(-np.outer(np.exp(risk), np.array(times)) / 12)
    return {
        "times": times,
        "baseline": 12.0,
        "scores": brier_score(seen, seen, curves, times)[1].tolist(),
        "integrated": float(integrated_brier_score(seen, seen, curves, times)),
    }


def main() -> None:
    """Print the numbers."""
    given = rows()
    numbers = {
        "libraries": "lifelines 0.30.3, scikit-survival 0.28.0, torchsurv 0.2.0",
        "rows": given,
        "partial_likelihood": partial_likelihoods(given),
        "accelerated": accelerated(given),
        "concordance": concordances(given),
        "brier": brier(given),
    }
    json.dump(numbers, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
