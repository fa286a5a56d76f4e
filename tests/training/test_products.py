"""Products by another library: only where it is as exact, and only while training."""

from __future__ import annotations

import pytest
import torch

from losssearch.training import products
from losssearch.training.products import onednn_is_exact, quick_products

SETTING = torch.backends.mkldnn.matmul


def test_the_setting_is_put_back() -> None:
    before = SETTING.fp32_precision
    with quick_products():
        pass
    assert SETTING.fp32_precision == before
    with pytest.raises(ZeroDivisionError), quick_products():
        raise ZeroDivisionError
    assert SETTING.fp32_precision == before


@pytest.mark.parametrize("shape", [(5, 70, 3), (64, 64, 64), (200, 31, 10), (1024, 128, 2)])
def test_products_are_those_of_float32(shape: tuple[int, int, int]) -> None:
    """Oracle: float64. Float32 has an error of 1e-7, bfloat16 one of 1e-3."""
    rows, inner, columns = shape
    left, right = torch.randn(3, rows, inner), torch.randn(3, inner, columns)
    exact = left.double() @ right.double()
    with quick_products():
        found = torch.bmm(left, right)
    assert float((found - exact).norm() / exact.norm()) < 2e-6


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_a_product_does_not_depend_on_the_others_of_its_batch(size: int) -> None:
    """To the bit, so that a member is the same alone and in a population."""
    if not onednn_is_exact():
        pytest.skip("oneDNN does not compute in float32 here")
    left, right = torch.randn(30, 64, 33), torch.randn(30, 33, 10)
    with quick_products():
        assert torch.equal(torch.bmm(left[:size], right[:size]), torch.bmm(left, right)[:size])


@pytest.mark.parametrize(("error", "exact"), [(1e-7, True), (3e-7, True), (1e-5, False), (4e-3, False)])
def test_a_library_with_larger_errors_is_not_used(error: float, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_error", lambda *pair: error if SETTING.fp32_precision == "bf16" else 1e-7)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert onednn_is_exact.__wrapped__() is exact
    monkeypatch.setattr(products, "onednn_is_exact", lambda: exact)
    with quick_products():
        assert (SETTING.fp32_precision == "bf16") is exact
