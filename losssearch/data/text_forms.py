"""What a column of text spells: numbers, booleans, dates or times, with a few odd cells perhaps; or just text.

A column is nearly numeric where at most a tenth of its cells is odd; cells that stand for a gap, such as ``-``, ``NA``
or ``#DIV/0!``, and values beyond a limit of detection, such as ``<0.1``, are not counted. The same holds for dates.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from losssearch.data import dates, numbers
from losssearch.data.schema import ColumnKind

MOST_ODD = 0.1
"""Share of the cells that may be odd in a column of numbers or dates."""

_FEW_WORDS, _MANY_NUMBERS, _MOST_WORDS = 3, 20, 0.5
"""A few different words may be more than that, in a column of many different numbers."""

_LEAST_READ = 0.1
"""Share of the cells that must be numbers or dates, gaps counted, unless those are many."""

_WORDS = (
    "- -- --- . .. ... _ * na n/a n.a. nan <na> #na #n/a n\\a nil none null nul nd n.d. tbd unk unknown undefined "
    "missing not_available unavailable inapplicable error err #div/0! #value! #ref! #num! #name? #null! -nan 1.#qnan "
    "1.#ind -1.#ind -1.#qnan nat \\n void 0000-00-00 00/00/0000 00.00.0000"
)
_PHRASES = ("not available", "not applicable", "not known", "n / a", "0000-00-00 00:00:00", "no data", "(null)")

GAPS = frozenset(_WORDS.split()) | frozenset(_PHRASES)
"""Cells, in lower case, that stand for a gap among numbers or dates. Among other text they are values."""

_FEW_CELLS, _WORD_ROWS = 20, 5
"""Words that occur in this many rows, in a column with this few distinct cells, are values and not mistakes."""

_CENSORED = r"[<>≤≥~≈]\s*=?\s*[-+$€£]?[\d.,]+\s*%?"
_CODED = r"[A-Za-z]{1,3}[-. ]?\d.*|\d+[A-Za-z].*"
_MOST_CODED = 10


@dataclass(frozen=True)
class TextForm:
    """What the text of a column spells and how: a decimal style of `numbers`, a form of `dates`, or none.

    ``said``: what was chosen where the column may be read in several ways.
    """

    kind: ColumnKind
    form: str = ""
    said: str = ""

    def parse(self, text: pd.Series) -> pd.Series:
        """The cells in this form: float64 or ``datetime64[us]``, missing where a cell is written otherwise."""
        if self.kind == "boolean":
            return text.str.lower().map({"true": 1.0, "false": 0.0}).astype("float64")
        if self.form in (dates.TIME, dates.DURATION):
            return dates.parse_seconds(text, self.form)
        if self.kind == "date":
            return dates.parse_dates(text, self.form)
        return numbers.parse_numbers(text, self.form)


def find_form(text: pd.Series) -> TextForm | None:
    """What stripped text spells, missing cells left out of account; None if it is just text."""
    counts = text.value_counts()
    if counts.empty:
        return None
    cells = pd.Series(counts.index, dtype="str")
    rows = pd.Series(counts.to_numpy(), dtype="float64")
    lower = cells.str.lower()
    if lower.isin(["true", "false"]).all():
        return TextForm("boolean")
    gap = lower.isin(GAPS) | cells.str.fullmatch(_CENSORED).fillna(False)
    judged = _Cells(cells, rows, gap)
    if rows[cells.str.contains(r"\d|^[-+]?[Ii]nf").fillna(False) | gap].sum() < (1 - _MOST_WORDS) * rows.sum():
        return None
    return _numbers(judged) or _dates(judged)


@dataclass(frozen=True)
class _Cells:
    """The different cells of a column, in how many rows each is, and which stand for a gap."""

    text: pd.Series
    rows: pd.Series
    gap: pd.Series

    def fits(self, parsed: pd.Series) -> bool:
        """Whether ``parsed`` has a value for nearly all cells."""
        read = parsed.notna()
        odd = ~read & ~self.gap
        count, others, every = self.rows[read].sum(), self.rows[odd].sum(), self.rows.sum()
        if not count or (count < _LEAST_READ * every and read.sum() <= _MANY_NUMBERS):
            return False
        if others and (read.sum() < 2 or (len(self.text) <= _FEW_CELLS and self.rows[odd].min() >= _WORD_ROWS)):
            return False  # 1, 2 and "3 or more" are categories
        if others <= MOST_ODD * (count + others):
            coded = odd & self.text.str.fullmatch(_CODED).fillna(False)
            return int(coded.sum()) <= _MOST_CODED
        words = odd.sum() <= _FEW_WORDS and read.sum() > _MANY_NUMBERS
        return bool(words and others <= _MOST_WORDS * (count + others))


def _numbers(cells: _Cells) -> TextForm | None:
    point = numbers.parse_numbers(cells.text, numbers.POINT)
    chosen, style = point, numbers.POINT
    if point.isna().any() or numbers.style_unclear(cells.text):
        comma = numbers.parse_numbers(cells.text, numbers.COMMA)
        if cells.rows[comma.notna()].sum() > cells.rows[point.notna()].sum():
            chosen, style = comma, numbers.COMMA
    if not cells.fits(chosen) or numbers.codes(cells.text[chosen.notna()]):
        return None
    said = ""
    if style == numbers.POINT and numbers.style_unclear(cells.text):
        shown = cells.text[cells.text.str.contains(",", regex=False)].iloc[0]
        said = f"{shown!r} is read with a thousands separator, not a decimal comma, as no cell tells them apart"
    return TextForm("numeric", style, said)


def _dates(cells: _Cells) -> TextForm | None:
    if cells.rows[cells.text.str.contains(dates.MAYBE) | cells.gap].sum() < (1 - MOST_ODD) * cells.rows.sum():
        return None
    for form in (dates.TIME, dates.DURATION):
        if cells.fits(dates.parse_seconds(cells.text, form)):
            what = "times of day are read as seconds since midnight" if form == dates.TIME else "durations in seconds"
            return TextForm("numeric", form, what)
    found = dates.day_forms(cells.text)
    fitting = {form: cells.rows[values.notna()].sum() for form, values in found.items() if cells.fits(values)}
    if not fitting:
        return None
    form = max(fitting, key=lambda name: fitting[name])  # of equals, the first
    for month_first, day_first in dates.ORDERS.items():
        if month_first in fitting and day_first in fitting:
            form, why = _order(cells, found, month_first, day_first)
            return TextForm("date", form, why)
    return TextForm("date", form)


def _order(cells: _Cells, found: dict[str, pd.Series], month_first: str, day_first: str) -> tuple[str, str]:
    """Which of two orders a column has that fits both, and why."""
    month, day = found[month_first].notna(), found[day_first].notna()
    months, days = float(cells.rows[month].sum()), float(cells.rows[day].sum())
    both = cells.text[month & day & (found[month_first] != found[day_first])]
    if both.empty:
        return month_first, ""
    shown = f"{both.iloc[0]!r} may have the month or the day first: read "
    advice = "write dates as 2021-03-31 to be sure"
    if months != days:
        only = cells.text[(month & ~day) if months > days else (day & ~month)].iloc[0]
        first = "month" if months > days else "day"
        return (month_first if months > days else day_first), f"{shown}with the {first} first, because of {only!r}"
    if bool(both.str.contains(r"^\s*\d+\s?/").all()):
        return month_first, f"{shown}with the month first, as is usual with slashes and as no cell tells; {advice}"
    return day_first, f"{shown}with the day first, as is usual with these separators and as no cell tells; {advice}"
