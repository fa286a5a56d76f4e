"""Text that nearly spells numbers or dates is read as such; odd cells are missing and named, in a target refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losssearch.data import files, load
from losssearch.data.columns import read_leniently
from losssearch.data.room import Room
from losssearch.errors import DataError

ROWS = 200
VALUES = np.round(np.random.default_rng(0).uniform(0, 3000, ROWS), 2)
PLAIN = [f"{value:.2f}" for value in VALUES]
MOMENTS = pd.Timestamp("2019-01-01") + pd.to_timedelta(np.random.default_rng(1).integers(0, 6e7, ROWS), unit="s")
MOMENTS = MOMENTS.astype("datetime64[us]")


def with_cell(cells: list[str], cell: str, place: int = 6) -> list[str]:
    return [*cells[:place], cell, *cells[place + 1 :]]


@pytest.mark.parametrize(
    "odd", ["-", ".", "unknown", "<0.1", "> 5000", "#DIV/0!", "NA", "None", "n/a", "12 apples", "12..5", "N.D.", "--"]
)
def test_one_odd_cell_among_numbers_is_missing_and_named(odd: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": np.arange(ROWS) % 2, "c": with_cell(PLAIN, odd)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        dataset = load(data, target="y")
        assert dataset.schema.columns[0].kind == "numeric"
        np.testing.assert_array_equal(dataset.features["c"], np.where(np.arange(ROWS) == 6, np.nan, VALUES))
        assert any("'c'" in said and repr(odd) in said and "row 7" in said for said in dataset.notes)


@pytest.mark.parametrize(
    "written",
    [
        lambda v: f"{v:.2f}".replace(".", ","),
        lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,")),
        lambda v: f"${v:,.2f}",
        lambda v: f"{v:,.2f}".replace(",", " ").replace(".", ",") + " €",
        lambda v: f"{v:,.2f}".replace(",", "\u00a0"),
        lambda v: f"{v:,.2f}".replace(",", "'"),
        lambda v: f"{v:.2f}%",
        lambda v: f"  {v:.2f} % ",
        lambda v: f"{v:.4e}" if v < 1 else f"{v:.7e}",
        lambda v: f"USD {v:.2f}",
        lambda v: f"+{v:.2f}",
    ],
)
def test_numbers_in_common_writings(written: object, tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": np.arange(ROWS) % 2, "c": [written(value) for value in VALUES]})
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    for data in (frame, tmp_path / "t.csv"):
        np.testing.assert_allclose(load(data, target="y").features["c"], VALUES, rtol=1e-12)


@pytest.mark.parametrize("written", ["-{}", "({})", "{}-", "-${}", "$({})", "($ {})", "\u2212{}"])
def test_negative_numbers(written: str) -> None:
    cells = [written.format(cell) if row % 2 else cell for row, cell in enumerate(PLAIN)]
    read = read_leniently(pd.Series(cells), "c")
    np.testing.assert_array_equal(read.values, np.where(np.arange(ROWS) % 2, -VALUES, VALUES))


def test_a_comma_that_may_separate_thousands_or_decimals_is_told() -> None:
    read = read_leniently(pd.Series(["1,234", "5,678"] * 50), "c")
    assert set(read.values) == {1234.0, 5678.0}
    assert "thousands separator" in read.said[0]


@pytest.mark.parametrize(
    "cells",
    [
        ["E11.9", "250.01", "V45", "I10"],
        ["1", "2", "3+", "A"],
        ["00501", "10001", "unknown"],
        ["10-20", "20-30", "30+"],
        ["1.2.3", "1.10.2", "2.0.1"],
        ["10.0.0.1", "192.168.1.2"],
        ["555-12-3456", "123-45-6789"],
        ["None", "NA", "-"],
        ["yes", "no", "1"],
    ],
    ids=" ".join,
)
def test_text_that_only_holds_digits_stays_text(cells: list[str]) -> None:
    assert read_leniently(pd.Series(cells * 50), "c").kind == "categorical"


def test_a_category_of_few_rows_beside_numbers_stays_one() -> None:
    for cells, odd in ((["-50000"], "50000+"), (["0", "1", "2"], "3+"), (["1", "2"], "other")):
        column = pd.Series([*cells * 60, *[odd] * 6])
        assert read_leniently(column, "c").kind == "categorical"
    assert read_leniently(pd.Series([*["0", "1", "2"] * 60, "slip"]), "c").kind == "numeric"


def test_numbers_of_a_text_file_are_typed_as_in_a_frame(tmp_path: Path) -> None:
    cells = {
        "int64": ["1", "-20", " 3 ", "9007199254740993"],
        "float64": ["1.5", "?", "", "1e-3"],
        "str": ["00501", "1", "2", "3"],
    }
    for dtype, four in cells.items():
        (tmp_path / "t.csv").write_text("c,d\n" + "".join(f"{cell},x\n" for cell in four))
        assert files.read_table(tmp_path / "t.csv", ".csv", Room.of())["c"].dtype == dtype
    for odd in ("nan", "inf", "12345678901234567", "0x10", "1_000"):
        (tmp_path / "t.csv").write_text(f"c,d\n1.5,x\n{odd},x\n")
        assert files.read_table(tmp_path / "t.csv", ".csv", Room.of())["c"].dtype == "str"


DAYS = ("%d-%b-%Y", "%B %d, %Y", "%d %B %Y", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y", "%d-%m-%Y", "%d%b%Y", "%Y%m%d")
MINUTES = ("%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d-%b-%y %H:%M")
SECONDS = (
    "%Y-%m-%d %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
    "%Y%m%dT%H%M%S",
    "%Y-%m-%dT%H:%M:%SZ",
)


@pytest.mark.parametrize(
    ("form", "unit"),
    [*((form, "D") for form in DAYS), *((form, "min") for form in MINUTES), *((form, "s") for form in SECONDS)],
)
@pytest.mark.parametrize("gap", [None, "0000-00-00", "unknown"])
def test_dates_in_common_writings(form: str, unit: str, gap: str | None, tmp_path: Path) -> None:
    cells, expected = [moment.strftime(form) for moment in MOMENTS], pd.Series(MOMENTS).dt.floor(unit)
    if gap is not None:
        cells[4], expected[4] = gap, pd.NaT
    frame = pd.DataFrame({"y": np.arange(ROWS) % 2, "c": cells})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        dataset = load(data, target="y")
        assert dataset.schema.columns[0].kind == "date"
        pd.testing.assert_series_equal(dataset.features["c"], expected, check_names=False)
        assert (gap is None) or any(repr(gap) in said and "row 5" in said for said in dataset.notes)


def test_dates_with_a_zone_are_in_utc() -> None:
    for zone, ahead in (("+02:00", 2), ("-0330", -3.5), (" +0100", 1), ("Z", 0)):
        read = read_leniently(pd.Series([f"{moment:%d/%b/%Y %H:%M:%S}{zone}" for moment in MOMENTS]), "c")
        expected = pd.Series(MOMENTS - pd.Timedelta(hours=ahead))
        pd.testing.assert_series_equal(read.values, expected, check_names=False)


def test_whole_numbers_that_are_dates_and_others_that_are_not() -> None:
    days = [int(f"{moment:%Y%m%d}") for moment in MOMENTS]
    read = read_leniently(pd.Series([0, *days[1:]]), "c")
    assert read.kind == "date"
    assert "'0' in row 1" in read.said[0]
    pd.testing.assert_series_equal(read.values[1:], pd.Series(MOMENTS).dt.floor("D")[1:], check_names=False)
    for others in (np.arange(19_000_000, 19_000_000 + ROWS), np.arange(20_200_050, 20_200_050 + ROWS)):
        assert read_leniently(pd.Series(others), "c").kind == "numeric"


def test_an_unclear_order_of_day_and_month_is_told_with_the_reason() -> None:
    unclear = [f"{1 + row % 9}/{1 + row % 8}/2021" for row in range(ROWS)]
    read = read_leniently(pd.Series(unclear), "c")
    assert read.values[8] == pd.Timestamp("2021-09-01")
    assert "month first" in read.said[0]
    assert "slashes" in read.said[0]
    dotted = read_leniently(pd.Series([cell.replace("/", ".") for cell in unclear]), "c")
    assert dotted.values[8] == pd.Timestamp("2021-01-09")
    assert "day first" in dotted.said[0]
    told = read_leniently(pd.Series([*unclear, "13/1/2021"]), "c")
    assert told.values[8] == pd.Timestamp("2021-01-09")
    assert "because of '13/1/2021'" in told.said[0]
    clear = read_leniently(pd.Series([f"{1 + row % 28}/3/2021" for row in range(ROWS)]), "c")
    assert clear.said == ()


@pytest.mark.parametrize("odd", ["-", "unknown", "<0.1", "NA", "twelve"])
@pytest.mark.parametrize("task", [None, "regression"])
def test_a_target_of_numbers_with_an_odd_cell_is_refused(odd: str, task: str | None, tmp_path: Path) -> None:
    frame = pd.DataFrame({"z": np.sin(np.arange(ROWS)), "y": with_cell(PLAIN, odd)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        with pytest.raises(DataError, match=f"'y' .*has '{odd}' in row 7") as caught:
            load(data, target="y", task=task)
        assert "\n" not in str(caught.value)
    frame.loc[2, "y"] = None
    with pytest.raises(DataError, match="in row 7"):
        load(frame, target="y", drop_missing_target=True)


def test_a_word_among_the_classes_of_a_target_of_digits() -> None:
    digits = np.array(["0", "1", "2", "3+"])[np.arange(ROWS) % 4]
    frame = pd.DataFrame({"z": np.sin(np.arange(ROWS)), "y": digits})
    assert load(frame, target="y").classes == ("0", "1", "2", "3+")
    gaps = frame.assign(y=np.where(np.arange(ROWS) % 4 == 3, "NA", digits))
    with pytest.raises(DataError, match="'NA' in row 4"):
        load(gaps, target="y")
    assert load(gaps, target="y", task="multiclass").classes == ("0", "1", "2", "NA")


def test_a_target_of_prices(tmp_path: Path) -> None:
    frame = pd.DataFrame({"z": np.sin(np.arange(ROWS)), "y": [f"${value:,.2f}" for value in VALUES]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (frame, tmp_path / "t.csv"):
        dataset = load(data, target="y")
        assert dataset.task == "regression"
        np.testing.assert_array_equal(dataset.target, VALUES)


@pytest.mark.parametrize("target", ["y", "price"])
def test_a_table_that_is_read_in_pieces_is_read_alike(target: str, tmp_path: Path) -> None:
    rows, random = 20_000, np.random.default_rng(0)
    value = np.round(random.uniform(0, 3000, rows), 2)
    moments = pd.Timestamp("2019-01-01") + pd.to_timedelta(random.integers(0, 6e7, rows), unit="s")
    frame = pd.DataFrame({"y": np.where(value > 1500, "NA", "None"), "price": [f"${cell:,.2f}" for cell in value]})
    frame["comma"] = [f"{cell:.2f}".replace(".", ",") for cell in value]
    frame["odd"] = [f"{cell:.1f}" if row % 50 else "unknown" for row, cell in enumerate(value)]
    frame["when"] = [f"{moment:%d.%m.%Y %H:%M}" for moment in moments]
    frame["whole"] = [int(f"{moment:%Y%m%d}") for moment in moments]
    frame["at"] = [f"{moment:%H:%M}" for moment in moments]
    frame["nested"] = [[1, 2]] * rows
    frame = frame.set_index(pd.Index(random.normal(size=rows), name="level"))
    frame.to_parquet(tmp_path / "t.parquet")
    whole = load(frame, target=target)
    streamed = load(tmp_path / "t.parquet", target=target, memory=1_500_000)
    assert streamed.stored is not None
    assert streamed.classes == whole.classes
    kinds = [(column.name, column.kind) for column in whole.schema.columns]
    assert [(column.name, column.kind) for column in streamed.schema.columns] == kinds
    assert dict(kinds)["level"] == "numeric"
    order = {key: row for row, key in enumerate(whole.row_keys.tolist())}
    same = [order[key] for key in streamed.row_keys.tolist()]
    pd.testing.assert_frame_equal(streamed.features, whole.features.iloc[same].reset_index(drop=True))
    records = np.fromfile(streamed.stored.file.path, dtype=streamed.stored.file.layout.record)
    np.testing.assert_allclose(records["target"], whole.target)
    found = streamed.stored.file.layout.features(records)
    np.testing.assert_array_equal(found[same], streamed.stored.encoded)


def test_rows_are_named_as_those_of_the_file(tmp_path: Path) -> None:
    rows = 5000
    cells = [f"{cell:.3f}" for cell in np.sin(np.arange(rows))]
    frame = pd.DataFrame({"y": np.arange(rows) % 2, "c": cells})
    frame["y"] = frame["y"].astype("object")
    frame.loc[3, "y"] = None
    frame["y"] = frame["y"].astype("Int64")
    frame.loc[3000:, "c"] = "unknown"
    frame.loc[3000:4500, "c"] = "1.5"
    frame.to_parquet(tmp_path / "t.parquet")
    for options in ({}, {"max_rows": 1000}):
        dataset = load(tmp_path / "t.parquet", target="y", drop_missing_target=True, **options)
        said = next(note for note in dataset.notes if "'unknown'" in note)
        row = int(said.rsplit("row ", 1)[1])
        assert frame["c"][row - 1] == "unknown"
        assert options or row == 4502
