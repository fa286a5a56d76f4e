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
    train, validation, width = replicas.target.shape[1], replicas.validation_target.shape[1], replicas.width
    assert len(parts.search) - 5 <= train + validation <= len(parts.search)
    assert replicas.features.shape == (4, train, width)
    assert replicas.validation_features.shape == (4, validation, width)
    assert replicas.held["test"][0].shape == (4, len(parts.test), width)
    assert replicas.held["confirmation"][1].shape == (4, len(parts.confirmation))
    assert replicas.class_prior.shape == (4, classes)
    assert (replicas.count, replicas.classes, len(replicas.seeds)) == (4, classes, 4)
    assert replicas.features.dtype == replicas.class_prior.dtype == replicas.zero.dtype == torch.float32
    assert replicas.target.dtype == (torch.float32 if task == "regression" else torch.int64)
    wide = torch.float64 if task == "regression" else torch.int64
    assert replicas.held["test"][1].dtype == replicas.validation_target.dtype == wide


def test_rows_and_targets_stay_together() -> None:
    dataset = dataset_of("regression")
    parts = partition(dataset, 0)
    replicas = replicas_of(dataset)
    mean, scale = replicas.target_mean[:, None], replicas.target_scale[:, None]
    for _, target in replicas.held.values():
        assert target.shape[0] == 4
    restored = mean + scale * replicas.held["test"][1]
    np.testing.assert_allclose(restored, np.tile(dataset.target[parts.test], (4, 1)), rtol=1e-5)
    # Normal scores keep the order of column a, so ranks tell whether features follow their rows.
    order = dataset.features["a"].to_numpy()[parts.test].argsort()
    assert (replicas.held["test"][0][0, order, 0].diff() >= 0).all()


def test_a_regression_target_is_standardised_by_the_training_rows() -> None:
    dataset = dataset_of("regression", rows=2000)
    replicas = replicas_of(dataset)
    torch.testing.assert_close(replicas.target.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(replicas.target.std(1, correction=0), torch.ones(4), atol=1e-5, rtol=0)
    assert (replicas.validation_target.mean(1) != 0).all()


def test_the_zero_of_the_target_is_where_it_is_standardised_to() -> None:
    replicas = replicas_of(dataset_of("regression"))
    own = replicas.target_mean + replicas.target_scale * replicas.zero
    torch.testing.assert_close(own, torch.zeros_like(own), rtol=0, atol=1e-4)
    assert replicas.take([1]).zero == replicas.zero[1]
    assert replicas_of(dataset_of("binary")).zero.tolist() == [0.0] * 4


def test_class_priors_are_shares_of_the_training_rows() -> None:
    replicas = replicas_of(dataset_of("binary", rows=2000))
    torch.testing.assert_close(replicas.class_prior[:, 1], replicas.target.float().mean(1))
    torch.testing.assert_close(replicas.class_prior.sum(1), torch.ones(4))
    assert (replicas.target_mean == 0).all()
    assert (replicas.target_scale == 1).all()


def test_narrower_draws_end_in_zeros_and_longer_ones_are_cut() -> None:
    frame = pd.DataFrame({"a": np.arange(80) % 7, "b": ["u", "v"] * 20 + ["w", "x"] * 20, "y": np.arange(80) % 2})
    dataset = load(frame, target="y")
    narrow = Draw(np.arange(40), np.arange(40, 60), 1)
    wide = Draw(np.arange(10, 79), np.arange(10), 2)
    replicas = make_replicas(dataset, [narrow, wide])
    assert replicas.features.shape == (2, 40, 5)
    assert replicas.validation_features.shape == (2, 10, 5)
    assert (replicas.features[0, :, 3:] == 0).all()
    # Categories that training never saw have no indicator.
    assert (replicas.validation_features[0, :, 1:] == 0).all()
    assert (replicas.features[1, :, 1:].sum(1) == 1).all()


def test_a_replica_does_not_depend_on_its_neighbours() -> None:
    dataset = dataset_of("multiclass", rows=2000)
    drawn = draws(dataset, partition(dataset, 0).search, seed=0, count=3, purpose="search")
    together, alone = make_replicas(dataset, drawn), make_replicas(dataset, drawn[2:])
    taken = together.take([2])
    assert taken.seeds == alone.seeds == (drawn[2].seed,)
    assert (taken.features == alone.features).all()
    assert (taken.validation_target == alone.validation_target).all()


def test_take_moves_every_tensor_alike() -> None:
    replicas = replicas_of(dataset_of("regression"))
    taken = replicas.take([3, 1])
    assert taken.seeds == (replicas.seeds[3], replicas.seeds[1])
    assert (taken.target_mean == replicas.target_mean[[3, 1]]).all()
    assert (taken.held["test"][1] == replicas.held["test"][1][[3, 1]]).all()
    assert taken.class_prior.shape == (2, 0)
    assert replicas.count == 4


def test_to_a_device_and_through_pickle() -> None:
    replicas = replicas_of(dataset_of("binary"))
    assert replicas.to("meta").held["test"][0].device.type == "meta"
    assert replicas.to("cpu").features.device.type == "cpu"
    assert (pickle.loads(pickle.dumps(replicas)).features == replicas.features).all()


def test_there_must_be_a_draw() -> None:
    with pytest.raises(OptionError, match="at least one"):
        make_replicas(dataset_of("binary"), [])


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, losssearch.data; print(sorted({'torch', 'sklearn', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
