"""Small files that unpack to large ones: refused before they are unpacked, whatever they say of themselves."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from losssearch.data import load
from losssearch.errors import DataError

MEBIBYTE = 1 << 20
LIMIT = 64 * MEBIBYTE
SLACK = 100 * MEBIBYTE
"""Of the peak above the limit: what libraries hold themselves."""

Bomb = Callable[[Path], None]


def packed(path: Path, *pieces: tuple[bytes, int]) -> None:
    """A gzip file of each piece so many times."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        for piece, times in pieces:
            block = piece * max(1, min(times, MEBIBYTE // len(piece)))
            for _ in range(max(1, times * len(piece) // len(block))):
                file.write(block)


def lying_size(path: Path) -> None:
    """ISIZE, at the end of a gzip file, says that it holds 100 bytes."""
    packed(path, (b"a,y\n", 1), (b"1,0\n", 80 * MEBIBYTE // 4))
    path.write_bytes(path.read_bytes()[:-4] + (100).to_bytes(4, "little"))


def members(path: Path) -> None:
    """A gzip file of many gzip files."""
    path.write_bytes(gzip.compress(b"a,y\n") + gzip.compress(b"1,0\n" * MEBIBYTE) * 20)


def zeros(path: Path) -> None:
    np.savez_compressed(path, X=np.zeros((100, MEBIBYTE), dtype=np.uint8), y=np.arange(100) % 2)


def member(path: Path, header: bytes, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", header + content)
        archive.writestr("y.npy", array_bytes(np.arange(100) % 2))


def array_bytes(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def header(shape: str, kind: str) -> bytes:
    """The beginning of an NPY file."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


ROWS = 4_000
TEXT = "x" * 20_000


def labels() -> pa.Array:
    return pa.array(np.arange(ROWS) % 2)


def repeated() -> pa.Array:
    """One text, named in all rows."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, dtype=np.int32)), pa.array([TEXT]))


def plain() -> pa.Array:
    """One text, written in all rows."""
    return pa.array([TEXT] * ROWS)


def numbers() -> pa.Array:
    return pa.array(np.zeros(20_000_000))


def lists(values: pa.Array | None = None) -> pa.Array:
    """In all rows 5,000 numbers, or one of the ``values``."""
    ends = np.arange(ROWS + 1, dtype=np.int32) * (5_000 if values is None else 1)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.zeros(ROWS * 5_000)) if values is None else values)


def views() -> pa.Array:
    """One text, looked at in all rows."""
    view = np.tile(np.array([len(TEXT), 0x78787878, 0, 0], dtype="<i4"), ROWS)
    return pa.Array.from_buffers(pa.string_view(), ROWS, [None, pa.py_buffer(view), pa.py_buffer(TEXT.encode())])


def run_ends() -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([TEXT]))


def columnar(column: Callable[[], pa.Array], **options: object) -> Bomb:
    """A Parquet file of the column."""
    return lambda path: parquet.write_table(pa.table({"odd": column(), "y": labels()}), path, **options)


def one_batch(column: Callable[[], pa.Array], codec: str | None = "zstd") -> Bomb:
    """An Arrow file, or a stream, of one batch."""

    def write(path: Path) -> None:
        values = column()
        batch = pa.record_batch({"odd": values, "y": pa.array(np.zeros(len(values)))})
        options = pa.ipc.IpcWriteOptions(compression=codec)
        new = pa.ipc.new_file if path.suffix == ".feather" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, new(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)

    return write


DELTA = {"use_dictionary": False, "column_encoding": {"odd": "DELTA_BYTE_ARRAY", "y": "PLAIN"}}
BOMBS: dict[str, tuple[str, Bomb]] = {
    "short rows": (".csv.gz", lambda p: packed(p, (b"a,y\n", 1), (b"1,0\n", 20 * MEBIBYTE))),
    "one cell": (".tsv.gz", lambda p: packed(p, (b"a\ty\n", 1), (b"x", 80 * MEBIBYTE))),
    "one cell of digits": (".csv.gz", lambda p: packed(p, (b"a,y\n", 1), (b"7", 80 * MEBIBYTE))),
    "a header without end": (".csv.gz", lambda p: packed(p, (b"a,", 40 * MEBIBYTE))),
    "a name without end": (".csv.gz", lambda p: packed(p, (b"a", 80 * MEBIBYTE))),
    "empty lines": (".csv.gz", lambda p: packed(p, (b"a,y\n", 1), (b"\n", 80 * MEBIBYTE))),
    "carriage returns": (".csv.gz", lambda p: packed(p, (b"a,y\r", 1), (b"1\r", 20 * MEBIBYTE))),
    "a size that lies": (".csv.gz", lying_size),
    "many members": (".csv.gz", members),
    "rows shorter than the header": (".csv", lambda p: p.write_bytes(b"a," * 10_000 + b"y\n" + b"1\n" * 10_000)),
    "a header over two lines": (".csv", lambda p: p.write_bytes(b'"a\nb",' + b"c," * 5_000 + b"y\n" + b"1\n" * 10_000)),
    "many columns": (".csv", lambda p: p.write_bytes(b",".join(b"c%d" % i for i in range(100_000)) + b"\n" * 60)),
    "zeros": (".npz", zeros),
    "texts": (".npz", lambda p: np.savez_compressed(p, X=np.zeros((100, 2), dtype="<U200000"), y=np.arange(100) % 2)),
    "no array": (".npz", lambda p: member(p, b"", b"0" * 80 * MEBIBYTE)),
    "no bytes each": (".npz", lambda p: member(p, header("(1000000000, 1000)", "|S0"), b"")),
    "a text in all rows": (".parquet", columnar(repeated)),
    "a text in all rows, without its kind": (".parquet", columnar(repeated, store_schema=False)),
    "a text in all rows, packed": (".parquet", columnar(plain, use_dictionary=False, compression="zstd")),
    "prefixes": (".parquet", columnar(lambda: pa.array([f"{TEXT}{place}" for place in range(ROWS)]), **DELTA)),
    "lists": (".parquet", columnar(lists)),
    "lists of a text": (".parquet", columnar(lambda: lists(plain()))),
    "structs of a text": (".parquet", columnar(lambda: pa.StructArray.from_arrays([plain()], ["inner"]))),
    "numbers in one batch": (".feather", one_batch(numbers)),
    "numbers in one batch, lz4": (".feather", one_batch(numbers, "lz4")),
    "numbers in one batch of a stream": (".arrow", one_batch(numbers)),
    "texts in one batch": (".arrow", one_batch(plain)),
    "a dictionary": (".arrow", one_batch(repeated, None)),
    "a large dictionary": (".feather", one_batch(lambda: pa.array(["x" * 100_000_000] * 2).dictionary_encode())),
    "views": (".arrow", one_batch(views, None)),
    "run ends": (".arrow", one_batch(run_ends, None)),
    "lists in one batch": (".arrow", one_batch(lists)),
}


def kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpacked(name: str, tmp_path: Path) -> None:
    suffix, write = BOMBS[name]
    path = tmp_path / f"bomb{suffix}"
    write(path)
    pa.default_memory_pool().release_unused()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    with pytest.raises(DataError, match=r"data may take 67\.1 MB of memory; reading .*data_memory") as told:
        load(path, target="y", memory=LIMIT)
    assert "\n" not in str(told.value)
    assert kilobytes("VmHWM") - before < LIMIT + SLACK


@pytest.mark.parametrize(
    ("shape", "kind"), [("(1000000000, 1000000)", "<f8"), ("(100, 10)", "<f8"), ("(-5, 10)", "<f8"), ("(100, 3)", "|O")]
)
def test_a_header_that_promises_more_than_there_is(shape: str, kind: str, tmp_path: Path) -> None:
    member(tmp_path / "t.npz", header(shape, kind), b"\0" * 160)
    with pytest.raises(DataError, match="is not an NPZ archive of plain arrays"):
        load(tmp_path / "t.npz")


def test_what_fits_is_read_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(0), 20_000
    text = "a,b,y\n" + "".join(f"{a:.6f},{b:.6f},{a > 0:d}\n" for a, b in random.normal(size=(rows, 2)))
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("t.csv", "t.csv.gz"):
        with pytest.raises(DataError, match="data may take 1 MB"):
            load(tmp_path / name, target="y", memory=1_000_000)
        assert load(tmp_path / name, target="y", memory=10 * MEBIBYTE).rows == rows


def test_the_test_file_has_the_same_limit(tmp_path: Path) -> None:
    from losssearch.data.given_splits import Given

    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i % 97},{i % 2}\n" for i in range(300)))
    packed(tmp_path / "bomb.csv.gz", (b"a,b,y\n", 1), (b"1,1,0\n", 20 * MEBIBYTE))
    with pytest.raises(DataError, match=r"reading .*bomb\.csv\.gz"):
        load(tmp_path / "t.csv", target="y", given=Given(test=tmp_path / "bomb.csv.gz"), memory=LIMIT)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".npz", ".csv.gz"])
def test_falsified_bytes_give_one_line(suffix: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    frame = pa.table(
        {"a": random.normal(size=400), "t": pa.array(["u", "v", None, "w"] * 100), "y": np.arange(400) % 2}
    )
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        parquet.write_table(frame, path)
    elif suffix == ".npz":
        np.savez_compressed(path, X=frame["a"].to_numpy()[:, None] * [1, 2], y=frame["y"].to_numpy())
    elif suffix == ".csv.gz":
        path.write_bytes(gzip.compress(frame.to_pandas().to_csv(index=False).encode()))
    else:
        feather.write_feather(frame, path, compression="lz4" if suffix == ".arrow" else "uncompressed")
    whole, refused = path.read_bytes(), 0
    for _ in range(60):
        spoiled = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            spoiled[place] = random.integers(0, 256)
        path.write_bytes(spoiled)
        try:
            load(path, target="y", memory=LIMIT)
        except DataError:
            refused += 1
    assert refused > 10
