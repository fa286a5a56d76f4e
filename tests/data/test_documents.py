"""Documents of queries: which queries are kept, how lists are padded, and how they are encoded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from losssearch.data.documents import ABSENT, gathered
from losssearch.data.encoding import Encoder, rows_of
from losssearch.data.schema import Column, Schema
from losssearch.errors import DataError

FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]})
QUERY = pd.Series(["b", "a", "b", "c", "a", "b", "d", "d"], name="q")
GRADES = np.array([0.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])


def test_queries_keep_their_documents_in_order_and_are_padded() -> None:
    documents, grades, notes = gathered(FRAME, GRADES, QUERY, "the data")
    assert documents.place.tolist() == [[0, 2, 5], [1, 4, -1]]
    assert grades.tolist() == [[0, 1, 0], [2, 0, ABSENT]]
    assert any("1 queries of one document" in note for note in notes)
    assert any("1 queries without a relevant document" in note for note in notes)


def test_encoded_lists_are_those_of_single_documents_side_by_side() -> None:
    documents, *_ = gathered(FRAME, GRADES, QUERY, "the data")
    encoder = Encoder(Schema((Column("x", "numeric", 0),))).fit(documents)
    alone = encoder.transform(FRAME.iloc[[0, 2, 5, 1, 4]])[:, 0]
    found = encoder.transform(rows_of(documents, np.array([1, 0])))
    np.testing.assert_array_equal(found, [[alone[3], alone[4], 0], alone[:3]])


def test_equal_queries_have_equal_keys_in_any_order_of_their_documents() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 2.0, 1.0, 1.0, 3.0]})
    query = pd.Series([0, 0, 1, 1, 2, 2], name="q")
    documents, *_ = gathered(frame, np.array([1.0, 0, 0, 1, 1, 0]), query, "the data")
    keys = documents.keys(np.array([1, 2, 2, 1, 1, 3], dtype=np.uint64))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("grades", "query", "message"),
    [
        ([0, 1, -1, 0], [1, 1, 2, 2], "whole numbers from 0 to 30; the data has -1 in row 3"),
        ([0, 1, 0.5, 0], [1, 1, 2, 2], "whole numbers from 0 to 30; the data has 0.5 in row 3"),
        ([0, 1, 99, 0], [1, 1, 2, 2], "whole numbers from 0 to 30; the data has 99 in row 3"),
        ([0, 1, 1, 0], [1, 1, None, 2], "the data has none in row 3"),
        ([1, 1, 1, 1], [1, 1, 2, 2], "documents of two grades or more; the data has none"),
        ([1, 1, 0, 2], [1, 2, 3, 4], "documents of two grades or more; the data has none"),
    ],
)
def test_what_cannot_be_ranked_is_refused(grades: list[float], query: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        gathered(FRAME.iloc[:4], np.array(grades, dtype=np.float64), pd.Series(query, name="q"), "the data")
