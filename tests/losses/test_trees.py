"""Trees: how they are read, what they compute (SymPy says what), and that many at once are each one alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.domains import Tree
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.losses.trees.display import expression_of, shown_formula
from losssearch.losses.trees.operators import evaluated
from losssearch.losses.trees.program import Program
from losssearch.losses.trees.tree import ARITY, LEAVES, Node, canonical, leaves, parse, read, simplified, size, written
from losssearch.tasks import TASKS

POINTS = 200
EACH = [f"{name}({', '.join(['output', 'target'][:arity])})" for name, arity in ARITY.items()]
DEEP = [
    "log(add(1, exp(mul(-1, mul(output, target)))))",
    "div(square(sub(output, target)), sub(output, 0.3))",
    "mul(tanh(sub(target, output)), max(root(output), min(target, 0.25)))",
    "add(square(sub(output, target)), mul(0.1, abs(add(output, log(square(target))))))",
]


def random_tree(random: np.random.Generator, depth: int) -> Node:
    if depth == 0 or random.uniform() < 0.2:
        return (*LEAVES, 1.0, -1.0, float(f"{random.normal():.3g}"))[random.integers(5)]
    name = list(ARITY)[random.integers(len(ARITY))]
    return (name, *(random_tree(random, depth - 1) for _ in range(ARITY[name])))  # type: ignore[return-value]


def random_trees(count: int, seed: int = 0) -> list[Node]:
    random, found = np.random.default_rng(seed), dict[str, Node]()
    while len(found) < count:
        tree = random_tree(random, int(random.integers(1, 5)))
        if size(tree) <= 31 and "output" in leaves(tree):
            found[written(tree)] = tree
    return list(found.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sinus(output)", "unknown operator or leaf of a tree 'sinus'"),
        ("__import__(output)", "unknown operator or leaf of a tree '__import__'"),
        ("abs(output", "brackets of a tree must match and none may be left open"),
        ("abs(output))", "brackets and commas of a tree must match"),
        ("add(output target)", "brackets and commas of a tree must match"),
        ("add(output, target, 1)", "brackets and commas of a tree must match"),
        ("add(output)", "add takes 2 arguments, got 1"),
        ("abs()", "brackets and commas of a tree must match"),
        ("abs output", r"abs is an operator and needs brackets, as in abs\(output\)"),
        ("abs(output); abs(output)", "names, numbers, brackets and commas, got ';'"),
        ("", "brackets of a tree must match"),
        ("abs(target)", "a tree must depend on output"),
        ("sub(output, output)", "a tree must depend on output"),
        ("add(output, 1e7)", "a constant of a tree must lie in"),
        ("add(output, 1e999)", "a constant of a tree must lie in"),
        ("add(output, inf)", "unknown operator or leaf of a tree 'inf'"),
        ("abs(" * 31 + "output" + ")" * 31, "a tree has at most 31 nodes, got more"),
        ("abs(" * 10**5 + "output" + ")" * 10**5, "a tree has at most 31 nodes, got more"),
        ("(" * 10**5, "brackets and commas of a tree must match"),
        (7, "a tree is text such as"),
        (["abs(output)"], "a tree is text such as"),
    ],
)
def test_what_is_no_tree_is_told_in_one_line(text: object, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        LossSpec.from_json({"parts": [{"term": "symbolic", "tree": text}]})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_tree_with_as_many_nodes_as_allowed_is_read() -> None:
    text = "abs(" * 30 + "output" + ")" * 30
    assert size(parse(text)) == 31
    with pytest.raises(SpecError, match="at most 7 nodes"):
        Tree(7, default="abs(output)").check("tree", text)


def test_text_and_tree_are_the_same() -> None:
    for tree in random_trees(200):
        assert parse(written(tree)) == tree


def test_the_canonical_form_is_stable_and_has_the_value_of_the_tree() -> None:
    output, target = torch.randn(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for tree in random_trees(300):
        try:
            text = canonical(written(tree))
        except SpecError:  # the output cancels
            continue
        assert canonical(text) == text
        torch.testing.assert_close(
            evaluated(read(text), output, target), evaluated(tree, output, target), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("square(sub(target, output))", "square(sub(output, target))"),
        ("abs(mul(-1, output))", "abs(output)"),
        ("mul(output, 1)", "output"),
        ("add(target, output)", "add(output, target)"),
        ("mul(output, output)", "square(output)"),
        ("add(output, add(1, 1))", "add(2, output)"),
        ("add(output, -0.0)", "output"),
        ("abs(abs(square(output)))", "square(output)"),
    ],
)
def test_equal_trees_have_one_key(text: str, expected: str) -> None:
    ours, theirs = (LossSpec.from_json({"parts": [{"term": "symbolic", "tree": tree}]}) for tree in (text, expected))
    assert ours.parts[0].hyperparameters["tree"] == expected
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert LossSpec.from_json(json.loads(json.dumps(ours.to_json()))) == theirs


@pytest.mark.parametrize("text", [*EACH, *DEEP])
def test_value_and_derivative_are_those_of_sympy(text: str) -> None:
    sympy = pytest.importorskip("sympy")
    tree = parse(text)
    expression, symbols = expression_of(tree), sympy.symbols("output target", real=True)
    random = np.random.default_rng(0)
    points = 3 * random.normal(size=(2, POINTS))
    slope = expression.diff(symbols[0])
    at = [sympy.lambdify(symbols, one, ["scipy", {"Heaviside": np.heaviside}]) for one in (expression, slope)]
    expected = [torch.as_tensor(np.broadcast_to(one(*points), POINTS).astype(float)) for one in at]
    output, target = torch.from_numpy(points)
    values, slopes = Program([tree], [0]).with_slopes(output[None], target[None])
    leaf = output.clone().requires_grad_()
    value = evaluated(tree, leaf, target)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    for found in (values[0], value.detach()):
        torch.testing.assert_close(found, expected[0], rtol=1e-9, atol=1e-12)
    for found in (slopes[0], slope):
        torch.testing.assert_close(found, expected[1], rtol=1e-9, atol=1e-12)


def test_many_trees_at_once_are_each_one_alone_to_the_last_digit() -> None:
    trees = random_trees(400)
    output, target = torch.randn(2, 1, 61, generator=torch.Generator().manual_seed(0))
    every = Program(trees, [0] * len(trees)).with_slopes(output, target)
    rows = torch.arange(len(trees)) % 3
    own = torch.cat((output, output + 1, output.flip(-1)))
    apart = Program(trees, rows.tolist()).with_slopes(own, target.expand(3, -1))
    for place, tree in enumerate(trees):
        alone = Program([tree], [0]).with_slopes(output, target)
        there = Program([tree], [0]).with_slopes(own[rows[place]][None], target)
        for found, one in ((every, alone), (apart, there)):
            for ours, expected in zip(found, one, strict=True):
                assert torch.equal(ours[place].nan_to_num(7.0), expected[0].nan_to_num(7.0))


def test_derivatives_forward_are_those_of_autograd() -> None:
    trees = random_trees(300)
    output, target = torch.randn(2, 1, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values, slopes = Program(trees, [0] * len(trees)).with_slopes(output, target)
    for place, tree in enumerate(trees):
        leaf = output[0].clone().requires_grad_()
        value = evaluated(tree, leaf, target[0])
        (slope,) = torch.autograd.grad(value.sum(), leaf, materialize_grads=True)
        torch.testing.assert_close(values[place], value.detach(), equal_nan=True)
        torch.testing.assert_close(slopes[place], slope, equal_nan=True)


def test_equal_subtrees_of_a_population_are_evaluated_once() -> None:
    trees = [parse(f"add({number}, square(sub(output, target)))") for number in range(2, 12)]
    assert Program(trees, [0] * 10).nodes == 2 + 10 + 2 + 10  # leaves, constants, the shared subtree, the sums
    assert Program(trees, range(10)).nodes == 20 + 10 + 20 + 10


def test_a_second_derivative_of_many_at_once_is_refused_and_not_wrong() -> None:
    leaf = torch.ones(1, 3, requires_grad=True)
    values = Program([parse("square(output)")], [0])(leaf, torch.zeros(1, 3))
    (slope,) = torch.autograd.grad(values.sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(slope.sum(), leaf)


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("square(sub(target, output))", "(output - target)^2"),
        ("add(root(square(output)), mul(2, abs(output)))", "3*Abs(output)"),
        ("max(0, sub(1, mul(output, target)))", "max(0, -output*target + 1)"),
    ],
)
def test_formulas_are_simplified(text: str, formula: str) -> None:
    assert shown_formula(canonical(text)) == formula
    assert LossSpec.from_json({"parts": [{"term": "symbolic", "tree": text}]}).formula() == f"[{formula}]"
    assert "output" in shown_formula(text, latex=True)


def test_what_a_tree_reads_of_each_kind_of_task() -> None:
    symbolic = terms["symbolic"]
    loss = symbolic.module(tree="add(output, mul(100, target))", reduction="none")
    prediction, numbers = torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [3.0]])
    torch.testing.assert_close(loss(prediction, numbers), torch.tensor([100.5, 302.0]))
    scores = torch.tensor([[0.0, 2.0], [1.0, 0.5]])
    torch.testing.assert_close(loss(scores, torch.eye(2)), torch.tensor([2.0 - 100, -0.5 + 100]))
    three = torch.log(torch.tensor([[0.2, 0.3, 0.5]]))
    torch.testing.assert_close(loss(three, torch.tensor([[0.0, 1.0, 0.0]])), torch.tensor([100.3]))


def population(count: int) -> PopulationLoss:
    texts = [written(tree) for tree in random_trees(2 * count)]
    good = [text for text in texts if "output" in leaves(simplified(parse(text)))][:count]
    specs = [LossSpec.from_json({"parts": [{"term": "symbolic", "tree": text}]}) for text in good]
    return PopulationLoss(specs, sizes=Sizes(0), offer=TASKS["regression"].offer)


def test_a_member_of_a_population_is_the_member_alone_to_the_last_digit_in_recorded_steps() -> None:
    every, source = population(24), torch.Generator().manual_seed(0)
    assert len(set(every.specs)) == 24
    singles = [every.like([spec]) for spec in every.specs]
    for _ in range(3):  # the first call is recorded, the others repeat it
        outputs = torch.randn(2, 24, 33, generator=source)
        batch = {"target": torch.randn(2, 33, generator=source)}
        learned = torch.zeros(2, 24, 0)
        slopes, *_ = every.slopes(outputs, batch, {}, learned, 0.5)
        values = every(outputs, batch, {}, learned, 0.5)
        for place, single in enumerate(singles):
            own = outputs[:, place : place + 1]
            alone, *_ = single.slopes(own, batch, {}, learned[:, :1], 0.5)
            assert torch.equal(slopes[:, place].nan_to_num(7.0), alone[:, 0].nan_to_num(7.0))
            value = single(own, batch, {}, learned[:, :1], 0.5)
            assert torch.equal(values[:, place].nan_to_num(7.0), value[:, 0].nan_to_num(7.0))


def test_trees_of_a_population_are_one_kind_and_the_step_is_recorded() -> None:
    every = population(12)
    batch = {"target": torch.randn(1, 8)}
    for _ in range(2):
        every.slopes(torch.randn(1, 12, 8), batch, {}, torch.zeros(1, 12, 0), 0.0)
    assert len(every._values.parts) == 1
    (tape,) = every._tapes.values()
    assert list(map(callable, tape._known.values())) == [True]


@pytest.mark.parametrize("text", DEEP)
def test_an_exported_tree_is_plain_lines_and_equals_the_searched_one(text: str) -> None:
    spec = LossSpec.from_json({"parts": [{"term": "symbolic", "tree": text}]})
    for task, output, target in (
        ("regression", torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64)),
        ("binary", torch.randn(9, dtype=torch.float64), torch.arange(9) % 2),
        ("multiclass", torch.randn(9, 3, dtype=torch.float64), torch.arange(9) % 3),
    ):
        facts = LossFacts(spec, task, classes={"binary": 2, "multiclass": 3}.get(task, 2))
        source = loss_source(facts)
        assert "def symbolic" not in source
        assert "x, y = tree_leaves(scores, goal)" in source
        namespace: dict[str, Any] = {"__name__": "loss"}
        exec(compile(source, "loss.py", "exec"), namespace)
        found = []
        for loss in (facts.module().double(), namespace["Loss"]().double()):
            leaf = output.clone().requires_grad_()
            value = loss(leaf, target)
            found.append((value.detach(), *torch.autograd.grad(value, leaf)))
        for ours, theirs in zip(*found, strict=True):
            assert torch.equal(ours, theirs)
