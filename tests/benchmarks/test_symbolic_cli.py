"""The benchmarks of formulas: that they run, and that what they compare is trained alike."""

import json

import torch

from benchmarks import symbolic_diabetes, symbolic_speed


def test_speed_and_screening_are_measured():
    figures = symbolic_speed.evaluation(64) | symbolic_speed.screening(48)
    assert figures["values_per_cpu_s"] > 0
    assert 0.5 < figures["share_never_trained"] <= 1
    assert set(symbolic_speed.GOALS) <= set(figures)


def test_a_formula_is_trained_as_the_squared_error_that_it_is(capsys):
    parts = symbolic_diabetes._parts(0)
    assert [len(target) for _, target in parts] == [265, 88, 89]
    plain = symbolic_diabetes._train(parts, lambda o, y: (o - y).square(), 1, 0, 100, 0.01)
    formula = symbolic_diabetes._train(
        parts, symbolic_diabetes._formulas(["square(sub(output, target))"]), 1, 0, 100, 0.01
    )
    torch.testing.assert_close(formula[0], plain[0])
    run = symbolic_diabetes.one_split(0, 1, 50)
    assert json.loads(json.dumps(run)) == run
    symbolic_diabetes.show({"figures": {"splits": [run]}})
    assert run["formula"] in capsys.readouterr().out.replace("\n", "")
