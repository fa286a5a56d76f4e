"""The speed benchmark: that it runs, what its result holds, and that it counts CPU seconds of children."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import throughput
from benchmarks.meter import Meter
from benchmarks.plain import binary_focal_loss, focal_loss
from benchmarks.workload import GAMMAS, RATES, make_trials
from losssearch.losses.compose import compose

TINY = throughput.Settings({"losssearch": 3, "plain": 2}, workers=1, population=2, epochs=1)


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def result():
    return throughput.run(TINY)


def test_result_holds_what_readers_of_the_json_rely_on(result):
    assert set(result) == {"name", "figures", "ratios", "machine"}
    assert result["name"] == "throughput"
    assert json.loads(json.dumps(result)) == result


def test_figures_are_per_trial(result):
    contestants = result["figures"]["contestants"]
    assert list(contestants) == ["losssearch", "plain"]
    for name, found in contestants.items():
        assert found["trials"] == found["trials_measured"] == TINY.trials[name]
        assert found["trials_per_minute"] == pytest.approx(60 * found["trials"] / found["seconds"])
        assert found["cpu_seconds_per_trial"] == pytest.approx(found["cpu_seconds"] / found["trials"])
        assert 0 < found["mean_accuracy"] <= 1


def test_ratios_are_above_one_where_losssearch_is_ahead(result):
    ours, plain = result["figures"]["contestants"].values()
    ratios = result["ratios"]
    assert ratios["trials_per_minute"] == {"plain": ours["trials_per_minute"] / plain["trials_per_minute"]}
    cost = plain["cpu_seconds_per_trial"] / ours["cpu_seconds_per_trial"]
    assert ratios["cpu_seconds_per_trial"] == {"plain": cost}


def test_machine_is_described_without_names_of_hosts(result):
    machine = result["machine"]
    assert machine["cores"] >= 1
    assert machine["torch_threads"] == 1
    # A build's suffix, such as +cu130, stands in the module's own version alone.
    assert machine["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(machine) == {"cpu", "cores", "memory_gib", "load", "system", "torch_threads", "python", "versions"}


def test_contestant_out_of_time_is_named():
    late = throughput.Settings({"losssearch": 1}, workers=1, population=1, epochs=1, limit=-1)
    figures = throughput.run(late)["figures"]
    assert figures["contestants"] == {}
    assert figures["reduced"][0].startswith("losssearch left out")


def test_quick_says_what_it_reduces():
    assert throughput.quick(4).workers == 2
    assert set(throughput.quick(4).trials) == set(throughput.ENTRIES) == set(throughput.full(4).trials)
    assert throughput.quick(4).reduced
    assert not throughput.full(4).reduced


def test_contestant_that_trains_something_else_is_found():
    contestants = {"plain": {"accuracy_difference": -0.019}, "tune": {"accuracy_difference": 0.021}}
    assert throughput.disagreeing({"figures": {"contestants": contestants}}) == ["tune"]


def test_table_shows_every_contestant(result, capsys):
    throughput.show(result)
    shown = capsys.readouterr().out
    assert "plain PyTorch" in shown
    assert "losssearch, in this process" in shown


def test_trials_are_a_prefix_of_one_list():
    assert make_trials(3) == make_trials(8)[:3]
    for trial in make_trials(50):
        assert GAMMAS[0] <= trial.gamma <= GAMMAS[1]
        assert RATES[0] <= trial.rate <= RATES[1]


@pytest.mark.parametrize(("plain", "width"), [(focal_loss, 3), (binary_focal_loss, 1)])
def test_plain_loss_is_the_searched_one(plain, width):
    torch.manual_seed(0)
    output, target = torch.randn(20, width), torch.randint(0, max(width, 2), (20,))
    ours = compose(
        {"parts": [{"term": "focal", "gamma": 1.7, "weight": 1.0, "reduction": "mean"}], "decision": "fixed"}
    )
    torch.testing.assert_close(plain(output, target, 1.7), ours(output, target))


def test_meter_counts_the_cpu_seconds_of_ended_children_and_orphans():
    burn = "import time\nwhile time.process_time() < 0.5: pass\n"
    orphan = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {burn!r}])\ntime.sleep(0.2)"
    with Meter() as meter:
        before = meter.read()
        subprocess.run([sys.executable, "-c", burn], check=True)
        assert meter.read() - before >= 0.4
        middle = meter.read()
        subprocess.run([sys.executable, "-c", orphan], check=True)
        while meter.read() - middle < 0.4:  # ends by the test's time limit where orphans are not counted
            pass


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--json", "missing/folder/x.json"]])
def test_bad_input_ends_with_one_error(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        throughput.main(arguments)
    assert end.value.code == 2
    assert "must" in capsys.readouterr().err
