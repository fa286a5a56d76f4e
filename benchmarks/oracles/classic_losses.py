"""Values of losses by kornia 0.8.1, timm 1.0.31, netcal 1.4.0 and balanced-loss 0.1.1.

    pip install --no-deps kornia==0.8.1 timm==1.0.31 netcal==1.4.0 balanced-loss==0.1.1
    python -m benchmarks.oracles.classic_losses tests/oracles/classic_losses.json

Single files of the libraries are loaded, since their packages need more than these losses do.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, ROWS = 4, 30


def loaded(package: str, file: str, *stubs: str) -> Any:
    """A single file of an installed package as a module; ``stubs``: modules that it imports in vain."""
    for stub in stubs:
        sys.modules.setdefault(stub, types.ModuleType(stub))
    path = Path(str(distribution(package).locate_file(file)))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kornia_loss(name: str, residual: torch.Tensor) -> list[float]:
    """The loss of each residual at unit scale."""
    checks = types.ModuleType("kornia.core.check")
    for check in ("KORNIA_CHECK", "KORNIA_CHECK_IS_TENSOR", "KORNIA_CHECK_SAME_DEVICE", "KORNIA_CHECK_SAME_SHAPE"):
        setattr(checks, check, lambda *_, **__: True)
    core = types.ModuleType("kornia.core")
    core.Module, core.Tensor = torch.nn.Module, torch.Tensor  # type: ignore[attr-defined]
    sys.modules.update({"kornia": types.ModuleType("kornia"), "kornia.core": core, "kornia.core.check": checks})
    module = loaded("kornia", f"kornia/losses/{name}.py")
    return [float(v) for v in getattr(module, f"{name}_loss")(residual, torch.zeros_like(residual), "none")]


def netcal_mmce(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The maximum mean calibration error, of which ours is the square."""
    from netcal.metrics.confidence.MMCE import MMCE

    return float(MMCE().measure(probabilities, labels))


def main(file: str) -> None:
    """Write inputs and values."""
    random = np.random.default_rng(11)
    logits, labels = 2 * random.normal(size=(ROWS, CLASSES)), random.integers(CLASSES, size=ROWS)
    residual = 4 * random.standard_t(2, size=ROWS)
    logit, positive = 2 * random.normal(size=ROWS), random.integers(2, size=ROWS)
    found: dict[str, Any] = {
        "made_by": __doc__.strip().splitlines()[0] if __doc__ else "",
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "residual": residual.tolist(),
        "logit": logit.tolist(),
        "positive": positive.tolist(),
    }
    at_unit = torch.from_numpy(residual)
    found |= {name: kornia_loss(name, at_unit) for name in ("cauchy", "welsch", "geman_mcclure")}
    asymmetric = loaded("timm", "timm/loss/asymmetric_loss.py").AsymmetricLossMultiLabel(
        gamma_neg=4, gamma_pos=1, clip=0.05, reduction="none"
    )
    given = torch.from_numpy(logit)[:, None], torch.from_numpy(positive)[:, None]
    found["asymmetric"] = asymmetric(*given).flatten().tolist()
    balanced = loaded("balanced-loss", "balanced_loss/losses.py").Loss(
        loss_type="cross_entropy", beta=0.999, samples_per_class=[600, 250, 100, 50], class_balanced=True
    )
    rows = [balanced(torch.from_numpy(z)[None], torch.tensor([y])) for z, y in zip(logits, labels, strict=True)]
    found["class_balanced"] = [float(v) for v in rows]
    found["mmce"] = netcal_mmce(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels)
    Path(file).write_text(json.dumps(found, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
