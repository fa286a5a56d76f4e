"""Numbers of coral-pytorch 1.4.0 that ordinal terms must equal.

In an environment of its own, with torch, from the repository::

    pip install coral-pytorch==1.4.0
    python benchmarks/oracles/ordinal.py > tests/oracles/ordinal.json
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
from coral_pytorch.dataset import levels_from_labelbatch
from coral_pytorch.losses import coral_loss, corn_loss

ROWS, GRADES = 24, 5


def main() -> None:
    """Print the numbers."""
    random = np.random.default_rng(23)
    score = torch.tensor(random.normal(size=ROWS).round(3) * 2)
    offsets = torch.tensor([1.5, 0.5, -0.25, -2.0], dtype=torch.float64)
    cuts = torch.tensor(2 * random.normal(size=(ROWS, GRADES - 1)).round(3))
    grade = torch.tensor(random.integers(GRADES, size=ROWS))
    levels = levels_from_labelbatch(grade, GRADES, dtype=torch.float64)
    numbers = {
        "library": "coral-pytorch 1.4.0",
        "score": score.tolist(),
        "offsets": offsets.tolist(),
        "cut_logits": cuts.tolist(),
        "grade": grade.tolist(),
        "coral": coral_loss(score[:, None] + offsets, levels, reduction=None).tolist(),
        "corn": float(corn_loss(cuts, grade, GRADES)),
        "asked": int(sum(int((grade >= k).sum()) for k in range(GRADES - 1))),
    }
    json.dump(numbers, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
