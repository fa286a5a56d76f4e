"""How much of the hardware the population trainer uses: its FLOP/s over those of one large matrix product.

    python -m benchmarks.roofline [--quick] [--json FILE]

256 members of an MLP 64-64 train on made-up tables of the shapes of digits and adult, on one CPU thread and, where
there is one, on a CUDA device; float32 throughout, no TF32. Trainer and product take turns on the same device, and
seconds on the CPU are CPU seconds. On the CPU the product is taken by PyTorch's default library and by oneDNN, which
the trainer's products run by where it is as exact. ``docs/performance-benchmarks.md`` tells what is counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.report import Result, print_table, run_command
from benchmarks.workload import HIDDEN

if TYPE_CHECKING:
    import torch

    from losssearch.data.replicas import Replicas

GOAL = 0.5
MEMBERS = 256
UPDATE_FLOPS = 14
"""Operations of AdamW on one parameter: decay 2, two averages 3 + 4, root, sum, quotient, rate and difference 5."""


@dataclass(frozen=True)
class Shape:
    """A table's shape as a model sees it: ``outputs`` is one logit for two classes."""

    name: str
    features: int
    outputs: int
    batch: int

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        sizes = (self.features, *HIDDEN, self.outputs)
        return list(pairwise(sizes))

    @property
    def parameters(self) -> int:
        """Of one member."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers)

    def step_flops(self) -> dict[str, float]:
        """Floating-point operations of one member's step; a multiply and an add are two.

        Products forward, and backward for weights and, but for the first layer, for inputs; the biases' sums;
        the update. The loss and the ReLUs, which are no products, are left out: they take time and count nothing.
        """
        products = [2 * self.batch * inputs * outputs for inputs, outputs in self.layers]
        biases = sum(self.batch * outputs for _, outputs in self.layers)
        return {
            "forward": sum(products) + biases,
            "backward": 2 * sum(products) - products[0] + biases,
            "update": UPDATE_FLOPS * self.parameters,
        }


SHAPES = (Shape("digits", 64, 10, 64), Shape("adult", 98, 1, 256))


def measure(quick: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Figures by device and shape, and the trainer's share of the FLOP/s of the product, by default and the quicker."""
    import torch

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return run(devices, SHAPES, members=MEMBERS, steps=20 if quick else 60, rounds=3 if quick else 9)


def run(
    devices: Sequence[str], shapes: Sequence[Shape], *, members: int, steps: int, rounds: int, size: int = 2048
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Let product and trainer take ``rounds`` turns of ``steps`` steps for each shape on each device."""
    figures: dict[str, Any] = {}
    for device in devices:
        side = size if device == "cpu" else 4 * size
        for shape in shapes:
            figures[f"{shape.name}, {device}"] = _one(device, shape, members, steps, rounds, side)
    ratios = {name: found["trainer_gflops"] / found["product_gflops"] for name, found in figures.items()}
    quickest = {name: found["trainer_gflops"] / found["quick_product_gflops"] for name, found in figures.items()}
    return {"goal": GOAL, "members": members, "runs": figures}, {"of_product": ratios, "of_quick_product": quickest}


def _one(device: str, shape: Shape, members: int, steps: int, rounds: int, side: int) -> dict[str, Any]:
    import torch

    from losssearch.execution import one_thread
    from losssearch.training.products import quick_products

    with one_thread():
        matrix = torch.randn(side, side, device=device)
        clock = _clock(device)

        def product() -> None:
            torch.mm(matrix, matrix)

        train = _trainer(shape, members, steps, device)
        product()
        train(1)
        products, quick, trainings = [], [], []
        for _ in range(rounds):
            products.append(clock(product))
            with quick_products():
                product()
                quick.append(clock(product))
            # Set-up, and the judging after each epoch, are not the step: the difference of epochs leaves out the first.
            trainings.append(clock(lambda: train(3)) - clock(lambda: train(1)))
    step = median(trainings) / (2 * steps)
    flops = shape.step_flops()
    total = members * sum(flops.values())
    return {
        "batch": shape.batch,
        "parameters": shape.parameters,
        "flops": {name: members * count for name, count in flops.items()},
        "step_ms": 1e3 * step,
        "trainer_gflops": total / step / 1e9,
        "product": f"{side} × {side}, float32",
        "product_gflops": 2 * side**3 / median(products) / 1e9,
        "quick_product_gflops": 2 * side**3 / median(quick) / 1e9,
        "device": torch.cuda.get_device_name() if device == "cuda" else "one CPU thread",
    }


def _clock(device: str) -> Callable[[Callable[[], None]], float]:
    import torch

    now = time.process_time if device == "cpu" else time.perf_counter

    def clock(work: Callable[[], None]) -> float:
        begun = now()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        return now() - begun

    return clock


def _trainer(shape: Shape, members: int, steps: int, device: str) -> Callable[[int], None]:
    """Train focal losses, each with its own γ, for a number of epochs of ``steps`` steps."""
    from losssearch.losses.spec import LossSpec, Part
    from losssearch.models import build_model
    from losssearch.training import Candidate, TrainingPlan, train_population

    model = build_model("mlp", shape.features, shape.outputs)
    gammas = [5 * member / members for member in range(members)]
    candidates = [Candidate(LossSpec((Part("focal", {"gamma": gamma}),), "fixed"), (1e-3,), True) for gamma in gammas]
    replicas = _replicas(shape, steps)

    def judge(
        outputs: torch.Tensor, target: torch.Tensor, tuned: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        return outputs.new_zeros(outputs.shape[:2]), lambda other: other

    def train(epochs: int) -> None:
        plan = TrainingPlan(epochs, shape.batch, patience=99)
        train_population(model, candidates, replicas, plan, judge, device=device)

    return train


def _replicas(shape: Shape, steps: int) -> Replicas:
    import torch

    from losssearch.data.replicas import Replicas

    rows, classes = shape.batch * steps, max(2, shape.outputs)
    generator = torch.Generator().manual_seed(0)
    train = {
        "features": torch.randn(1, rows, shape.features, generator=generator),
        "target": torch.randint(classes, (1, rows), generator=generator),
    }
    validation = {
        "features": torch.randn(1, 1, shape.features, generator=generator),
        "target": torch.zeros(1, 1, dtype=torch.long),
    }
    prior = {"class_prior": torch.full((1, classes), 1 / classes)}
    return Replicas(train, validation, prior, seeds=(0,), classes=classes)


def show(result: Result) -> None:
    """Print the result as a table."""
    figures = result["figures"]
    rows = [
        [
            name,
            found["device"],
            f"{sum(found['flops'].values()) / 1e6:,.0f}",
            f"{found['step_ms']:,.2f}",
            f"{found['trainer_gflops']:,.1f}",
            f"{found['product_gflops']:,.1f}",
            f"{result['ratios']['of_product'][name]:.2f}",
            f"{found['quick_product_gflops']:,.1f}",
            f"{result['ratios']['of_quick_product'][name]:.2f}",
        ]
        for name, found in figures["runs"].items()
    ]
    headings = (
        "",
        "device",
        "MFLOP a step",
        "ms a step",
        "trainer, GFLOP/s",
        "product, GFLOP/s",
        "share",
        "by oneDNN",
        "share",
    )
    print_table(f"{figures['members']} members; goal {figures['goal']}", headings, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command("roofline", __doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
