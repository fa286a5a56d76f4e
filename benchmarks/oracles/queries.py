"""Reference values of the losses of ranked queries, by allRank 1.4.3.

    pip install --no-deps allRank==1.4.3 && python -m benchmarks.oracles.queries

Writes ``tests/oracles/queries.json``: lists of scores and grades of different lengths, and what allRank gives for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch

WHERE = Path(__file__).parents[2] / "tests/oracles/queries.json"


def main() -> None:
    """Compute and write the values."""
    for name in ("torchvision", "torchvision.transforms", "gcsfs"):
        sys.modules.setdefault(name, MagicMock())  # for its data loader alone
    import allrank.models.losses as losses  # type: ignore[import-not-found]

    generator = torch.Generator().manual_seed(5)
    cases = []
    for length in (2, 5, 9):
        score = torch.randn(length, generator=generator, dtype=torch.float64)
        grade = torch.randperm(length, generator=generator).double().clamp(max=4)
        distinct = torch.randperm(length, generator=generator).double()
        s, g, d = score[None], grade[None], distinct[None]
        value = {
            "pairwise_logistic": losses.rankNet(s, g),
            "lambda_loss": losses.lambdaLoss(
                s, g, weighing_scheme="lambdaRank_scheme", reduction="sum", reduction_log="natural"
            ).reshape(()),
            "list_net_cross_entropy": losses.listNet(s, g, eps=0.0),
            "list_mle_sum": losses.listMLE(s, d, eps=0.0),
            "approx_ndcg_minus_one": losses.approxNDCGLoss(s, g, alpha=2.0),
        }
        cases.append(
            {
                "score": score.tolist(),
                "grade": grade.tolist(),
                "distinct": distinct.tolist(),
                "value": {name: float(found) for name, found in value.items()},
            }
        )
    WHERE.write_text(json.dumps({"library": "allRank 1.4.3", "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
