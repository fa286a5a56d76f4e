"""The menu of a study: what share of the trials goes to what."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from losssearch.errors import SpaceError
from losssearch.losses import terms
from losssearch.space import load_space, load_space_text
from losssearch.study.proposing.menu import MenuEntry, _at, menu_entries, menu_trials
from losssearch.tasks import TASKS, Task
from losssearch.tasks.task import Baseline

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))


@every_task
@pytest.mark.parametrize("trials", [2, 3, 7, 16, 17, 64, 257])
def test_half_of_the_trials_belong_to_the_menu(task: Task, trials: int) -> None:
    entries = menu_entries(task, trials, seed=0)
    assert len(entries) == trials // 2
    assert entries[0] == MenuEntry(task.plain.name, task.plain.spec(), default=True)
    assert len({(entry.name, entry.spec.key) for entry in entries}) == len(entries)


def test_a_space_of_formulas_gives_the_menu_an_eighth() -> None:
    """And keeps it in what a study stores of it, so that a study of a former version is resumed with its own share."""
    for kind in (kind for kind, task in TASKS.items() if not (task.shared or task.by_size)):
        space = load_space(f"{kind}_symbolic")
        assert [menu_trials(trials, space.menu) for trials in (2, 16, 2_000)] == [1, 2, 250]
        assert space.to_json()["menu"] == space.menu
        assert load_space_text(json.dumps(space.to_json())) == replace(space, name="<space>")
        plain = load_space(kind)
        assert menu_trials(64, plain.menu) == 32
        assert "menu" not in plain.to_json()
    assert len(menu_entries(TASKS["regression"], 2_000, 0, 0.125)) == 250


@pytest.mark.parametrize("share", ["0", "0.6", "true", "half", "-0.1", ".nan"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(SpaceError, match=r"menu, its share of the trials, must be above 0 and at most 0\.5, got"):
        load_space_text(f"{{task: binary, menu: {share}, slots: {{base: {{terms: {{focal: }}}}}}}}")


@every_task
def test_every_default_comes_before_any_other_setting(task: Task) -> None:
    entries = menu_entries(task, 256, seed=0)
    count = len(task.menu)
    assert [(e.name, e.spec) for e in entries[:count]] == [(b.name, b.spec()) for b in task.menu]
    assert [entry.default for entry in entries] == [True] * count + [False] * (128 - count)
    settings = Counter(entry.name for entry in entries[count:])
    assert set(settings) == {baseline.name for baseline in task.menu if baseline.tunable}
    assert max(settings.values()) - min(settings.values()) <= 1


@every_task
def test_more_trials_only_add_to_the_menu(task: Task) -> None:
    """So that a study that is resumed with more trials has trained none in vain."""
    many = menu_entries(task, 200, seed=4)
    for trials in (2, 20, 50, 199):
        assert menu_entries(task, trials, seed=4) == many[: trials // 2]


@every_task
def test_the_seed_decides(task: Task) -> None:
    assert menu_entries(task, 64, seed=1) == menu_entries(task, 64, seed=1)
    assert menu_entries(task, 64, seed=1) != menu_entries(task, 64, seed=2)


@every_task
def test_settings_lie_in_the_ranges_of_their_terms_and_cover_them(task: Task) -> None:
    entries = menu_entries(task, 512, seed=0)
    for baseline in task.menu:
        for name in baseline.tunable:
            domain = terms[baseline.term].domains[name]
            found = np.array([
                e.spec.parts[0].hyperparameters[name] for e in entries if e.name == baseline.name and not e.default
            ])  # fmt: skip
            assert ((domain.low <= found) & (found <= domain.high)).all()
            low, high = domain.low, domain.high
            if getattr(domain, "log", False):
                found, low, high = np.log(found), np.log(low), np.log(high)
            share = (found - low) / (high - low)
            quarters = np.histogram(share, bins=4, range=(0, 1))[0]
            assert quarters.min() >= 0.8 * len(found) / 4


@every_task
@pytest.mark.parametrize("share", [0.0, 1e-9, 0.5, 1 - 1e-9])
def test_the_ends_of_a_range_stay_inside_it(task: Task, share: float) -> None:
    for baseline in task.menu:
        if baseline.tunable:
            entry = _at(baseline, [share] * len(baseline.tunable))
            assert entry.spec.parts[0].name == baseline.term


def test_logarithmic_ranges_are_covered_on_the_logarithm() -> None:
    domain = terms["huber"].domains["delta"]
    (part,) = _at(Baseline("huber", "huber", tunable=("delta",)), [0.5]).spec.parts
    assert part.hyperparameters["delta"] == pytest.approx((domain.low * domain.high) ** 0.5, rel=1e-3)
