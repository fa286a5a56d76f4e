"""Columns that name the part of each row, and features that look like one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_text
from losssearch.errors import DataError
from losssearch.option_names import option, spelled

SEARCH, CONFIRMATION, TEST = 0, 1, 2
PARTS = ("search", "confirmation", "test")

WORDS: Mapping[str, int] = {
    **dict.fromkeys(("search", "train", "training"), SEARCH),
    **dict.fromkeys(("confirmation", "confirm", "validation", "validate", "valid", "val", "dev"), CONFIRMATION),
    **dict.fromkeys(("test", "testing", "holdout", "hold-out", "held-out"), TEST),
}
"""What a value of a split column may be, in any case, with ``_`` or a blank for ``-``, and the part that it names."""

_SAYS_TRAIN = re.compile(r"(is|in|for)?[_\s.-]*(train|training)", re.IGNORECASE)
_SAYS_TEST = re.compile(r"(is|in|for)?[_\s.-]*(test|testing|holdout)", re.IGNORECASE)
_SPLIT_NAME = re.compile(
    r"((data|cv|train|test|kaggle)?[_\s.-]*(split|splits|fold|folds|set|subset|partition|part|usage|phase)"
    r"([_\s.-]*(id|no|nr|number|name))?)|(is|in|for)?[_\s.-]*(train|training|test|testing|holdout)",
    re.IGNORECASE,
)
_MOST_FOLDS = 20


def sides_of(column: pd.Series, where: str) -> NDArray[np.int64]:
    """The part of each row by a column of names: 0 to 2 as in `PARTS`, -1 if search and confirmation are still one.

    Raises `DataError` for a missing value, a word that names no part, and where no row trains or tests.
    """
    name = f"split column {str(column.name)!r} of {where}"
    text = read_text(column.reset_index(drop=True))
    require_values(text, name, "a part")
    words = _words_of(str(column.name))
    found: dict[str, int] = {}
    for value in text.unique():
        word = _plain(value)
        if word not in words:
            row = int((text == value).to_numpy().argmax()) + 1
            raise DataError(
                f"{option('split')} knows the words {', '.join(WORDS)}; {name} holds {value!r} in row {row}: "
                f"write one of them"
            )
        found[value] = words[word]
    sides: NDArray[np.int64] = text.map(found).to_numpy(copy=True).astype(np.int64)
    present = set(sides.tolist())
    for part in (SEARCH, TEST):
        if part not in present:
            held = ", ".join(repr(value) for value in found)
            needed = "train" if part == SEARCH else "test"
            raise DataError(
                f"{option('split')} needs rows of train and of test; {name} has no {needed}, it holds {held}"
            )
    if CONFIRMATION not in present:
        sides[sides == SEARCH] = -1
    return sides


def _plain(value: object) -> str:
    word = re.sub(r"[\s_]+", "-", str(value).strip().lower())
    return word[:-2] if re.fullmatch(r"[01]\.0", word) else word


def _words_of(name: str) -> Mapping[str, int]:
    """The words of a split column of this name: of one such as ``is_train``, true and false too."""
    plain = name.strip()
    for says, yes, no in ((_SAYS_TRAIN, SEARCH, TEST), (_SAYS_TEST, TEST, SEARCH)):
        if says.fullmatch(plain):
            return {**WORDS, "true": yes, "1": yes, "yes": yes, "false": no, "0": no, "no": no}
    return WORDS


def require_values(values: pd.Series, name: str, what: str) -> None:
    """Raise `DataError` where a row of the column lacks ``what``."""
    missing = values.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"every row must have {what}; {name} lacks {int(missing.sum())} of {len(missing)}, the first in row "
            f"{int(missing.argmax()) + 1}: fill them in or leave those rows out"
        )


def announced(features: pd.DataFrame, used: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each feature that is named like a split, has the values of one, and is not used as one."""
    notes = []
    for name in map(str, features.columns):
        if name in used or not _SPLIT_NAME.fullmatch(name.strip()):
            continue
        values = read_text(features[name]).dropna().unique()
        if not 2 <= len(values) <= _MOST_FOLDS:
            continue
        words = [_plain(value) for value in values]
        flagged = re.match(r"(is|in|for)[_\s.-]*t", name.strip(), re.IGNORECASE)  # a column `test` may hold findings
        if all(word in (_words_of(name) if flagged else WORDS) for word in words):
            notes.append(
                f"column {name!r} looks like a split of the rows, and is read as a feature: "
                f"{option('split', name)} uses it as "
                f"the split, {option('drop', name)} leaves it out"
            )
        elif re.search("fold|split|subset", name.lower()) and all(
            re.fullmatch(r"\d{1,2}(\.0)?", word) for word in words
        ):
            notes.append(
                f"column {name!r} looks like numbers of folds, and is read as a feature: {option('drop', name)} "
                f"leaves it out"
            )
    return tuple(map(spelled, notes))
