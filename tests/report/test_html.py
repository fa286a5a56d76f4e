"""The report: one file, nothing loaded from elsewhere, nothing executed, everything said."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from losssearch.losses.spec import LossSpec
from losssearch.report.figures import write_figures
from losssearch.report.html import render_report, write_report

Maker = Callable[..., Any]

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags in balance, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_says_all_that_the_result_holds(make_result: Maker, make_trials: Maker, tmp_path: Path) -> None:
    result = make_result()
    trials = make_trials(result)
    paths = write_figures(tmp_path, result, trials, LossSpec.from_json(result["best"]["spec"]))
    place = write_report(tmp_path / "deep" / "report.html", result, trials, paths)
    page = Page(place.read_text(encoding="utf-8"))
    assert page.open == []
    for words in (
        "Use the searched loss",
        "It beats the best baseline, focal",
        "level 95 %",
        "0.7·CVaR[0.45](focal(gamma=1.62)) + 0.3·soft_f1",
        "-0.0090 [-0.0150, -0.0030]",
        "generalised cross entropy",
        "What this does not say",
        "52 – stopped early, behind the others",
        "5 min 41 s",
        "34.6 trials a minute",
        "train 23,442, validation 5,861, confirmation 9,769, test 9,770",
        "<=50K, >50K",
        "9f2c7e11ab034d5c",
        "from loss import Loss",
        "the loss became infinite",
        "export/loss.py needs torch and nothing else",
        "sqlite:///mlflow.db",
    ):
        assert words in page.text, words
    assert page.addresses == ["data:image/png;base64," + base64.b64encode(p.read_bytes()).decode() for p in paths]
    assert not {"link", "iframe"} & set(page.tags)
    (script,) = re.findall(r"<script>(.*?)</script>", place.read_text(encoding="utf-8"), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in place.read_text(encoding="utf-8"), "no other script may run"
    assert [p.name for p in place.parent.iterdir()] == ["report.html"]


def test_the_verdict_for_a_baseline_is_said_out_loud(make_result: Maker) -> None:
    text = Page(render_report(make_result(recommended="baseline"), [], {})).text
    assert "Use the baseline focal" in text
    assert "The search found nothing reliably better" in text


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"])
def test_names_from_the_data_are_escaped(make_result: Maker, make_trials: Maker, hostile: str) -> None:
    result = make_result()
    trials = make_trials(result)
    result |= {"study": hostile, "model": hostile}
    result["data"] |= {"name": hostile, "classes": [hostile], "notes": [hostile], "fingerprint": hostile}
    result["metric"]["unit"] = hostile
    result["verdict"]["text"] = hostile
    result["baselines"][0]["name"] = hostile
    page = Page(render_report(result, trials, {}))
    assert page.tags.count("script") == 1  # the page's own, which sorts
    assert "img" not in page.tags
    assert page.text.count(hostile) >= 7


def test_optional_fields_may_be_missing(make_result: Maker) -> None:
    result = make_result("regression")
    for key in ("mlflow", "export", "ablation", "searched", "model", "constraints"):
        del result[key]
    for key in ("classes", "notes"):
        del result["data"][key]
    page = Page(render_report(result, [], {}))
    assert "losssearch export writes it" in page.text
    assert not re.search(r"undefined|None", page.text)


def test_epochs_and_notes_are_shown(make_result: Maker) -> None:
    result = make_result("binary")
    assert "best epoch" not in render_report(result, [], {})
    for entry in (result["best"], *result["baselines"]):
        entry["epochs"] = {"best": 7, "trained": 12, "most": 23}
    result["notes"] = ["2 of 5 final losses were still improving: train longer, --epochs 46."]
    page = render_report(result, [], {})
    assert "7 of 23" in page
    assert result["notes"][0] in page


def test_the_private_model_is_told_of(make_result: Maker) -> None:
    facts = {"loss": "cross_entropy", "epsilon": 2.98, "delta": 1e-5, "test": 0.68, "covers": "the steps alone"}
    text = Page(render_report(make_result() | {"private": facts}, [], {})).text
    assert "trained with cross entropy under differential privacy: ε = 2.98 at δ = 1e-05, f1 on test 0.6800" in text
    assert "Covered: the steps alone." in text


def test_a_loss_that_learns_says_how_to_train_it(make_result: Maker) -> None:
    result = make_result("regression")
    part = {"term": "general_robust", "weight": {"schedule": "linear", "start": 1.0, "end": 0.5}}
    result["best"]["spec"] = LossSpec.from_json({"parts": [part]}).to_json()
    text = Page(render_report(result, [], {})).text
    assert "*loss.parameters()" in text
    assert "loss.set_progress(epoch / epochs)" in text


def test_a_failure_leaves_the_old_report(make_result: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "report.html"
    place.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_, **__: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_report(place, make_result(), [], {})
    assert place.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_says_at_which_rate_the_recommended_loss_was_trained(make_result: Maker) -> None:
    result = make_result()
    result["best"]["learning_rate"] = 0.003
    assert "It was trained with learning rate 0.003" in Page(render_report(result, [], {})).text
    result["best"]["learning_rate"] = None  # a training function that chooses its own
    assert "learning rate" not in Page(render_report(result, [], {})).text


@pytest.mark.parametrize(("decisions", "said"), [(("tuned", "fixed"), True), (("fixed", "fixed"), False)])
def test_says_which_decisions_are_not_tuned(make_result: Maker, decisions: tuple[str, str], said: bool) -> None:
    result = make_result()
    spec = result["best"]["spec"]
    result["searched"]["spec"] = spec | {"decision": decisions[0]}
    result["baselines"] = [result["baselines"][0] | {"name": "plain_one", "spec": spec | {"decision": decisions[1]}}]
    assert ("for all losses but plain one." in Page(render_report(result, [], {})).text) is said
