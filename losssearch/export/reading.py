"""Reading a bundle from an untrusted source: only JSON and safetensors, nothing is executed or unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from losssearch.errors import DataError, SpecError, shown
from losssearch.export.facts import ROWS, STATE, LossFacts
from losssearch.losses.arrays import enter_array, hash_of
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.domains import MOST_MEMORY
from losssearch.losses.spec import LossSpec
from losssearch.losses.term import TermReduction

FORMAT = "losssearch-loss"
FORMAT_VERSION = 1
SPEC_FILE = "loss.json"
WEIGHTS_FILE = "loss.safetensors"

ARRAY = "array"
"""The hyperparameter of a term that names an array."""

LARGEST_SPEC = 1 << 20
"""Bytes. A spec of eight parts and its facts need a few thousand."""
LARGEST_WEIGHTS = 4 * MOST_MEMORY + (1 << 20)
"""Bytes: all numbers that a loss may learn, and their names."""


def load_loss(path: Path | str, *, reduction: TermReduction = "mean", rows: int = ROWS) -> ComposedLoss:
    """Load an exported loss as a module, with its learned parameters. Nothing is executed or unpickled.

    Args:
        path: the bundle's folder, or its ``loss.json``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over samples.
        rows: how many training rows your data has, for a loss that keeps something for each of them; it is then called
            with ``index=``, the numbers of the samples among them.

    Returns:
        The loss, called as ``loss(output, target, weight=…, progress=…)``. It takes logits ``[N]`` or ``[N, classes]``
        and labels ``[N]``, or predictions ``[N]`` and standardised targets ``[N]``.

    Raises:
        DataError: a file is missing, a symbolic link, too large, corrupted or of another format.
        SpecError: the spec breaks a rule.

    Example:
        >>> import torch
        >>> import losssearch as ls
        >>> from losssearch.export.bundle import write_bundle
        >>> from losssearch.losses.spec import LossSpec
        >>> spec = LossSpec.from_json({"parts": [{"term": "focal", "gamma": 2.0}]})
        >>> _ = write_bundle("my_loss", spec, task="multiclass", classes=3)
        >>> loss = ls.load_loss("my_loss", reduction="none")
        >>> loss(torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 0]))
        tensor([0.0109, 0.9635])
    """
    return read_bundle(path).module(reduction, rows)


def read_bundle(path: Path | str) -> LossFacts:
    """Read everything that a bundle states about its loss; raises the same errors as `load_loss`."""
    place = Path(path)
    file = place / SPEC_FILE if place.is_dir() else place
    content = _json(file)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f'{file} must be a loss bundle with "format": "{FORMAT}"; this file is something else')
    if content.get("format_version") != FORMAT_VERSION:
        found = content.get("format_version")
        raise DataError(f"{file} has format_version {found!r:.40}; this losssearch reads {FORMAT_VERSION}")
    try:
        return _facts(file, content)
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise DataError(f"{file} breaks the bundle's format: {_one_line(error)}") from None


def _facts(file: Path, content: dict[str, Any]) -> LossFacts:
    _enter_arrays(file, content)
    spec = LossSpec.from_json(content.get("spec"))
    learned = _learned(file, content.get("weights"))
    target = _mapping(file, content, "target") or {"mean": 0.0, "scale": 1.0}
    if set(target) != {"mean", "scale"}:
        raise DataError(f"{file}: target must have a mean and a scale, got {shown(target)}")
    prior = content.get("class_prior")
    if prior is not None and not (isinstance(prior, list) and all(map(_is_share, prior))):
        raise DataError(f"{file}: class_prior must be a list of shares in [0, 1]")
    facts = LossFacts(
        spec=spec,
        task=str(content.get("task")),
        classes=2 if content.get("classes") is None else content["classes"],
        class_prior=None if prior is None else tuple(float(p) for p in prior),
        learned=learned,
        metric=_mapping(file, content, "metric"),
        study=str(content.get("study", "")),
        data=_mapping(file, content, "data"),
        verdict_text=str(content.get("verdict", "")),
        target_mean=target["mean"],
        target_scale=target["scale"],
        version=str(content.get("version", "")),
        groups=0 if content.get("groups") is None else content["groups"],
    )
    if not set(learned) >= {
        f"learned.{kept.key}" for kept in facts.kept() if kept.state.optimised or kept.state.by_validation
    }:
        names = ", ".join(facts.learned) or "nothing"
        raise SpecError(f"{file}: this loss learns {names}, and its weights hold {', '.join(learned) or 'nothing'}")
    return facts


def _enter_arrays(file: Path, content: Mapping[str, Any]) -> None:
    """Let this process know the frozen arrays that a bundle brings along, which its spec names by their hash."""
    spec = content.get("spec")
    parts = spec.get("parts") if isinstance(spec, dict) else None
    named = {part.get(ARRAY) for part in parts if isinstance(part, dict)} if isinstance(parts, list) else set()
    if named - {None}:
        for name, tensor in _tensors(file, content.get("weights")).items():
            if name.startswith(STATE) and hash_of(tensor) in named:
                enter_array(tensor)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _mapping(file: Path, content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise DataError(f"{file}: {key} must be an object")
    return value


def _learned(file: Path, weights: Any) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in _tensors(file, weights).items() if not name.startswith(STATE)}


def _tensors(file: Path, weights: Any) -> dict[str, Tensor]:
    if weights is None:
        return {}
    if not isinstance(weights, dict) or weights.get("file") != WEIGHTS_FILE:
        raise DataError(f'{file}: weights must name the file "{WEIGHTS_FILE}" next to it')
    place = file.with_name(WEIGHTS_FILE)
    raw = _bytes(place, LARGEST_WEIGHTS)
    if hashlib.sha256(raw).hexdigest() != weights.get("sha256"):
        raise DataError(f"{place} is not the file that {SPEC_FILE} names: its SHA-256 differs; export the loss again")
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} is no safetensors file: {_one_line(error)}") from None
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise DataError(f"{place}: {name} must hold finite numbers, got {tensor.dtype} of {list(tensor.shape)}")
    return tensors


def _json(file: Path) -> Any:
    raw = _bytes(file, LARGEST_SPEC)
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {_one_line(error)}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _bytes(file: Path, largest: int) -> bytes:
    """The content of a regular file of at most ``largest`` bytes; a link in its place is not followed."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise DataError(f"{file} does not exist; a bundle is a directory with {SPEC_FILE}") from None
    except (OSError, ValueError) as error:
        why = "is a link" if _is_link(file) else f"cannot be read: {_one_line(error)}"
        raise DataError(f"{file} {why}; a bundle holds plain files") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{file} is not a plain file; a bundle holds plain files")
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            raw = stream.read(largest + 1)
    finally:
        os.close(descriptor)
    if len(raw) > largest:
        raise DataError(f"{file} must have at most {largest} bytes, and has more")
    return raw


def _is_link(file: Path) -> bool:
    try:
        return file.is_symlink()
    except (OSError, ValueError):
        return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
