"""Meta-learns a loss network and writes it to a file that `ls.add_array` reads.

    python -m benchmarks.meta_learning {classes,numbers} --out FILE [--data DATA --target COLUMN] [--steps N] [--seed N]

Without data, the tasks are synthetic: random functions of eight features, whose training rows have wrong labels (a
fifth), or errors with heavy tails (a fifth of the rows), and whose judging rows have neither. That is how the arrays in
`losssearch/losses/library` were made, with every option at its default. With data, a task is a draw of its rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from losssearch.data import draws, load, make_replicas, partition
from losssearch.losses.arrays import write_array
from losssearch.training.meta_learning import Episode, Episodes, MetaPlan, meta_learn

ROWS, FEATURES, CLASSES, WRONG = 64, 8, 2, 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Teach, tell what came of it, and write the file."""
    parser = argparse.ArgumentParser("benchmarks.meta_learning", description=__doc__)
    parser.add_argument("kind", choices=["classes", "numbers"])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data", metavar="DATA", help="a file or builtin:NAME, as for losssearch search")
    parser.add_argument("--target", metavar="COLUMN")
    parser.add_argument("--steps", type=int, default=MetaPlan.steps)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    classes, features = (CLASSES if options.kind == "classes" else 0), FEATURES
    episodes: Episodes = wrong_labels if classes else heavy_tails
    if options.data:
        episodes, classes, features = episodes_of(options.data, options.target)
    begun = time.process_time()
    plan = MetaPlan(steps=options.steps, seed=options.seed)
    found = meta_learn(episodes, classes=classes, features=features, plan=plan)
    name = write_array(options.out, found.parameters)
    print(f"{options.out}: {name}")
    print(
        f"plain loss on the judging rows of unseen tasks: {found.upper:.4f} after training with the network, "
        f"{found.plain:.4f} with the plain loss; {time.process_time() - begun:.0f} CPU seconds"
    )
    return 0


def _functions(source: torch.Generator, tasks: int, columns: int) -> tuple[Tensor, Tensor]:
    """Features of twice `ROWS` rows, and a random smooth function of them for each column, standardised."""
    x = torch.randn(tasks, 2 * ROWS, FEATURES, generator=source)
    straight = torch.randn(tasks, FEATURES, columns, generator=source)
    inner, outer = (torch.randn(tasks, *shape, generator=source) for shape in ((FEATURES, 6), (6, columns)))
    y = x @ straight + 2 * torch.tanh(x @ inner) @ outer
    return x, (y - y.mean(1, keepdim=True)) / y.std(1, keepdim=True)


def heavy_tails(source: torch.Generator, tasks: int) -> Episode:
    """Numbers; a fifth of the training rows has an error of several standard deviations."""
    x, y = _functions(source, tasks, 1)
    y = y[..., 0] + 0.3 * torch.randn(tasks, 2 * ROWS, generator=source)
    hit = torch.rand(tasks, ROWS, generator=source) < WRONG
    error = 2 * torch.randn(tasks, ROWS, generator=source) / torch.rand(tasks, ROWS, generator=source).sqrt()
    return x[:, :ROWS], y[:, :ROWS] + hit * error.clamp(-8, 8), x[:, ROWS:], y[:, ROWS:]


def wrong_labels(source: torch.Generator, tasks: int) -> Episode:
    """Classes; a fifth of the training rows has a label that was drawn at random."""
    x, y = _functions(source, tasks, CLASSES)
    labels = (2 * y).argmax(-1)
    hit = torch.rand(tasks, ROWS, generator=source) < WRONG
    drawn = torch.randint(CLASSES, (tasks, ROWS), generator=source)
    return x[:, :ROWS], torch.where(hit, drawn, labels[:, :ROWS]), x[:, ROWS:], labels[:, ROWS:]


def episodes_of(data: str, target: str | None) -> tuple[Episodes, int, int]:
    """Tasks that are draws of the search rows of a table, the number of its classes (0 for numbers) and features."""
    dataset = load(data, target=target)
    own = make_replicas(dataset, draws(dataset, partition(dataset, seed=0).search, seed=0, count=1, purpose="meta"))
    x, y = own.train["features"][0], own.train["target"][0]

    def drawn(source: torch.Generator, tasks: int) -> Episode:
        rows = torch.stack([torch.randperm(len(y), generator=source)[: 2 * ROWS] for _ in range(tasks)])
        half = rows.shape[1] // 2
        return x[rows[:, :half]], y[rows[:, :half]], x[rows[:, half:]], y[rows[:, half:]]

    return drawn, own.classes, own.width


if __name__ == "__main__":
    raise SystemExit(main())
