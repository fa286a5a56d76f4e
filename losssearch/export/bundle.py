"""The bundle: everything that a user needs to train with a searched loss, in one directory.

``loss.json`` (spec and facts) and ``loss.safetensors`` (learned scalars, where there are any) are what
`load_loss` reads; ``loss.py`` stands alone. A bundle is written next to its place and moved there as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from losssearch import __version__
from losssearch.data.target_columns import Moments
from losssearch.errors import OptionError
from losssearch.export.card import model_card
from losssearch.export.facts import LossFacts
from losssearch.export.reading import FORMAT, FORMAT_VERSION, SPEC_FILE, WEIGHTS_FILE, load_loss, read_bundle
from losssearch.export.source import loss_source
from losssearch.export.writing import replace_folder
from losssearch.losses.spec import LossSpec

__all__ = ["load_loss", "read_bundle", "write_bundle"]

REQUIREMENTS = "torch>=2.2\n"


def write_bundle(directory: Path | str, spec: LossSpec, **facts: Any) -> dict[str, Path | None]:
    """Write the bundle of ``spec`` to ``directory``, replacing a bundle that is there as a whole.

    ``facts`` are those of `bundle_files`. Returns the paths under ``python``, ``spec``, ``weights``, ``pt2`` and
    ``report``, None for what the bundle does not hold.

    Raises `OptionError` if ``directory`` holds something else than a bundle, `SpecError` if a fact is
    missing or does not fit the spec. Nothing is left half-written.
    """
    files = bundle_files(spec, **facts)
    place = Path(directory)
    refuse_others(place)
    replace_folder(place, files)
    return bundle_paths(place, files)


def bundle_files(
    spec: LossSpec,
    *,
    task: str,
    classes: int = 2,
    class_prior: Tensor | Sequence[float] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
    metric: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    study: str = "",
    verdict_text: str = "",
    target_mean: Moments = 0.0,
    target_scale: Moments = 1.0,
    groups: int = 0,
) -> dict[str, bytes]:
    """The files of the bundle of ``spec``, by name.

    ``class_prior`` [classes] is the share of each class in the searched data, None for regression;
    ``learned`` what the loss has learned, by the names in the composed loss's state, initial values
    where missing; ``metric`` and ``data`` those of ``result.json``; ``target_mean`` and
    ``target_scale`` the searched data's standardisation, in the target's own units, one per target
    column; ``groups`` how many sensitive groups there are.

    Raises `SpecError` if a fact is missing or does not fit the spec.
    """
    prior = None if class_prior is None else tuple(torch.as_tensor(class_prior, dtype=torch.float32).detach().tolist())
    facts = LossFacts(
        spec=spec,
        task=task,
        classes=classes,
        class_prior=prior,
        learned={name: torch.as_tensor(value).detach() for name, value in (learned or {}).items()},
        metric=dict(metric or {}),
        study=study,
        data=dict(data or {}),
        verdict_text=verdict_text,
        target_mean=target_mean,
        target_scale=target_scale,
        version=__version__,
        groups=groups,
    )
    weights = _weights(facts)
    files = {
        "loss.py": loss_source(facts).encode(),
        SPEC_FILE: _spec_json(facts, weights),
        "requirements.txt": REQUIREMENTS.encode(),
        "MODEL_CARD.md": model_card(facts).encode(),
    }
    if weights is not None:
        files[WEIGHTS_FILE] = weights
    return files


def bundle_paths(place: Path, files: Collection[str]) -> dict[str, Path | None]:
    """Where a bundle's ``files`` lie in ``place``, under the names that `write_bundle` gives."""
    return {
        "python": place / "loss.py",
        "spec": place / SPEC_FILE,
        "weights": place / WEIGHTS_FILE if WEIGHTS_FILE in files else None,
        "pt2": None,
        "report": None,
    }


def _weights(facts: LossFacts) -> bytes | None:
    arrays = facts.arrays()
    return save(arrays) if arrays else None


def _spec_json(facts: LossFacts, weights: bytes | None) -> bytes:
    digest = None if weights is None else {"file": WEIGHTS_FILE, "sha256": hashlib.sha256(weights).hexdigest()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": facts.version,
        "task": facts.task,
        "classes": facts.classes if facts.kind.nominal else None,
        "class_prior": facts.class_prior,
        "groups": facts.groups,
        "target": None if facts.kind.nominal else {"mean": facts.target_mean, "scale": facts.target_scale},
        "formula": facts.spec.formula(),
        "spec": facts.spec.to_json(),
        "weights": digest,
        "metric": facts.metric,
        "data": facts.data,
        "study": facts.study,
        "verdict": facts.verdict_text,
    }
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def refuse_others(place: Path) -> None:
    """Raise `OptionError` if a place holds something else than a bundle."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise OptionError(f"a bundle is a directory of its own, got {place}, which is a file or a link")
    if place.is_dir() and any(place.iterdir()) and not (place / SPEC_FILE).is_file():
        raise OptionError(f"{place} holds other files and no bundle; give an empty or a new directory")
