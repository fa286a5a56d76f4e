"""Replicas: shapes, units, and the tensors that belong together."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from losssearch.data import Dataset, Draw, Replicas, draws, load, make_replicas, partition
from losssearch.errors import OptionError


def dataset_of(task: str, rows: int = 300) -> Dataset:
    generator = np.random.default_rng(5)
    frame = pd.DataFrame({"a": generator.normal(size=rows), "b": generator.choice(list("uvwxyz"), rows)})
    frame["y"] = {
        "binary": (np.arange(rows) % 4 == 0).astype(int),
        "multiclass": np.arange(rows) % 3,
        "regression": 100 + 7 * frame["a"] + np.arange(rows) / 9,
    }[task]
    return load(frame, target="y", task=task)


def replicas_of(dataset: Dataset, count: int = 4) -> Replicas:
    parts = partition(dataset, 0)
    drawn = draws(dataset, parts.search, seed=0, count=count, purpose="search")
    return make_replicas(dataset, drawn, {"confirmation": parts.confirmation, "test": parts.test})


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3), ("regression", 0)])
def test_shapes_and_types(task: str, classes: int) -> None:
    dataset = dataset_of(task)
    replicas = replicas_of(dataset)
    parts = partition(dataset, 0)
    train, validation, width = replicas.train["target"].shape[1], replicas.validation["target"].shape[1], replicas.width
    assert len(parts.search) - 5 <= train + validation <= len(parts.search)
    assert replicas.train["features"].shape == (4, train, width)
    assert replicas.validation["features"].shape == (4, validation, width)
    assert replicas.held["test"]["features"].shape == (4, len(parts.test), width)
    assert replicas.held["confirmation"]["target"].shape == (4, len(parts.confirmation))
    known = {"class_prior"} if classes else {"target_mean", "target_scale", "zero"}
    assert set(replicas.facts) == known
    assert all(value.shape == ((4, classes) if classes else (4,)) for value in replicas.facts.values())
    assert (replicas.count, replicas.classes, len(replicas.seeds)) == (4, classes, 4)
    narrow = replicas.facts["class_prior" if classes else "zero"]
    assert replicas.train["features"].dtype == narrow.dtype == torch.float32
    assert replicas.train["target"].dtype == (torch.float32 if task == "regression" else torch.int64)
    wide = torch.float64 if task == "regression" else torch.int64
    assert replicas.held["test"]["target"].dtype == replicas.validation["target"].dtype == wide


def test_rows_and_targets_stay_together() -> None:
    dataset = dataset_of("regression")
    parts = partition(dataset, 0)
    replicas = replicas_of(dataset)
    mean, scale = replicas.facts["target_mean"][:, None], replicas.facts["target_scale"][:, None]
    for held in replicas.held.values():
        assert held["target"].shape[0] == 4
    restored = mean + scale * replicas.held["test"]["target"]
    np.testing.assert_allclose(restored, np.tile(dataset.target[parts.test], (4, 1)), rtol=1e-5)
    # Normal scores keep the order of column a, so ranks tell whether features follow their rows.
    order = dataset.features["a"].to_numpy()[parts.test].argsort()
    assert (replicas.held["test"]["features"][0, order, 0].diff() >= 0).all()


def test_a_regression_target_is_standardised_by_the_training_rows() -> None:
    dataset = dataset_of("regression", rows=2000)
    replicas = replicas_of(dataset)
    torch.testing.assert_close(replicas.train["target"].mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(replicas.train["target"].std(1, correction=0), torch.ones(4), atol=1e-5, rtol=0)
    assert (replicas.validation["target"].mean(1) != 0).all()


def test_the_zero_of_the_target_is_where_it_is_standardised_to() -> None:
    replicas = replicas_of(dataset_of("regression"))
    own = replicas.facts["target_mean"] + replicas.facts["target_scale"] * replicas.facts["zero"]
    torch.testing.assert_close(own, torch.zeros_like(own), rtol=0, atol=1e-4)
    assert replicas.take([1]).facts["zero"] == replicas.facts["zero"][1]
    assert "zero" not in replicas_of(dataset_of("binary")).facts


def test_class_priors_are_shares_of_the_training_rows() -> None:
    replicas = replicas_of(dataset_of("binary", rows=2000))
    torch.testing.assert_close(replicas.facts["class_prior"][:, 1], replicas.train["target"].float().mean(1))
    torch.testing.assert_close(replicas.facts["class_prior"].sum(1), torch.ones(4))


def test_narrower_draws_end_in_zeros_and_longer_ones_are_cut() -> None:
    frame = pd.DataFrame({"a": np.arange(80) % 7, "b": ["u", "v"] * 20 + ["w", "x"] * 20, "y": np.arange(80) % 2})
    dataset = load(frame, target="y")
    narrow = Draw(np.arange(40), np.arange(40, 60), 1)
    wide = Draw(np.arange(10, 79), np.arange(10), 2)
    replicas = make_replicas(dataset, [narrow, wide])
    assert replicas.train["features"].shape == (2, 40, 5)
    assert replicas.validation["features"].shape == (2, 10, 5)
    assert (replicas.train["features"][0, :, 3:] == 0).all()
    # Categories that training never saw have no indicator.
    assert (replicas.validation["features"][0, :, 1:] == 0).all()
    assert (replicas.train["features"][1, :, 1:].sum(1) == 1).all()


def test_a_replica_does_not_depend_on_its_neighbours() -> None:
    dataset = dataset_of("multiclass", rows=2000)
    drawn = draws(dataset, partition(dataset, 0).search, seed=0, count=3, purpose="search")
    together, alone = make_replicas(dataset, drawn), make_replicas(dataset, drawn[2:])
    taken = together.take([2])
    assert taken.seeds == alone.seeds == (drawn[2].seed,)
    assert (taken.train["features"] == alone.train["features"]).all()
    assert (taken.validation["target"] == alone.validation["target"]).all()


def test_take_moves_every_tensor_alike() -> None:
    replicas = replicas_of(dataset_of("regression"))
    taken = replicas.take([3, 1])
    assert taken.seeds == (replicas.seeds[3], replicas.seeds[1])
    assert (taken.facts["target_mean"] == replicas.facts["target_mean"][[3, 1]]).all()
    assert (taken.held["test"]["target"] == replicas.held["test"]["target"][[3, 1]]).all()
    assert "class_prior" not in taken.facts
    assert replicas.count == 4


def test_to_a_device_and_through_pickle() -> None:
    replicas = replicas_of(dataset_of("binary"))
    assert replicas.to("meta").held["test"]["features"].device.type == "meta"
    assert replicas.to("cpu").train["features"].device.type == "cpu"
    assert (pickle.loads(pickle.dumps(replicas)).train["features"] == replicas.train["features"]).all()


def test_there_must_be_a_draw() -> None:
    with pytest.raises(OptionError, match="at least one"):
        make_replicas(dataset_of("binary"), [])


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, losssearch.data; print(sorted({'torch', 'sklearn', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
