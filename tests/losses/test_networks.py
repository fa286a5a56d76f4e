"""Losses that are networks: what the shipped arrays ask of a model, arrays of a user's own, and which are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import losssearch as ls
from losssearch.data.batch import Sizes
from losssearch.errors import DataError, SpecError
from losssearch.export.bundle import write_bundle
from losssearch.losses import arrays
from losssearch.losses.arrays import FOLDER, add_array, array_named, hash_of, read_array, write_array
from losssearch.losses.learned.network import OF_CLASSES, OF_NUMBERS, SIZE, network_loss
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.space import load_space_text

DONE = (0.0, 0.5, 1.0)


@pytest.fixture(autouse=True)
def _own_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_own", {})


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, str]:
    """A file with an array of a user's own, and its name."""
    array = array_named(OF_CLASSES) * 0.9
    return tmp_path / "own.safetensors", write_array(tmp_path / "own.safetensors", array)


def test_the_arrays_that_come_with_it_are_what_their_names_say() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert {OF_CLASSES, OF_NUMBERS} <= {file.stem for file in files}
    for file in files:
        assert hash_of(read_array(file, sha256=file.stem, size=SIZE)) == file.stem


@pytest.mark.parametrize("done", DONE)
@pytest.mark.parametrize("label", [-1.0, 1.0])
def test_a_larger_margin_never_costs_more(label: float, done: float) -> None:
    margins = torch.linspace(-8, 8, 161, dtype=torch.float64)
    parameters, at = array_named(OF_CLASSES), torch.tensor(done)
    values = network_loss(margins, torch.full_like(margins, label), at, parameters)
    assert bool((values.diff() < 0).all())
    slope = values.diff() / margins.diff()
    assert slope[:60].mean() < 0.5 * slope[80:].mean() < 0, "wrong samples must count more than those that are right"


@pytest.mark.parametrize("done", DONE)
def test_predictions_are_pulled_to_their_targets(done: float) -> None:
    """The least value lies within a tenth of a standard deviation of the target, and the loss rises from there."""
    parameters, at = array_named(OF_NUMBERS), torch.tensor(done)
    for target in torch.linspace(-2, 2, 9, dtype=torch.float64):
        off = torch.linspace(-4, 4, 321, dtype=torch.float64)
        values = network_loss(target + off, target.expand_as(off), at, parameters)
        least = off[values.argmin()]
        assert abs(float(least)) <= 0.1, float(target)
        assert bool((values[off <= -0.1].diff() < 0).all())
        assert bool((values[off >= 0.1].diff() > 0).all())


REFUSED: dict[str, tuple[dict[str, Tensor] | bytes, dict[str, Any], str]] = {
    "hash": ({"parameters": torch.zeros(SIZE)}, {"sha256": "0" * 64}, "must have the SHA-256 '000"),
    "type": ({"parameters": torch.zeros(SIZE).double()}, {}, "must hold float32 numbers, got float64"),
    "shape": ({"parameters": torch.zeros(SIZE, 1)}, {}, r"must have one dimension, got the shape \[1841, 1\]"),
    "nan": ({"parameters": torch.full((SIZE,), torch.nan)}, {}, "must hold finite numbers, got 1841 that are not"),
    "name": ({"weights": torch.zeros(SIZE)}, {}, "must hold one tensor called parameters, got 'weights'"),
    "pickle": (b"\x80\x04}q\x00.", {}, "must be a safetensors file"),
    "large": (b"0" * ((1 << 20) + 1), {}, "must have at most 1048576 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_breaks_a_rule_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    content, more, message = REFUSED[case]
    file = tmp_path / "bad.safetensors"
    file.write_bytes(content if isinstance(content, bytes) else save(content))
    with pytest.raises(DataError, match=message) as raised:
        add_array(file, **more)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a file that can be read: No such file"):
        add_array(tmp_path / "none.safetensors")
    with pytest.raises(DataError, match="must be a file that can be read: Is a directory"):
        add_array(tmp_path)


def test_a_damaged_file_of_the_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "FOLDER", tmp_path)
    monkeypatch.setattr(arrays, "_known", {})
    write_array(tmp_path / f"{OF_CLASSES}.safetensors", torch.zeros(SIZE))
    with pytest.raises(DataError, match="it is another array or damaged"):
        ls.compose({"parts": [{"term": "network"}]})


def test_an_array_that_is_not_known_or_of_another_size_is_refused(tmp_path: Path) -> None:
    def made(name: object) -> None:
        ls.compose({"parts": [{"term": "network", "array": name}]})

    with pytest.raises(SpecError, match=r"the array 000000000000… is not known here: give its file to ls\.add_array"):
        made("0" * 64)
    with pytest.raises(SpecError, match=r"network.array is the SHA-256 of an array, 64 .* got '\.\./\.\./secret'"):
        made("../../secret")
    small = write_array(tmp_path / "small.safetensors", torch.zeros(10))
    assert ls.add_array(tmp_path / "small.safetensors") == small
    with pytest.raises(SpecError, match=r"network\.array must be an array of 1841 numbers, got 10"):
        made(small)


def test_a_space_and_a_population_have_several_arrays(own: tuple[Path, str]) -> None:
    file, name = own
    assert ls.add_array(file, sha256=name) == name
    text = f"{{task: binary, slots: {{base: {{terms: {{network: {{array: [{OF_CLASSES}, {name}]}}}}}}}}}}"
    (domains,) = load_space_text(text).slots[0].terms.values()
    assert domains["array"].options == (OF_CLASSES, name)
    specs = [LossSpec.from_json({"parts": [{"term": "network", "array": one}]}) for one in (name, OF_CLASSES, name)]
    assert specs[0].key != specs[1].key
    assert specs[0].formula() == f"network(array={name[:8]})"
    outputs = torch.randn(1, 3, 9, generator=torch.Generator().manual_seed(0)).expand(1, 3, 9)
    batch = {"target": (torch.arange(9) % 2)[None]}
    values = PopulationLoss(specs, sizes=Sizes(2))(outputs, batch, {}, torch.zeros(1, 3, 0), 0.3)
    for place, spec in enumerate(specs):
        alone = ls.compose(spec)(outputs[0, place], batch["target"][0], progress=0.3)
        torch.testing.assert_close(values[0, place], alone)
    assert abs(float(ls.compose(specs[0])(outputs[0, 1], batch["target"][0]) - values[0, 1])) > 1e-4


def test_a_bundle_brings_its_array_along(own: tuple[Path, str], tmp_path: Path) -> None:
    """Read in a process that was never told of the array; exchanged for another, it is refused."""
    file, name = own
    ls.add_array(file)
    spec = LossSpec.from_json({"parts": [{"term": "network", "array": name}]})
    write_bundle(tmp_path / "bundle", spec, task="binary", class_prior=[0.5, 0.5])
    script = "import losssearch as ls, torch; print(float(ls.load_loss('bundle')(torch.ones(3), torch.ones(3).long())))"
    read, ran = (
        subprocess.run([sys.executable, *given], cwd=place, capture_output=True, text=True, check=False)
        for given, place in ((["-c", script], tmp_path), (["loss.py"], tmp_path / "bundle"))
    )
    assert read.returncode == 0, read.stderr
    expected = ls.compose(spec)(torch.ones(3), torch.ones(3).long())
    assert float(read.stdout) == pytest.approx(float(expected), rel=1e-6)
    assert ran.returncode == 0, ran.stdout + ran.stderr
