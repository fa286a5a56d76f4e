"""The self-check of an exported loss: a small example, and what the searched loss gives on it."""

from __future__ import annotations

import textwrap

import torch

from losssearch.export.facts import LossFacts

_BLOCK = '''\
# What the searched loss gives on the example of `check`, in double precision.
EXPECTED_VALUE = {value!r}
EXPECTED_GRADIENT = """
{gradient}
"""


def check() -> tuple[float, float]:
    """Relative differences from the searched loss on a small example: of the value, and of the gradient."""
{example}
    output.requires_grad_()
    value = loss(output, target{extra}{progress})
    (gradient,) = torch.autograd.grad(value, output)
    expected = torch.tensor([float(number) for number in EXPECTED_GRADIENT.split()], dtype=torch.float64)
    of_value = abs(value.item() - EXPECTED_VALUE) / max(abs(EXPECTED_VALUE), 1e-9)
    of_gradient = (gradient.flatten() - expected).abs().max().item() / max(expected.abs().max().item(), 1e-9)
    return of_value, of_gradient


def main() -> int:
    """Print the formula and the check; the exit code is 0 where value and gradient agree to 1e-6."""
    print(FORMULA)
    of_value, of_gradient = check()
    agrees = of_value <= 1e-6 and of_gradient <= 1e-6
    print(f"difference from the searched loss: value {{of_value:.1e}}, gradient {{of_gradient:.1e}} (relative)")
    print("the check passed" if agrees else "the check FAILED: this file is not the searched loss")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())'''


def example_block(facts: LossFacts) -> str:
    """The end of the file: expected numbers, ``check`` and ``main``."""
    lines, output, target, prior = facts.kind.export.example(facts)
    lines = [*lines, *_extra_lines(facts, len(output))]
    loss = facts.module().double()
    output.requires_grad_()
    value = loss(output, target, class_prior=prior, progress=0.5, **_extra(facts, len(target)))
    (gradient,) = torch.autograd.grad(value, output)
    numbers = " ".join(repr(number) for number in gradient.flatten().tolist())
    return _BLOCK.format(
        value=value.item(),
        gradient=textwrap.fill(numbers, 112, break_on_hyphens=False, break_long_words=False),
        example="\n".join(f"    {line}" for line in lines),
        extra="".join(f", {name}" for name in facts.extra()),
        progress=", progress=0.5" if facts.scheduled else "",
    )


def _extra(facts: LossFacts, rows: int) -> dict[str, torch.Tensor]:
    """What fairness terms read, as `_extra_lines` writes it."""
    group = torch.arange(rows) // 2 % max(facts.groups, 1)
    features = torch.arange(2.0 * rows, dtype=torch.float64).cos().reshape(rows, 2)
    found = {"group": group, "features": features, "index": torch.arange(rows)}
    found |= {name: own.example(rows)[1] for name, own in facts.kind.export.fields.items()}
    return {name: found[name] for name in facts.extra()}


def _extra_lines(facts: LossFacts, rows: int) -> list[str]:
    lines = {
        "group": f"group = torch.arange({rows}) // 2 % {max(facts.groups, 1)}",
        "index": f"index = torch.arange({rows})",
        "features": f"features = torch.arange({2.0 * rows}, dtype=torch.float64).cos().reshape({rows}, 2)",
    }
    lines |= {name: f"{name} = {own.example(rows)[0]}" for name, own in facts.kind.export.fields.items()}
    return [lines[name] for name in facts.extra()]
