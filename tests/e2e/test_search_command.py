"""``losssearch search`` as a user runs it: a process, its exit code, its output and its files."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losssearch.cli.app import main
from losssearch.losses.spec import LossSpec

WINE = ["search", "builtin:wine", "--target", "target", "--epochs", "12", "--confirm-seeds", "2", "--trials", "16"]


def losssearch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "losssearch", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "losssearch", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_trials(store: Path) -> int:
    """How many trials of a store are no longer running; 0 where there is no table yet."""
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10) as connection:
            rows = connection.execute("select count(*) from losssearch_trial where state <> 'running'").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(rows[0])


def comparable(out: Path) -> dict[str, object]:
    """What must be equal between two runs of one study: all of its result but times, places and names."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    for name in ("timing", "mlflow", "export", "study"):
        del result[name]
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, tracked, trained in process; its folder."""
    folder = tmp_path_factory.mktemp("finished")
    done = losssearch(*WINE, "--workers", "0", "--out", "wine", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "wine/result.json").read_text(encoding="utf-8"))
    return folder / "wine"


def test_result_keeps_the_contract(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text(encoding="utf-8"))
    assert {"study", "task", "metric", "constraints", "data", "seed", "version"} <= set(result)
    assert set(result["metric"]) == {"name", "direction", "unit"}
    assert {"train", "validation", "test"} <= set(result["data"]["rows"])
    assert {"spec", "formula", "weights_in_export", "validation", "test", "constraints", "groups"} <= set(
        result["best"]
    )
    for entry in (result["best"], *result["baselines"]):
        assert LossSpec.from_json(entry["spec"]).formula() == entry["formula"]
        assert set(entry["test"]) == {"mean", "std", "values"}
        assert len(entry["test"]["values"]) == 2
    names = [entry["name"] for entry in result["baselines"]]
    assert "cross_entropy" in names
    assert len(set(names)) == len(names)
    verdict = result["verdict"]
    assert {"recommended", "against", "difference", "interval", "level", "test", "text"} <= set(verdict)
    assert verdict["against"] in names
    low, high = verdict["interval"]
    assert low <= verdict["difference"] <= high
    assert verdict["plain"]["name"] == "cross_entropy"
    low, high = verdict["plain"]["interval"]
    assert low <= verdict["plain"]["difference"] <= high
    counts = dict(result["trials"])
    assert counts.pop("total") == 16 == sum(counts.values())
    assert set(counts) == {"completed", "pruned", "rejected", "duplicate", "equivalent", "failed"}
    assert {"total_s", "search_s", "training_s", "confirmation_s", "trials_per_minute"} <= set(result["timing"])
    assert set(result["mlflow"]) == {"tracking_uri", "experiment", "experiment_id", "run_id", "complete", "problems"}
    assert (result["mlflow"]["complete"], result["mlflow"]["problems"]) == (True, [])
    assert set(result["export"]) == {"python", "spec", "weights", "pt2", "report"}


def test_best_is_what_the_verdict_recommends_and_what_is_exported(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text(encoding="utf-8"))
    expected = (
        result["searched"]["name"] if result["verdict"]["recommended"] == "searched" else result["verdict"]["against"]
    )
    assert result["best"]["name"] == expected
    exported = json.loads((finished / "export/loss.json").read_text(encoding="utf-8"))
    assert LossSpec.from_json(exported["spec"]) == LossSpec.from_json(result["best"]["spec"])


def test_exported_loss_checks_itself(finished: Path) -> None:
    done = subprocess.run(
        [sys.executable, "loss.py"], cwd=finished / "export", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_of_a_study(finished: Path) -> None:
    for name in ("study.db", "mlflow.db", "result.json", "report.html", "export/loss.py", "export/MODEL_CARD.md"):
        assert (finished / name).stat().st_size > 0, name


def test_leaderboard_and_export_commands(finished: Path, tmp_path: Path) -> None:
    shown = losssearch("leaderboard", str(finished), "--json", cwd=tmp_path)
    rows = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert {"searched", "cross_entropy"} <= {row["name"] for row in rows}
    assert sum(row["recommended"] for row in rows) == 1
    assert losssearch("export", str(finished), "--format", "python", "--out", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out/loss.py").is_file()
    assert losssearch("export", str(finished), "--format", "json", "--out", "spec", cwd=tmp_path).returncode == 0
    assert [path.name for path in (tmp_path / "spec").iterdir()] == ["loss.json"]


def test_every_trial_is_tracked(finished: Path) -> None:
    with sqlite3.connect(finished / "mlflow.db") as connection:
        children = connection.execute("select count(*) from tags where key = 'mlflow.parentRunId'").fetchone()[0]
        unfinished = connection.execute("select count(*) from runs where status <> 'FINISHED'").fetchone()[0]
    assert children == 16
    assert unfinished == 0


def test_an_existing_study_is_not_overwritten(finished: Path) -> None:
    before = (finished / "result.json").read_bytes()
    done = losssearch(*WINE, "--out", str(finished), cwd=finished.parent)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert (finished / "result.json").read_bytes() == before


def test_resuming_a_finished_study_gives_its_result(finished: Path) -> None:
    done = losssearch(*WINE, "--workers", "0", "--out", str(finished), "--resume", "--json", cwd=finished.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((finished / "result.json").read_text(encoding="utf-8"))


def test_resume_with_other_options_is_refused(finished: Path) -> None:
    done = losssearch(*WINE, "--seed", "7", "--out", str(finished), "--resume", cwd=finished.parent)
    assert done.returncode == 2
    assert "seed" in done.stderr


def test_quiet_shows_the_result_alone_and_silent_shows_nothing(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = [*WINE, "--workers", "0", "--out", str(finished), "--resume"]
    shown = {}
    for option in ("--seed=0", "--quiet", "--silent"):
        assert main([*again, option]) == 0
        shown[option] = capfd.readouterr()
    assert "finished already" in shown["--seed=0"].err
    assert shown["--quiet"].out == shown["--seed=0"].out
    assert "Verdict" in shown["--quiet"].out
    assert "cross_entropy" in shown["--quiet"].out
    assert shown["--quiet"].err == ""
    assert shown["--silent"] == ("", "")


def test_same_result_with_two_workers(finished: Path, tmp_path: Path) -> None:
    done = losssearch(*WINE, "--workers", "2", "--out", "wine", "--no-mlflow", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert comparable(tmp_path / "wine") == comparable(finished)


def test_killed_driver_resumes_to_the_same_result(finished: Path, tmp_path: Path) -> None:
    # More trials than the fixture's, so that there is a middle to kill it in.
    more = [*WINE[:-1], "48", "--workers", "0", "--no-mlflow", "--quiet"]
    assert losssearch(*more, "--out", "whole", cwd=tmp_path).returncode == 0
    process = start(*more, "--out", "broken", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while ended_trials(tmp_path / "broken/study.db") < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ended = ended_trials(tmp_path / "broken/study.db")
    assert 20 <= ended < 48
    resumed = losssearch(*more, "--out", "broken", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert ended_trials(tmp_path / "broken/study.db") == 48
    assert comparable(tmp_path / "broken") == comparable(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_resumes(number: int, tmp_path: Path) -> None:
    command = [*WINE[:-1], "64", "--workers", "0", "--no-mlflow", "--quiet", "--out", "wine"]
    process = start(*command, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while ended_trials(tmp_path / "wine/study.db") < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert len(errors.strip().splitlines()) == 1
    assert losssearch(*command, "--resume", cwd=tmp_path).returncode == 0
    assert ended_trials(tmp_path / "wine/study.db") == 64


def test_two_drivers_of_one_study_are_refused(tmp_path: Path) -> None:
    command = [*WINE[:-1], "200", "--workers", "0", "--no-mlflow", "--quiet", "--out", "wine"]
    first = start(*command, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while ended_trials(tmp_path / "wine/study.db") < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        second = losssearch(*command, "--resume", cwd=tmp_path)
        assert second.returncode == 5, second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
    finally:
        first.kill()
        first.communicate()


BAD = {
    "no such file": (["search", "no.csv", "--target", "y"], "no.csv"),
    "not a table": (["search", "garbage.csv", "--target", "y"], "garbage.csv"),
    "no such column": (["search", "table.csv", "--target", "lable"], "label"),
    "constant target": (["search", "table.csv", "--target", "constant"], "constant"),
    "non-finite target": (["search", "table.csv", "--target", "endless", "--task", "regression"], "endless"),
    "missing target": (["search", "table.csv", "--target", "gaps"], "--drop-missing-target"),
    "too few rows": (["search", "short.csv", "--target", "label"], "rows"),
    "unknown metric": (["search", "table.csv", "--target", "label", "--metric", "accuraccy"], "accuracy"),
    "unfit metric": (["search", "table.csv", "--target", "label", "--metric", "rmse", "--task", "binary"], "rmse"),
    "unknown task": (["search", "table.csv", "--target", "label", "--task", "binray"], "binary"),
    "unknown model": (["search", "table.csv", "--target", "label", "--model", "mpl"], "mlp"),
    "unimportable model": (["search", "table.csv", "--target", "label", "--model", "nowhere:factory"], "nowhere"),
    "unknown space": (["search", "table.csv", "--target", "label", "--space", "binry"], "binary"),
    "unfit space": (["search", "table.csv", "--target", "label", "--space", "regression"], "regression"),
    "broken space": (["search", "table.csv", "--target", "label", "--space", "space.yaml"], "space.yaml:4"),
    "no trials": (["search", "table.csv", "--target", "label", "--trials", "1"], "--trials"),
    "no budget": (["search", "table.csv", "--target", "label", "--time-budget", "soon"], "soon"),
    "negative workers": (["search", "table.csv", "--target", "label", "--workers", "-1"], "--workers"),
    "nothing to resume": (["search", "table.csv", "--target", "label", "--resume"], "--resume"),
    "unknown builtin": (["search", "builtin:whine", "--target", "target"], "wine"),
    "no such study": (["leaderboard", "nowhere"], "nowhere"),
    "unknown option": (["search", "table.csv", "--targt", "label"], "--targt"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOSSSEARCH_DEBUG", raising=False)
    arguments, mentioned = BAD[case]
    rows = [f"{n},{n % 2},1,{'inf' if n == 3 else n},{'' if n % 9 == 0 else n % 2}" for n in range(120)]
    header = "feature,label,constant,endless,gaps"
    (tmp_path / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "short.csv").write_text("\n".join([header, *rows[:12]]) + "\n")
    (tmp_path / "garbage.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "space.yaml").write_text("task: binary\nslots:\n  base:\n    terms: {focall: }\n")
    before = sorted(tmp_path.rglob("*"))
    code = main(arguments)
    shown = capfd.readouterr()
    assert code == 2, shown
    assert len(shown.err.splitlines()) == 1, shown.err
    assert mentioned in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.rglob("*")) == before
