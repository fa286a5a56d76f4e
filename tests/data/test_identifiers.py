"""Identifiers are no features, whatever they are called and written as; measurements are, even if each is unique."""

import hashlib
import uuid
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from losssearch.data import load

ROWS = 200
GENERATOR = np.random.default_rng(11)
LABELS = np.sort(GENERATOR.integers(0, 2, ROWS))  # sorted: whoever can count the rows knows the class


def names_of(column: object, name: str) -> list[str]:
    frame = pd.DataFrame({name: column, "size": GENERATOR.normal(size=ROWS), "y": LABELS})
    return [column.name for column in load(frame, target="y").schema.columns]


# With gaps of random width, as in a table that was filtered: nothing but the name tells.
GAPS = 10_000 + np.cumsum(GENERATOR.integers(1, 400, ROWS))


def one_duplicate(ids: np.ndarray) -> pd.Series:
    return pd.Series(ids).where(np.arange(ROWS) != 3, ids[4])


FORMS: dict[str, Callable[[np.ndarray], object]] = {
    "integers": lambda ids: ids,
    "floats": lambda ids: ids.astype(float),
    "text": lambda ids: pd.Series(ids).map("C{:07d}".format),
    "zero-filled": lambda ids: pd.Series(ids).map("{:08d}".format),
    "one duplicate": one_duplicate,
    "one missing": lambda ids: pd.Series(ids.astype(float)).where(np.arange(ROWS) != 7),
    "a tenth missing": lambda ids: pd.Series(ids.astype(float)).where(np.arange(ROWS) % 10 != 7),
    "shuffled": lambda ids: np.random.default_rng(0).permutation(ids),
    "two rows each": lambda ids: np.repeat(ids[: ROWS // 2], 2),
    "19 digits": lambda ids: 7_000_000_000_000_000_000 + ids,
}

NAMES = [
    "id", "ID", "Id", "CustomerID", "customerId", "PassengerId", "userid", "USER_ID", "customer id", "Customer-ID",
    "patient.id", "id_client", "idUser", "IDpol", "key", "pk", "order_key", "customer_id_2", "uuid", "uid",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_a_named_identifier_is_ignored(name: str, form: str) -> None:
    assert names_of(FORMS[form](GAPS), name) == ["size"]


@pytest.mark.parametrize("name", ["account_no", "invoiceNumber", "accountno", "Serial No", "policy_nr", "kundennummer"])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "two rows each"])
def test_a_numbering_is_ignored(name: str, form: str) -> None:
    assert names_of(FORMS[form](GAPS), name) == ["size"]


@pytest.mark.parametrize("name", ["Unnamed: 0", "", "index", "level_0", "__index_level_0__", "rownames"])
@pytest.mark.parametrize("form", ["integers", "floats", "one duplicate", "one missing"])
def test_an_index_written_along_is_ignored(name: str, form: str) -> None:
    assert names_of(FORMS[form](GAPS), name) == ["size"]


@pytest.mark.parametrize("start", [0, 1, 5_000_001])
@pytest.mark.parametrize("kept", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("form", ["integers", "floats", "one duplicate", "one missing", "shuffled"])
def test_row_numbers_of_any_name_are_ignored(start: int, kept: float, form: str) -> None:
    numbers = start + np.sort(np.random.default_rng(2).permutation(round(ROWS / kept))[:ROWS])
    assert names_of(FORMS[form](numbers), "n") == ["size"]


@pytest.mark.parametrize("kind", ["uuid", "hash"])
@pytest.mark.parametrize("rows", [50, ROWS])
def test_random_names_are_ignored(kind: str, rows: int) -> None:
    made = [uuid.UUID(int=int(n)).hex if kind == "uuid" else hashlib.md5(bytes([n])).hexdigest() for n in range(rows)]
    frame = pd.DataFrame({"device": made, "size": GENERATOR.normal(size=rows), "y": np.arange(rows) % 2})
    assert [column.name for column in load(frame, target="y").schema.columns] == ["size"]


def test_an_array_may_hold_an_identifier() -> None:
    features = np.column_stack([np.arange(ROWS), GENERATOR.normal(size=ROWS)])
    assert [column.name for column in load((features, LABELS)).schema.columns] == ["x1"]


FEATURES = {
    "height": GENERATOR.normal(170, 10, ROWS),
    "amount paid": np.round(GENERATOR.lognormal(6, 1, ROWS), 2),
    "salary": GENERATOR.permutation(np.round(GENERATOR.normal(40_000, 12_000, ROWS * 3)))[:ROWS],
    "population": np.round(GENERATOR.lognormal(12, 2, ROWS)),
    "paid": np.round(GENERATOR.lognormal(8, 1, ROWS)),
    "valid": GENERATOR.integers(0, 10**6, ROWS),
    "grid": GENERATOR.integers(0, 10**7, ROWS),
    "year": np.arange(1820, 1820 + ROWS),
    "jahr": np.arange(1820, 1820 + ROWS),
    "season": np.arange(1820, 1820 + ROWS),
    "zip_code": GENERATOR.permutation(90_000)[:ROWS] + 10_000,
    "zipcode": GENERATOR.permutation(9_000)[:ROWS] + 1_000,
    "timestamp": 1_700_000_000 + 60 * np.arange(ROWS),
    "depth": 5 * np.arange(ROWS),
    "opened": 1_700_000_000 + np.sort(GENERATOR.integers(0, 10**6, ROWS)),
    "refractive_index": GENERATOR.normal(1.5, 0.01, ROWS),
    "key_ratio": GENERATOR.normal(size=ROWS),
    "hash_rate": GENERATOR.lognormal(size=ROWS),
    "number_of_steps": GENERATOR.integers(0, 30_000, ROWS),
    "age": GENERATOR.integers(18, 90, ROWS),
    "score": GENERATOR.integers(0, 400, ROWS),
    "product_id": GENERATOR.integers(0, 12, ROWS),
    "acid": GENERATOR.normal(size=ROWS),
    "humid": np.round(GENERATOR.normal(5000, 900, ROWS)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_measurement_is_kept(name: str) -> None:
    assert names_of(FEATURES[name], name) == [name, "size"]
