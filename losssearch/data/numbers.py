"""Numbers as people and programs write them in text: thousands separators, decimal commas, currencies, percent signs.

How a column writes its numbers is decided by all of its cells: ``POINT`` has a decimal point, ``COMMA`` a decimal
comma. Cells with leading zeros, such as 00501, are codes: as numbers they would lose their zeros.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

POINT, COMMA = "decimal point", "decimal comma"

CODE = r"[-+]?0\d[\d.,' ]*"
"""A zero-filled code."""

_PLAIN = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_INFINITE = r"(?i:[-+]?inf(?:inity)?)"
_WIDE = 1e15
"""Whole numbers from here on are looked at as text, as float64 may merge them."""

_CURRENCY = r"(?:[$€£¥₹₽₩]|US\$|USD|EUR|GBP|CHF|JPY|CAD|AUD|INR|CNY|SEK|NOK|DKK|PLN|BRL|R\$)"
_GROUPED = {
    POINT: r"\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d*)?|\d{1,3}(?:[' ]\d{3})+(?:\.\d*)?",
    COMMA: r"\d{1,3}(?:\.\d{3})+(?:,\d*)?|\d{1,3}(?:[' ]\d{3})+(?:,\d*)?",
}
_SIMPLE = {POINT: r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", COMMA: r"(?:\d+,?\d*|,\d+)(?:[eE][-+]?\d+)?"}
_DECORATED = {
    style: re.compile(
        rf"(?P<sign>[-+]?) ?{_CURRENCY}? ?(?P<inner>[-+]?) ?(?P<digits>{_GROUPED[style]}|{_SIMPLE[style]})"
        rf" ?(?:%|{_CURRENCY})? ?(?P<after>-?)",
        re.IGNORECASE,
    )
    for style in (POINT, COMMA)
}
_BEFORE_BRACKET = re.compile(rf"^{_CURRENCY} ?(?=\()", re.IGNORECASE)
_THREE_AFTER_COMMA = r"[-+]?[1-9]\d{0,2},\d{3}"
_BLANKS = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2212": "-", "’": "'"})


def plainly_numbers(column: pd.Series, missing: Sequence[str]) -> pd.Series | None:
    """Text cells as int64 or float64 where each is a plain number and none a code or wider than float64; else None.

    Cells in ``missing`` count as missing. Arrow does the work, as files may have hundreds of millions of cells.
    """
    import pyarrow as pa
    from pyarrow import compute as pc

    text = _plain_text(column, missing)
    present = len(text) - text.null_count
    if not present or pc.any(pc.match_substring_regex(text, rf"^{CODE}$")).as_py():
        return None
    if present == len(text):
        try:
            return pd.Series(pc.cast(text, pa.int64()).to_numpy(), index=column.index)
        except pa.ArrowInvalid:
            pass
    try:
        numbers = pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None
    sizes = pc.min_max(pc.abs(numbers)).as_py()
    if pc.any(pc.is_nan(numbers)).as_py() or pc.any(pc.is_inf(numbers)).as_py():
        return None
    if sizes["max"] >= _WIDE and pc.any(pc.match_substring_regex(text, r"^-?\d{16,}$")).as_py():
        return None
    return pd.Series(numbers.to_numpy(zero_copy_only=False), index=column.index)


class Plainly:
    """What `plainly_numbers` would make of a column that comes in pieces: first all are seen, then each is converted.

    Args:
        missing: cells that count as missing.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self._missing = missing
        self._present, self._gaps = False, False
        self._code = self._odd = self._wide = False
        self._whole = self._numbers = True
        self._largest = 0.0

    def see(self, piece: pd.Series) -> None:
        """Take note of the next piece of the column."""
        import pyarrow as pa
        from pyarrow import compute as pc

        text = _plain_text(piece, self._missing)
        self._gaps = self._gaps or text.null_count > 0
        if text.null_count == len(text):
            return
        self._present = True
        if self._code or not (self._whole or self._numbers):
            return
        self._code = bool(pc.any(pc.match_substring_regex(text, rf"^{CODE}$")).as_py())
        self._whole = self._whole and not self._gaps and _casts(text, pa.int64())
        self._numbers = self._numbers and _casts(text, pa.float64())
        if not self._numbers:
            return
        numbers = pc.cast(text, pa.float64())
        self._odd = self._odd or bool(pc.any(pc.is_nan(numbers)).as_py() or pc.any(pc.is_inf(numbers)).as_py())
        self._largest = max(self._largest, pc.max(pc.abs(numbers)).as_py())
        self._wide = self._wide or bool(pc.any(pc.match_substring_regex(text, r"^-?\d{16,}$")).as_py())

    def convert(self, piece: pd.Series) -> pd.Series:
        """A piece as int64 or float64, or as the text that it is."""
        import pyarrow as pa
        from pyarrow import compute as pc

        if not self._present or self._code:
            return piece
        text = _plain_text(piece, self._missing)
        if self._whole and not self._gaps:
            return pd.Series(pc.cast(text, pa.int64()).to_numpy(), index=piece.index)
        if not self._numbers or self._odd or (self._largest >= _WIDE and self._wide):
            return piece
        return pd.Series(pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False), index=piece.index)


def _plain_text(column: pd.Series, missing: Sequence[str]) -> Any:
    """Cells without spaces around them, as Arrow has text; those in ``missing`` are null."""
    import pyarrow as pa
    from pyarrow import compute as pc

    text = pc.utf8_trim_whitespace(pa.array(column, type=pa.large_string(), from_pandas=True))
    return pc.if_else(pc.is_in(text, value_set=pa.array(missing, type=pa.large_string())), None, text)


def _casts(text: Any, kind: Any) -> bool:
    import pyarrow as pa
    from pyarrow import compute as pc

    try:
        pc.cast(text, kind)
    except pa.ArrowInvalid:
        return False
    return True


def parse_numbers(text: pd.Series, style: str) -> pd.Series:
    """Each cell as float64, written with a decimal point or comma; NaN if it is no number. Percent stays percent."""
    found = np.full(len(text), np.nan)
    plain = text.str.fullmatch(_PLAIN if style == POINT else r"[-+]?\d+").fillna(False).to_numpy(dtype=bool)
    found[plain] = _plain(text[plain])
    infinite = text.str.fullmatch(_INFINITE).fillna(False).to_numpy(dtype=bool)
    found[infinite] = _plain(text[infinite])
    rest = ~plain & ~infinite & text.str.contains(r"\d").fillna(False).to_numpy(dtype=bool)
    found[rest] = [_decorated(cell, style) for cell in text[rest]]
    return pd.Series(found, index=text.index)


def codes(text: pd.Series) -> bool:
    """Whether a cell is a zero-filled code."""
    return bool(text.str.fullmatch(CODE).any())


def style_unclear(text: pd.Series) -> bool:
    """Whether the commas of a column may be read in two ways: all have three digits after them and none has more."""
    commas = text[text.str.contains(",", regex=False).fillna(False)]
    return bool(len(commas)) and bool(commas.str.fullmatch(_THREE_AFTER_COMMA).all())


def _plain(text: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    # numpy rounds correctly, so that a number written by any library reads as it was.
    return np.asarray(text.to_numpy(dtype=object, na_value="nan"), dtype=np.float64)


def _decorated(cell: str, style: str) -> float:
    cell = _BEFORE_BRACKET.sub("", cell.translate(_BLANKS).strip())
    bracketed = cell.startswith("(") and cell.endswith(")")
    found = _DECORATED[style].fullmatch(cell[1:-1].strip() if bracketed else cell)
    if found is None:
        return float("nan")
    digits = re.sub(r"[,' ]", "", found["digits"]) if style == POINT else re.sub(r"[.' ]", "", found["digits"])
    signs = found["sign"] + found["inner"] + found["after"] + "-" * bracketed
    return float(digits.replace(",", ".")) * (-1.0 if signs.count("-") % 2 else 1.0)
