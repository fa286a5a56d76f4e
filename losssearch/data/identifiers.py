"""Columns that number or name the rows: a file is often sorted by class, so they would give the target away.

A column is one by its *name* and values that hardly repeat, or by its *values* alone: whole numbers that were plainly
dealt out one by one. Of numbers that were measured in so narrow a range, some would occur twice.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.schema import ColumnKind

NEARLY = 0.9
"""Share of the values that are distinct from which a column hardly repeats."""

NAMED = 0.5
"""The same of a column that is plainly named an identifier: some tables have two rows for each."""

LEAST = 30
"""Values that a column must have to be judged."""

EXPECTED, SEEN = 10, 0.1
"""Repeats that measured values would have at the least, and the share of them that numbers dealt out may have."""

REASON = "row numbers or identifiers"

_IDENTIFIER = "id ids uid guid uuid rowid identifier identifiant identificador identificativo kennung"
"""Words that name an identifier where they come last, whatever its values; or first, in whole numbers and text."""

_KEY = "pk key keys rowkey pid oid sid hash md5 sha1 sha256 checksum token ssn iban imei isbn vin rownum rowno lfdnr"
"""Words that name one where they come last, in whole numbers and text."""

_NUMBERING = "no nr num number numero nummer index idx serial seq sequence ref reference ticket"
"""The same where another word comes before and values hardly repeat."""

_TIME_OR_PLACE = (
    "year years yr jahr annee ano anno month day days date time timestamp ts hour hours minute minutes second seconds "
    "week age epoch period quarter zip zipcode postal postcode plz fips code lat lon latitude longitude t"
)
"""Words that say that whole numbers are times or places, however seldom they repeat."""

_ENTITY = (
    "user customer client patient passenger account order invoice row item product member person people employee "
    "student case record sample subject policy loan transaction trans session visit event device house household "
    "building listing property parcel seller buyer vendor supplier driver vehicle car flight match game player team "
    "applicant application contract claim ticket message mail post tweet article book movie film song track image img "
    "photo file doc document entry obs observation instance example data object node unit cell station store shop "
    "school county city company firm business site page url query request job task lead contact profile group family "
    "guest booking reservation payment card bank iris animal plant tree well plot run trial test exam study row uniq "
    "unique global master main ref cust acct emp stud pat prod trans txn kunden kunde patienten pass"
)
_JOINED = re.compile(rf"(?:{'|'.join(_ENTITY.split())})s?(?P<end>id|uid|key|no|nr|num|number|nummer)")
_INDEX = re.compile(
    r"(unnamed: ?\d+(_level_\d+)?|__index_level_\d+__|level_\d+|index|rows?|row_?names?|)", re.IGNORECASE
)
_PARTS = re.compile(r"[A-ZÀ-Þ]+(?=[A-ZÀ-Þ][a-zà-ÿ])|[A-ZÀ-Þ]?[a-zà-ÿ]+|[A-ZÀ-Þ]+|\d+")


def identifying(name: str, values: pd.Series, kind: ColumnKind) -> bool:
    """Whether a column is an identifier: ``values`` in the form that `losssearch.data.columns.read_column` gives."""
    present = values.dropna()
    if kind not in ("numeric", "categorical") or len(present) < LEAST:
        return False
    distinct = present.nunique() / len(present)
    whole = kind == "categorical" or bool((present % 1 == 0).all())
    words = _words(name)
    if names_identifier(name, whole=whole):
        return distinct >= NAMED
    numbering = bool(_INDEX.fullmatch(name.strip())) or (len(words) > 1 and words[-1] in _NUMBERING.split())
    if whole and distinct >= NEARLY and numbering:
        return True
    if kind == "categorical" or not whole or set(_TIME_OR_PLACE.split()) & set(words):
        return False
    return dealt_out(present.to_numpy(dtype=np.float64))


def names_identifier(name: str, *, whole: bool) -> bool:
    """Whether a name, in any habit of writing, says that its column holds identifiers; ``whole``: and no fractions."""
    words = _words(name)
    if not words:
        return False
    if words[-1] in _IDENTIFIER.split():
        return True
    joined = _JOINED.fullmatch("".join(words))
    if joined and joined["end"] in ("id", "uid"):
        return True
    return whole and bool(
        joined or words[0] in _IDENTIFIER.split() or words[-1] in _KEY.split() or re.match("ID[a-z]", name)
    )


def dealt_out(values: NDArray[np.float64]) -> bool:
    """Whether whole numbers were dealt out one by one, as row numbers are, with gaps or without.

    Values drawn at random from a range of R whole numbers would have about ``n² / 2R`` repeats, and values that crowd
    somewhere more. Where far fewer are there, nobody measured them. Years are told by where they lie, and a grid of
    times or depths by its step.
    """
    count, low, high = len(values), float(values.min()), float(values.max())
    span = high - low + 1
    repeats = count - len(np.unique(values))
    years = low >= 1000 and high <= 2200 and span <= 500
    if years or np.gcd.reduce(np.diff(np.sort(values)).clip(max=2**62).astype(np.int64)) > 1:
        return False
    # The expected number of distinct values, for ranges that are not much larger than the sample too.
    expected = count - span * -np.expm1(count * np.log1p(-1 / span)) if span > 1 else count - 1.0
    return bool(expected >= EXPECTED and repeats <= SEEN * expected)


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _PARTS.findall(name)]
    while len(words) > 1 and words[-1].isdigit():  # the 2 of customer_id_2
        words.pop()
    return words
