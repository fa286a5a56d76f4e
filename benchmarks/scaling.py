"""Scale: the same populations on 1, 2, 4 workers and on several nodes, and a study that survives their loss.

    python -m benchmarks.scaling [--quick] [--json FILE]

Parallel efficiency is the time of one worker over that of N, divided by N; the CPU seconds say how much of a shortfall
is due to other work on the machine (they stay) and how much to our own overhead (they grow). Nodes are simulated:
several Ray node processes on this machine. The chaos run kills workers (SIGKILL) and a node at random while a
study trains; it fails (exit code 1) unless each trial is there exactly once and the result is that of the same study
undisturbed in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.chaos import Chaos
from benchmarks.machine import describe_machine
from benchmarks.meter import Meter
from benchmarks.workload import Workload, load_workload, make_trials
from losssearch.assembly import assemble
from losssearch.errors import ConnectionLostError
from losssearch.execution import Job
from losssearch.execution.ray import WORKER_VARIABLES, RayExecutor
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.request import Request
from losssearch.storage.records import TrialState
from losssearch.study.observer import SilentObserver
from losssearch.study.study import run_study as search
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.threads import one_thread


@dataclass(frozen=True)
class Settings:
    """How much is trained."""

    workers: tuple[int, ...]
    jobs: int
    population: int
    epochs: int
    trials: int
    kills: int
    pause: float
    reduced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A finished study: what of its result must be equal, the numbers of its ended trials, what was killed meanwhile.

    ``ended`` is what it said when it had lost too much and had to be resumed.
    """

    result: dict[str, Any]
    numbers: list[int]
    killed: dict[str, int]
    ended: str = ""


FULL = Settings((1, 2, 4), jobs=12, population=64, epochs=20, trials=128, kills=8, pause=1.5)
QUICK = Settings(
    (1, 2), jobs=4, population=32, epochs=8, trials=48, kills=2, pause=0.3,
    reduced=(
        "1 and 2 workers (one a node), 4 populations of 32 instead of 12 of 64",
        "no comparison of threads, 48 trials instead of 128 in the disturbed study",
    ),
)  # fmt: skip


def make_jobs(workload: Workload, settings: Settings) -> list[Job]:
    """Populations of equal size: a focal loss and a learning rate each member."""
    trials = make_trials(settings.jobs * settings.population)
    plan = TrainingPlan(epochs=settings.epochs, batch_size=workload.batch_size, patience=settings.epochs)
    return [
        Job(
            number=number,
            replicas="scaling",
            candidates=tuple(
                ({"parts": [{"term": "focal", "gamma": trial.gamma}]}, (trial.rate,), True)
                for trial in trials[number * settings.population : (number + 1) * settings.population]
            ),
            task="multiclass",
            metric="accuracy",
            model="mlp",
            plan=plan,
        )
        for number in range(settings.jobs)
    ]


@contextmanager
def nodes(count: int, cpus: int) -> Iterator[Any]:
    """A cluster of a head without workers and ``count`` nodes; this process is its driver."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=cpus)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(executor: RayExecutor, workload: Workload, jobs: Sequence[Job], meter: Meter) -> dict[str, float]:
    """Time and CPU seconds of all jobs on workers that have started and hold the data."""
    try:
        executor.share("scaling", workload.replicas)
        executor.pids()
        short = TrainingPlan(epochs=1, batch_size=workload.batch_size)
        warm = [Job(**{**vars(jobs[0]), "number": -n, "plan": short}) for n in range(1, executor.workers + 1)]
        list(executor.run(warm))
        cpu, began = meter.read(), time.perf_counter()
        trained = sum(len(outcomes) for _, outcomes in executor.run(jobs))
        seconds = time.perf_counter() - began
        return {"workers": executor.workers, "trials": trained, "seconds": seconds, "cpu_seconds": meter.read() - cpu}
    finally:
        executor.close()


def compare_threads(workload: Workload, jobs: Sequence[Job], meter: Meter) -> dict[str, dict[str, float]]:
    """The same jobs on two cores: two actors of one thread, or one of two."""
    import ray

    found = {}
    for actors, threads in ((2, 1), (1, 2)):
        environment = {"env_vars": WORKER_VARIABLES | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.getcwd()}}
        remote = ray.remote(num_cpus=threads, runtime_env=environment)(_Trainer)
        pool = [remote.remote(threads, workload.replicas) for _ in range(actors)]
        ray.get([actor.train.remote(jobs[0]) for actor in pool])
        cpu, began = meter.read(), time.perf_counter()
        ray.get([pool[n % actors].train.remote(job) for n, job in enumerate(jobs)])
        name = f"{actors} actors x {threads} threads"
        found[name] = {"seconds": time.perf_counter() - began, "cpu_seconds": meter.read() - cpu}
        for actor in pool:
            ray.kill(actor)
    return found


class _Trainer:
    def __init__(self, threads: int, replicas: Any) -> None:
        import torch

        torch.set_num_threads(threads)
        self._replicas = replicas.to("cpu")

    def train(self, job: Job) -> int:
        model = build_model("mlp", self._replicas.width, self._replicas.classes)
        candidates = [Candidate(LossSpec.from_json(spec), rates, safe) for spec, rates, safe in job.candidates]
        judge = MetricJudge(job.metric, job.task, self._replicas)
        return len(train_population(model, candidates, self._replicas, job.plan, judge))


def run_study(trials: int, workers: int, disturb: Any = None) -> Study:
    """A whole study; one that lost too much is resumed, as its message says, and then left alone."""
    with tempfile.TemporaryDirectory() as folder, one_thread():
        options = Request(
            "builtin:digits_longtail", target="target", trials=trials, epochs=12, confirm_seeds=2, workers=workers,
            mlflow=False, out=folder, study="scaling", device="cpu",
        )  # fmt: skip
        try:
            return _attempt(options, disturb)
        except ConnectionLostError as error:
            if disturb is None:
                raise
            resumed = _attempt(replace(options, resume=True), None)
            return replace(resumed, killed=disturb.killed, ended=str(error))


def _attempt(options: Request, disturb: Chaos | None) -> Study:
    context = assemble(options, SilentObserver()).context
    killing: AbstractContextManager[None] = nullcontext()
    if disturb:  # from the first population on by workers: what this process trains cannot be killed
        context.executor.close()
        context.executor = workers = RayExecutor(options.workers or 1)
        killing = disturb.on(workers)
    try:
        with killing:
            finished = search(context)
        stored = [t.number for t in context.store.trials("scaling") if t.state is not TrialState.RUNNING]
    finally:
        context.executor.close()
        context.store.close()
    result = {name: value for name, value in finished.result.items() if name != "timing"}
    return Study(json.loads(json.dumps(result)), sorted(stored), disturb.killed if disturb else {})


def run_chaos(settings: Settings, workers: int, cluster: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """A study while workers and a node are killed, against ``expected``, that of the same study undisturbed."""
    began = time.perf_counter()
    chaos = Chaos(cluster, seed=0, workers=settings.kills, pause=settings.pause)
    study = run_study(settings.trials, workers, chaos)
    return {
        "trials": settings.trials,
        "seconds": time.perf_counter() - began,
        "killed": study.killed,
        "resumed_after": study.ended,
        "lost": len(set(range(settings.trials)) - set(study.numbers)),
        "twice": len(study.numbers) - len(set(study.numbers)),
        "equal": study.result == expected,
        "differing": [name for name in expected if study.result.get(name) != expected[name]],
    }


def run(settings: Settings) -> dict[str, Any]:
    """All measurements; the result in the form of the JSON file."""
    import ray

    machine = describe_machine(torch_threads=1)
    workload = load_workload("digits", settings.epochs)
    jobs = make_jobs(workload, settings)
    figures: dict[str, Any] = {"workers": [], "nodes": [], "reduced": list(settings.reduced)}
    most = settings.workers[-1]
    began = time.perf_counter()
    expected = run_study(settings.trials, workers=0).result
    with Meter() as meter:
        if settings is FULL:
            ray.init(
                address="local", num_cpus=most, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
            )
            for workers in settings.workers:
                figures["workers"].append(measure(RayExecutor(workers), workload, jobs, meter))
            figures["threads"] = compare_threads(workload, jobs[:4], meter)
            ray.shutdown()
            with nodes(most, cpus=1):
                figures["nodes"].append({"nodes": most, **measure(RayExecutor(most), workload, jobs, meter)})
        with nodes(2, cpus=most // 2) as cluster:
            if settings is FULL:
                figures["nodes"].append({"nodes": 2, **measure(RayExecutor(most), workload, jobs, meter)})
            else:
                for workers in settings.workers:
                    figures["workers"].append(measure(RayExecutor(workers), workload, jobs, meter))
            figures["chaos"] = run_chaos(settings, most, cluster, expected)
    figures["seconds"] = time.perf_counter() - began
    one = figures["workers"][0]
    ratios = {
        f"{kind}_{found[kind]}": {
            "efficiency": one["seconds"] / found["seconds"] / found["workers"],
            "cpu_seconds": found["cpu_seconds"] / one["cpu_seconds"],
        }
        for kind in ("workers", "nodes")
        for found in figures[kind]
    }
    return {"name": "scaling", "figures": figures, "ratios": ratios, "machine": machine}


def faults(result: Mapping[str, Any]) -> list[str]:
    """What the chaos run got wrong."""
    chaos = result["figures"]["chaos"]
    found = [f"{chaos[name]} trials {name}" for name in ("lost", "twice") if chaos[name]]
    if not chaos["equal"]:
        found.append(f"the result differs from that of the undisturbed study in {', '.join(chaos['differing'])}")
    if not (chaos["killed"]["workers"] and chaos["killed"]["nodes"]):
        found.append(f"a worker and a node must be killed, got {chaos['killed']}")
    return found


def show(result: Mapping[str, Any]) -> None:
    """Print the result."""
    figures = result["figures"]
    print(f"{'':24}{'seconds':>9}{'CPU-s':>9}{'efficiency':>12}{'CPU-s ×':>9}")
    for kind in ("workers", "nodes"):
        for found in figures[kind]:
            ratio = result["ratios"][f"{kind}_{found[kind]}"]
            label = f"{found[kind]} {kind}" + (f", {found['workers']} workers" if kind == "nodes" else "")
            values = f"{found['seconds']:9.1f}{found['cpu_seconds']:9.1f}"
            print(f"{label:24}{values}{ratio['efficiency']:12.2f}{ratio['cpu_seconds']:9.2f}")
    for name, found in figures.get("threads", {}).items():
        print(f"{name:24}{found['seconds']:9.1f}{found['cpu_seconds']:9.1f}")
    chaos = figures["chaos"]
    verdict = "equal" if chaos["equal"] else "DIFFERENT"
    print(
        f"chaos: {chaos['killed']['workers']} workers and {chaos['killed']['nodes']} node killed; "
        f"{chaos['trials']} trials, {chaos['lost']} lost, {chaos['twice']} twice; result {verdict}"
    )
    if chaos["resumed_after"]:
        print(f"the disturbed study ended early and was resumed: {chaos['resumed_after']}")
    for line in figures["reduced"]:
        print(f"reduced: {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where the chaos run lost or changed something, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of all, within 60 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    options = parser.parse_args(arguments)
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json must name a file in a folder that exists, got {options.json}")
    result = run(QUICK if options.quick else FULL)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    for line in (wrong := faults(result)):
        print(f"chaos: {line}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
