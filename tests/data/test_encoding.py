"""Encoding: finite for any input, and blind to the rows that it was not fitted on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losssearch.data import Column, Draw, Encoder, Schema, draws, load, make_replicas, partition
from losssearch.data.columns import read_columns
from losssearch.data.encoding import MOST_CATEGORIES, calendar_parts
from losssearch.errors import InputError


def table(rows: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(rows)
    frame = pd.DataFrame(
        {
            "amount": generator.lognormal(3, 3, rows) * (generator.random(rows) < 0.1),
            "height": generator.normal(170, 10, rows),
            "colour": generator.choice(["red", "green", "blue", "rare"], rows, p=[0.5, 0.3, 0.19, 0.01]),
            "member": generator.random(rows) < 0.3,
            "joined": pd.Timestamp("2015-01-01") + pd.to_timedelta(generator.integers(0, 3000, rows), unit="D"),
        }
    )
    return frame.mask(generator.random(frame.shape) < 0.05)


def test_widths_and_ranges() -> None:
    frame, schema, _ = read_columns(table(), "the table")
    encoded = Encoder(schema).fit(frame).transform(frame)
    # 2 numbers, 1 boolean, 4 date parts, 4 colours and a gap, 4 indicators of gaps
    assert encoded.shape == (400, 2 + 1 + 4 + 5 + 4)
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    # norm.ppf(1e-7), where scikit-learn's QuantileTransformer cuts its tails
    assert np.abs(encoded).max() <= 5.21
    assert set(np.unique(encoded[:, 2])) == {0, 1}
    assert set(np.unique(encoded[:, 7:])) == {0, 1}
    np.testing.assert_array_equal(encoded[:, 7:12].sum(axis=1), 1)


def test_validation_rows_do_not_move_the_encoding() -> None:
    frame = table().assign(y=np.arange(400) % 2)
    train, validation = np.arange(300), np.arange(300, 400)
    poisoned = frame.copy()
    poisoned.loc[validation, ["amount", "height"]] *= 1e9
    poisoned.loc[validation, "colour"] = "violet"
    poisoned.loc[validation, "member"] = True
    poisoned.loc[validation, "joined"] += pd.Timedelta(days=9000)
    draw = Draw(train, validation, 0)
    before, after = (make_replicas(load(data, target="y"), [draw]) for data in (frame, poisoned))
    assert (before.train["features"] == after.train["features"]).all()
    assert (before.train["target"] == after.train["target"]).all()
    assert not (before.validation["features"] == after.validation["features"]).all()


def test_validation_pixels_and_targets_do_not_move_the_scale() -> None:
    generator = np.random.default_rng(0)
    images, values = generator.random((90, 4, 4)), generator.normal(3, 2, 90)
    draw = Draw(np.arange(60), np.arange(60, 90), 0)
    before = make_replicas(load((images, values)), [draw])
    images[60:], values[60:] = 1 - images[60:] / 9, 50 + np.arange(30)
    after = make_replicas(load((images, values)), [draw])
    assert (before.train["features"] == after.train["features"]).all()
    assert (before.train["target"] == after.train["target"]).all()
    assert (before.facts["target_mean"] == after.facts["target_mean"]).all()
    np.testing.assert_allclose(before.train["features"].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(before.train["features"].std(correction=0), 1, rtol=1e-6)


def test_constant_pixels_stay_finite() -> None:
    images = np.zeros((60, 3, 3), dtype=np.uint8)
    images[:, 1, 1] = np.arange(60) * 4
    dataset = load((images, np.arange(60) % 2))
    encoded = Encoder(dataset.schema).fit(dataset.features).transform(dataset.features)
    assert np.isfinite(encoded).all()
    flat = Encoder(dataset.schema).fit(dataset.features[:1]).transform(dataset.features)
    assert np.isfinite(flat).all()
    blotted = dataset.features.copy()
    blotted[::7, 4] = np.nan
    assert np.isfinite(Encoder(dataset.schema).fit(blotted).transform(blotted)).all()


def test_what_training_never_saw() -> None:
    frame, schema, _ = read_columns(table(), "the table")
    encoder = Encoder(schema).fit(frame.iloc[:300])
    strange = frame.iloc[300:].assign(amount=1e300, height=np.nan, colour="violet", member=np.nan, joined=pd.NaT)
    encoded = encoder.transform(strange)
    assert np.isfinite(encoded).all()
    assert encoded.shape[1] == encoder.transform(frame).shape[1]


def test_columns_empty_in_training_stay_finite() -> None:
    frame, schema, _ = read_columns(table(), "the table")
    empty = frame.iloc[:100].assign(amount=np.nan, member=np.nan, joined=pd.NaT, colour=np.nan)
    encoder = Encoder(schema).fit(empty)
    assert np.isfinite(encoder.transform(empty)).all()
    assert np.isfinite(encoder.transform(frame)).all()


def test_many_categories_share_an_indicator() -> None:
    generator = np.random.default_rng(0)
    frame, schema, _ = read_columns(pd.DataFrame({"town": generator.integers(0, 200, 4000).astype(str)}).add("x"), "t")
    assert Encoder(schema).fit(frame).transform(frame).shape == (4000, MOST_CATEGORIES)


def test_rare_and_unseen_categories_share_an_indicator() -> None:
    frame, schema, _ = read_columns(pd.DataFrame({"a": ["x"] * 40 + ["y"] * 38 + ["once", "twice"]}), "t")
    encoder = Encoder(schema).fit(frame)
    encoded = encoder.transform(pd.DataFrame({"a": ["x", "y", "once", "twice", "never"]}))
    np.testing.assert_array_equal(encoded, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])


def test_equal_categories_are_one_whatever_the_case_of_the_rest() -> None:
    frame, schema, _ = read_columns(pd.DataFrame({"a": ["x ", "x", "y", " y"] * 20}), "t")
    encoded = Encoder(schema).fit(frame).transform(frame)
    np.testing.assert_array_equal(encoded[:4], [[1, 0], [1, 0], [0, 1], [0, 1]])


def test_calendar_parts() -> None:
    dates = pd.DataFrame({"d": pd.to_datetime(["1970-01-01 00:00", "2024-02-29 12:00", None])})
    # Thursday, and Thursday; 19,782 days lie between (Python's date.toordinal)
    expected = [[1970, 1, 3, 0], [2024, 2, 3, 19782.5], [np.nan] * 4]
    np.testing.assert_array_equal(calendar_parts(dates), expected)


def test_a_schema_tells_where_its_kinds_stand() -> None:
    schema = Schema((Column("a", "numeric", 1), Column("b", "date"), Column("c", "numeric")))
    assert schema.positions("numeric") == [0, 2]
    assert schema.positions("numeric", "date") == [0, 1, 2]
    assert schema.positions("numeric", "date", missing_only=True) == [0]


def tiled(elements: st.SearchStrategy[object], dtype: object) -> st.SearchStrategy[np.ndarray]:
    """Columns of 60 rows that repeat up to nine values."""
    return st.lists(elements, min_size=1, max_size=9).map(lambda values: np.array((values * 60)[:60], dtype=dtype))


columns = st.one_of(
    tiled(st.floats(width=64), np.float64),
    tiled(st.integers(-(2**63), 2**63 - 1), np.int64),
    tiled(st.booleans(), np.bool_),
    tiled(st.datetimes().map(np.datetime64) | st.just(np.datetime64("NaT")), "datetime64[us]"),
    tiled(st.none() | st.booleans() | st.integers() | st.floats(), object),
    tiled(st.none() | st.text(max_size=3) | st.sampled_from(["?", "1", "-1e400", "true", "2020-01-02", "nan"]), object),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(columns, min_size=1, max_size=4), st.integers(1, 59))
def test_any_frame_is_encoded_finitely(values: list[np.ndarray], cut: int) -> None:
    raw = pd.DataFrame({f"c{index}": column for index, column in enumerate(values)})
    frame, schema, _ = read_columns(raw, "the frame")
    if not schema.columns:
        return
    encoder = Encoder(schema).fit(frame.iloc[:cut])
    whole = encoder.transform(frame)
    assert np.isfinite(whole).all()
    assert whole.shape == (60, encoder.transform(frame.iloc[:cut]).shape[1])


@pytest.mark.parametrize(
    "dtype", ["Int64", "boolean", "string", "category", "Float32", "int64[pyarrow]", "string[pyarrow]"]
)
def test_nullable_types_are_read(dtype: str) -> None:
    values = pd.Series([0, 1, None, 1] * 20, dtype="Float64").astype("Int64")
    series = values.astype("boolean") if dtype == "boolean" else values.astype("string").astype(dtype)
    frame, schema, _ = read_columns(pd.DataFrame({"a": series}), "t")
    assert schema.columns[0].missing == 20
    assert np.isfinite(Encoder(schema).fit(frame).transform(frame)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(columns, min_size=1, max_size=3), columns, st.booleans())
def test_any_table_is_used_or_refused(values: list[np.ndarray], target: np.ndarray, drop_missing: bool) -> None:
    frame = pd.DataFrame({f"c{index}": column for index, column in enumerate(values)})
    frame["unique"] = np.arange(60) / 7
    try:
        dataset = load(frame.assign(y=target), target="y", drop_missing_target=drop_missing)
        parts = partition(dataset, 0)
    except InputError:
        return
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="search")
    replicas = make_replicas(dataset, drawn, {"test": parts.test})
    for tensor in (*replicas.train.values(), *replicas.validation.values(), *replicas.held["test"].values()):
        assert tensor.isfinite().all()
