"""Dates and times as people and programs write them in text.

A cell is cut into a day, a time of day and a zone. How the days of a column are written is decided by all of its cells,
as 03/04/2021 alone may be two days.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

ISO = "ISO8601"
COMPACT = "%Y%m%d"
"""Whole numbers such as 20210331."""
TIME = "time of day"
DURATION = "duration"

DAY_FORMS = (
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d/%b/%Y",
    "%d/%b/%y",
    "%b/%d/%Y",
    "%Y/%b/%d",
)
"""Forms of a day whose separators are all written as slashes; of two that fit a column equally well, the first."""

ORDERS = {"%m/%d/%Y": "%d/%m/%Y", "%m/%d/%y": "%d/%m/%y"}
"""Forms with the month first, and the same with the day first."""

MAYBE = r"(?i)\d{8}T\d|\d{1,4} ?[-/.:] ?\d{1,2}|\d[- /]?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?[- /]\d|^-?\d+ days?"  # noqa: E501
"""What a cell that may be a date holds."""

_MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[-+]\d{2}:?\d{2})?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d+)?))?\s*(?P<half>[ap]\.?m\.?)?"
_CELL = (
    r"(?i)^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
    rf"(?P<day>\d{{1,4}}\s?[-/.\s]\s?\d{{1,2}}\s?[-/.\s]\s?\d{{1,4}}|\d{{1,4}}(?:st|nd|rd|th)?[-/.\s]*(?:{_MONTH})\.?,?"
    rf"[-/.\s]*\d{{1,4}}|(?:{_MONTH})\.?[-/.\s]*\d{{1,2}}(?:st|nd|rd|th)?,?[-/.\s]+\d{{4}})"
    rf"(?:(?:\s*[T,]\s*|\s+(?:at\s+)?|:){_CLOCK}{_ZONE})?$"
)
_YEAR_LAST = r"(?i)^(?:[a-z]{3},? )?([a-z]{3} {1,2}\d{1,2}) (\d{1,2}:\d{2}(?::\d{2})?) ?((?:Z|UTC|GMT)?) (\d{4})$"
"""As C's ctime writes it, the year after the time."""

_BASIC = r"^(\d{4})(\d{2})(\d{2})T(\d{2}):?(\d{2}):?(\d{2})"
_TIME_CELL = rf"(?i)^{_CLOCK}$"
_LONG_TIME = r"^(?P<hour>\d{1,3}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?$"
_DURATION_CELL = r"^-?\d+ days?(?:,? [-+]?\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)?$"
_EARLIEST, _LATEST = 19_000_101, 21_001_231


def day_forms(text: pd.Series) -> dict[str, pd.Series]:
    """By form, the cells of ``text`` read in it, ``datetime64[us]`` in UTC; NaT where a cell is written otherwise."""
    found = {ISO: parse_dates(text, ISO)}
    if found[ISO].notna().all():
        return found
    parts = _parts(text)
    return found | {form: _joined(parts, form) for form in DAY_FORMS}


def parse_dates(text: pd.Series, form: str) -> pd.Series:
    """The cells of ``text`` in one form of `day_forms`, or ``COMPACT``."""
    if form == ISO:
        return _plain(pd.to_datetime(text, format=ISO, errors="coerce", utc=True))
    if form == COMPACT:
        return compact_dates(pd.to_numeric(text, errors="coerce"))
    return _joined(_parts(text), form)


def parse_seconds(text: pd.Series, form: str) -> pd.Series:
    """Times of day as seconds since midnight, durations as seconds; NaN if a cell is neither."""
    if form == DURATION:
        whole = text.where(text.str.match(_DURATION_CELL).fillna(False))
        return pd.to_timedelta(whole, errors="coerce").dt.total_seconds()
    short = text.str.extract(_TIME_CELL)
    long = text.str.extract(_LONG_TIME)
    return _seconds(short).fillna(_seconds(long))


def compact_dates(numbers: pd.Series) -> pd.Series:
    """Whole numbers such as 20210331 as dates; NaT where they are none between 1900 and 2100."""
    values = pd.to_numeric(numbers).astype("float64")
    fits = values.between(_EARLIEST, _LATEST) & (values % 1 == 0)
    text = values.where(fits).astype("Int64").astype("str").where(fits)
    return _plain(pd.to_datetime(text, format=COMPACT, errors="coerce", utc=True))


def _parts(text: pd.Series) -> pd.DataFrame:
    """Days with slashes as their separators, seconds since midnight, and minutes that the zone is ahead of UTC."""
    written = text.str.replace(_YEAR_LAST, r"\1 \4 \2 \3", regex=True)
    written = written.str.replace(_BASIC, r"\1-\2-\3T\4:\5:\6", regex=True)
    cells = written.str.extract(_CELL)
    day = cells["day"].str.lower().str.replace(r"(\d)(?:st|nd|rd|th)\b", r"\1", regex=True)
    day = day.str.replace(r"([a-z]{3})[a-z]*", r"/\1/", regex=True).str.replace(r"[-/.,\s]+", "/", regex=True)
    seconds = _seconds(cells).where(cells["hour"].notna(), 0.0)
    zone = cells["zone"].str.replace(":", "", regex=False)
    offset = zone.str.extract(r"^([-+])(\d{2})(\d{2})$")
    minutes = pd.to_numeric(offset[1]) * 60 + pd.to_numeric(offset[2])
    minutes = minutes.where(offset[0] != "-", -minutes).fillna(0.0)
    return pd.DataFrame({"day": day.str.strip("/"), "seconds": seconds, "minutes": minutes})


def _joined(parts: pd.DataFrame, form: str) -> pd.Series:
    days = _plain(pd.to_datetime(parts["day"], format=form, errors="coerce", utc=True))
    moments = days + pd.to_timedelta(parts["seconds"] - 60 * parts["minutes"], unit="s")
    return moments.astype("datetime64[us]")


def _seconds(cells: pd.DataFrame) -> pd.Series:
    hour, minute = pd.to_numeric(cells["hour"]), pd.to_numeric(cells["minute"])
    second = pd.to_numeric(cells["second"].str.replace(",", ".", regex=False)).fillna(0.0)
    fits = (minute < 60) & (second < 60)
    if "half" in cells:
        half = cells["half"].str[:1].str.lower()
        fits &= np.where(half.isna(), hour < 24, (hour >= 1) & (hour <= 12))
        hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    total: pd.Series = (3600.0 * hour + 60.0 * minute + second).astype("float64")
    return total.where(fits)


def _plain(dates: Any) -> pd.Series:
    plain: pd.Series = dates.dt.tz_localize(None).astype("datetime64[us]")
    return plain
