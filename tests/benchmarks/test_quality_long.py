"""Long trainings: what the table says of arms, and what a watermark does to images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import long
from benchmarks.quality.scenarios import SkippedScenarioError, read_scenarios
from benchmarks.quality.tables import Table, data_folder
from benchmarks.quality.unit import write_lines
from benchmarks.quality.watermark import marked

SCENARIOS = {scenario.name: scenario for scenario in read_scenarios(long.LIST)}


def loss(arm, validation, test, best_epoch=30):
    return {"type": "loss", "arm": arm, "validation": [validation], "test": [test], "best_epoch": best_epoch}


def split(repeat, *losses):
    return [{"type": "scenario", "scenario": "x", "repeat": repeat, "epochs": 72}, *losses]


def test_an_arm_is_its_best_loss_on_validation_and_the_menu_the_best_of_all():
    found = long.arms(split(0, loss(long.PLAIN, 0.5, 0.5), loss("sce", 0.6, 0.4), loss("sce", 0.55, 0.9)))
    assert {arm: line["test"] for arm, line in found.items()} == {long.PLAIN: [0.5], "sce": [0.4], long.MENU: [0.4]}


def test_gains_are_paired_and_only_where_the_plain_loss_has_peaked(tmp_path, capsys):
    gains = {0: 0.10, 1: 0.12, 2: 0.14, 3: 0.5}
    for repeat, gain in gains.items():
        plain = loss(long.PLAIN, 0.5, 0.4 + 0.1 * repeat, best_epoch=70 if repeat == 3 else 30)
        write_lines(tmp_path / f"x-{repeat}.jsonl", split(repeat, plain, loss("sce", 0.6, 0.4 + 0.1 * repeat + gain)))
    assert long.main(["--out", str(tmp_path), "--report-only"]) == 0
    row = next(row for row in long.rows([long.read_lines(file) for file in sorted(tmp_path.iterdir())]) if "sce" in row)
    assert row[:3] == ["x", "sce", "3 of 4"]
    assert row[4] == "+0.1200"
    assert row[5] == "[+0.0703, +0.1697]"  # 0.12 ± 4.303 · 0.02 / √3
    assert "3 of 4" in capsys.readouterr().out


def test_a_plain_loss_that_still_rises_is_no_measure():
    (row,) = long.rows([split(0, loss(long.PLAIN, 0.5, 0.5, best_epoch=65), loss("sce", 0.6, 0.6))])
    assert row[2:4] == ["0 of 1", "still rising: train longer"]


def test_nothing_to_show(tmp_path):
    assert long.main(["--out", str(tmp_path), "--report-only"]) == 1


def test_a_watermark_goes_with_the_class_as_often_as_asked():
    images = Table(np.zeros((2000, 16), dtype=np.float32), pd.Series(np.tile(["a", "b"], 1000)), "multiclass")
    found, who = marked(images, 0.95, seed=0)
    has = who == "marked"
    assert (found.features[has][:, [0, 1, 4, 5]] == 1).all()
    assert not found.features[~has].any()
    assert not found.features[:, [2, 3, *range(6, 16)]].any()
    usual = has == (images.target == "a").to_numpy()
    assert usual.mean() == pytest.approx(0.95, abs=0.02)
    with pytest.raises(SkippedScenarioError, match="square images"):
        marked(replace(images, features=np.zeros((2000, 15), dtype=np.float32)), 0.95, seed=0)


@pytest.mark.skipif(not (data_folder() / "CATALOG.json").is_file(), reason="needs the catalogue of data sets")
def test_every_scenario_of_the_list_is_measured(tmp_path):
    chosen = SCENARIOS["notmnist-watermark"]
    lines = long.measure(replace(chosen, rows=1200, classes=2), 0, epochs=1)
    arms = {line["arm"] for line in lines[1:]}
    assert {"cross_entropy_tuned", "group_logit_adjustment", "reweighing", "group_dro"} <= arms
    assert all(0 <= value <= 1 for line in lines[1:] for value in line["test"])
    lines = long.measure(replace(SCENARIOS["letter-pair40"], rows=600), 0, epochs=1)
    assert {"symmetric_cross_entropy", "active_passive"} <= {line["arm"] for line in lines[1:]}
