"""Bundles: what is in them, that they are replaced whole, and that reading one trusts nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from losssearch.errors import DataError, InputError, OptionError, SpecError
from losssearch.export import bundle as bundle_module
from losssearch.export.bundle import load_loss, write_bundle
from losssearch.export.facts import LossFacts
from losssearch.export.reading import LARGEST_WEIGHTS
from losssearch.losses.spec import LossSpec

LEARNING = LossSpec.from_json(
    {"parts": [{"term": "general_robust"}, {"term": "squared", "weight": {"learned": "uncertainty"}}]}
)
PLAIN = LossSpec.from_json({"parts": [{"term": "focal", "gamma": 1.5}, {"term": "logit_adjustment"}]})


def write_plain(directory: Path, **more: Any) -> dict[str, Path | None]:
    return write_bundle(directory, PLAIN, task="binary", class_prior=torch.tensor([0.8, 0.2]), **more)


def write_learning(directory: Path) -> dict[str, Path | None]:
    return write_bundle(directory, LEARNING, task="regression", learned={"learned.0_shape": torch.tensor(0.7)})


def test_a_bundle_round_trips(any_facts: LossFacts, tmp_path: Path) -> None:
    paths = write_bundle(
        tmp_path / "export",
        any_facts.spec,
        task=any_facts.task,
        classes=any_facts.classes,
        class_prior=any_facts.class_prior,
        learned=any_facts.learned,
        groups=any_facts.groups,
        target_mean=any_facts.target_mean,
        target_scale=any_facts.target_scale,
    )
    assert (paths["weights"] is not None) == bool(any_facts.arrays())
    loss = load_loss(tmp_path / "export")
    assert loss.spec == any_facts.spec
    expected = any_facts.module()
    torch.testing.assert_close(dict(loss.state_dict()), dict(expected.state_dict()))
    output = torch.linspace(-2, 2, 12).reshape(-1, any_facts.classes if any_facts.task == "multiclass" else 1)
    target = torch.arange(output.shape[0]) % 2
    beside = {"progress": 0.5, "group": target, "features": output, "index": torch.arange(len(target))}
    assert loss(output, target, **beside) == expected(output, target, **beside)


def test_what_a_bundle_holds(tmp_path: Path) -> None:
    metric = {"name": "f1", "direction": "maximize", "unit": ""}
    verdict = "Use the searched loss: +0.009, 95% interval [+0.003, +0.015]"
    paths = write_plain(tmp_path / "b", metric=metric, study="s", verdict_text=verdict, data={"name": "adult | `x`"})
    assert paths == {
        "python": tmp_path / "b/loss.py",
        "spec": tmp_path / "b/loss.json",
        "weights": None,
        "pt2": None,
        "report": None,
    }
    assert {file.name for file in (tmp_path / "b").iterdir()} == {
        "loss.py",
        "loss.json",
        "requirements.txt",
        "MODEL_CARD.md",
    }
    card = (tmp_path / "b/MODEL_CARD.md").read_text(encoding="utf-8")
    assert PLAIN.formula(latex=True) in card
    assert "95% interval" in card
    assert r"adult \| \`x\`" in card
    assert (tmp_path / "b/requirements.txt").read_text().startswith("torch>=")
    assert json.loads((tmp_path / "b/loss.json").read_text())["spec"] == PLAIN.to_json()


def test_the_same_loss_gives_the_same_bytes(tmp_path: Path) -> None:
    write_learning(tmp_path / "a")
    write_learning(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    write_learning(tmp_path / "b")
    write_plain(tmp_path / "b")
    assert not (tmp_path / "b/loss.safetensors").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(("place", "step"), [(os, "fsync"), (Path, "rename")])
def test_a_failure_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, step: str
) -> None:
    write_learning(tmp_path / "b")
    before = {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()}
    real: Callable[..., Any] = getattr(place, step)
    calls = 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, step, failing)
        with pytest.raises(OSError, match="No space left"):
            write_plain(tmp_path / "b")
    assert {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OptionError, match="holds other files and no bundle"):
        write_plain(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OptionError, match="a file or a link"):
        write_plain(tmp_path / "link")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "thesis.tex"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"learned": {"0_shape": float("nan")}}, "0_shape must lie in"),
        ({"learned": {"7_shape": 1.0}}, "this loss learns 0_shape"),
        ({"task": "graphs"}, "the task of an exported loss is binary, "),
        ({"target_scale": 0.0}, "target_scale must lie in"),
        ({"class_prior": [0.5, 0.3, 0.2]}, "must be 2 shares"),
    ],
)
def test_facts_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        write_bundle(tmp_path / "b", LEARNING, **{"task": "regression", **change})
    assert not list(tmp_path.iterdir())


def test_a_loss_that_reads_the_prior_needs_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="reads class_prior"):
        write_bundle(tmp_path / "b", PLAIN, task="binary")


def edit(directory: Path, **changes: Any) -> None:
    file = directory / "loss.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def reweigh(directory: Path, raw: bytes) -> None:
    """Other weights, with a SHA-256 that fits them."""
    (directory / "loss.safetensors").write_bytes(raw)
    edit(directory, weights={"file": "loss.safetensors", "sha256": hashlib.sha256(raw).hexdigest()})


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, ...]]:
        return os.mkdir, ("exploded",)


def link_out(directory: Path, name: str) -> None:
    outside = directory.parent / f"outside-{name}"
    (directory / name).rename(outside)
    (directory / name).symlink_to(outside)


def two_scalars(shape: torch.Tensor) -> bytes:
    names = ("learned.0_shape", "learned.0_log_scale", "learned.1_log_variance")
    return save({name: shape.clone() for name in names})


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (
        lambda d: (d / "loss.safetensors").write_bytes(b"\0" + (d / "loss.safetensors").read_bytes()[1:]),
        "SHA",
    ),
    "no weights": (lambda d: (d / "loss.safetensors").unlink(), "does not exist"),
    "weights outside": (lambda d: edit(d, weights={"file": "../../etc/passwd", "sha256": ""}), "next to it"),
    "weights absolute": (lambda d: edit(d, weights={"file": "/etc/passwd", "sha256": ""}), "next to it"),
    "weights a list": (lambda d: edit(d, weights=[1]), "next to it"),
    "weights left out": (lambda d: edit(d, weights=None), "its weights hold nothing"),
    "weights a link": (lambda d: link_out(d, "loss.safetensors"), "is a link"),
    "spec a link": (lambda d: link_out(d, "loss.json"), "is a link"),
    "spec a pipe": (lambda d: ((d / "loss.json").unlink(), os.mkfifo(d / "loss.json")), "not a plain file"),
    "spec a folder": (lambda d: ((d / "loss.json").unlink(), (d / "loss.json").mkdir()), "not a plain file"),
    "no spec": (lambda d: (d / "loss.json").unlink(), "does not exist"),
    "a pickle": (lambda d: reweigh(d, pickle.dumps(_Bomb())), "no safetensors file"),
    "empty weights": (lambda d: reweigh(d, b""), "no safetensors file"),
    "header too long": (lambda d: reweigh(d, (1 << 62).to_bytes(8, "little") + b"{}"), "no safetensors file"),
    "a large tensor": (lambda d: reweigh(d, two_scalars(torch.zeros(3))), r"must have the shape \[\]"),
    "integers": (lambda d: reweigh(d, two_scalars(torch.tensor(1))), "finite numbers"),
    "not finite": (lambda d: reweigh(d, two_scalars(torch.tensor(float("inf")))), "finite numbers"),
    "other names": (lambda d: reweigh(d, save({"x": torch.tensor(1.0)})), "this loss learns"),
    "huge weights": (lambda d: reweigh(d, bytes(LARGEST_WEIGHTS + 1)), f"at most {LARGEST_WEIGHTS} bytes"),
    "huge spec": (lambda d: (d / "loss.json").write_text('{"a": "' + "x" * (2 << 20) + '"}'), "at most 1048576 bytes"),
    "deep spec": (lambda d: (d / "loss.json").write_text("[" * 200_000), "is not JSON"),
    "deep part": (lambda d: (d / "loss.json").write_text('{"a":' * 900 + "1" + "}" * 900), "something else"),
    "not JSON": (lambda d: (d / "loss.json").write_bytes(b"\xff\xfe\0"), "is not JSON"),
    "not a number": (lambda d: (d / "loss.json").write_text('{"format": NaN}'), "is not JSON"),
    "a long integer": (lambda d: (d / "loss.json").write_text('{"format": ' + "9" * 9999 + "}"), "is not JSON"),
    "another format": (lambda d: edit(d, format="x"), "something else"),
    "a later version": (lambda d: edit(d, format_version=2), "format_version 2"),
    "unknown term": (lambda d: edit(d, spec={"parts": [{"term": "os.system"}]}), "unknown term"),
    "number out of range": (lambda d: edit(d, spec={"parts": [{"term": "huber", "delta": 1e300}]}), "must lie in"),
    "spec a list": (lambda d: edit(d, spec=[]), "a loss spec is an object"),
    "classes a word": (lambda d: edit(d, classes="many"), "classes must be a whole number"),
    "target a list": (lambda d: edit(d, target=[1, 2]), "target must be an object"),
    "target scale zero": (lambda d: edit(d, target={"mean": 0, "scale": 0}), "target_scale must lie in"),
    "prior a word": (lambda d: edit(d, class_prior="half"), "list of shares"),
    "metric a list": (lambda d: edit(d, metric=["f1"]), "must be an object"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_bundle_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_learning(tmp_path / "b")
    assert load_loss(tmp_path / "b/loss.json").spec == LEARNING
    spoil, rule = SPOILED[name]
    spoil(tmp_path / "b")
    with pytest.raises(InputError, match=rule) as caught:
        load_loss(tmp_path / "b")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("path", ["nowhere", "nul\0byte"])
def test_no_bundle_there(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError):
        load_loss(f"{tmp_path}/{path}")


def test_the_module_names_what_it_gives() -> None:
    assert set(bundle_module.__all__) == {"load_loss", "read_bundle", "write_bundle"}
