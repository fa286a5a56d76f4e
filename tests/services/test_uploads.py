"""Uploaded tables become Parquet within limits, in a process that can do little else."""

from __future__ import annotations

import ast
import gzip
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import landlock
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from losssearch.data.columns import read_columns
from losssearch.data.files import read_table
from losssearch.data.room import Room
from losssearch.errors import DataError
from services.uploads.limits import Limits
from services.uploads.preview import preview
from services.uploads.sandbox import _ENVIRONMENT, convert
from services.uploads.tables import write_parquet

FRAME = pd.DataFrame(
    {
        "code": ["00501", "10001", "00501", "94103"] * 10,
        "size": [1.5, 2.0, float("nan"), 4.25] * 10,
        "count": range(40),
        "day": ["2021-03-01", "2021-03-02", "", "2021-03-04"] * 10,
    }
)


def written(path: Path, out: Path, limits: Limits | None = None) -> tuple[int, list[str], list[str]]:
    return write_parquet(path, "".join(path.suffixes), out, limits or Limits())


def save(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind.startswith(("csv", "tsv")):
        FRAME.to_csv(path, index=False, sep="\t" if kind.startswith("tsv") else ",")
    elif kind == "parquet":
        FRAME.to_parquet(path)
    else:
        feather.write_feather(pa.Table.from_pandas(FRAME), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "feather", "arrow"])
def test_a_table_is_read_from_parquet_as_from_its_file(tmp_path: Path, kind: str) -> None:
    path, out = save(tmp_path, kind), tmp_path / "out.parquet"
    assert written(path, out) == (40, list(FRAME), [])
    before = read_columns(read_table(path, f".{kind}", Room.of()), "it")
    after = read_columns(read_table(out, ".parquet", Room.of()), "it")
    pd.testing.assert_frame_equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_arrays_become_columns(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(8, 3)
    np.savez(tmp_path / "a.npz", X=values, y=np.arange(8) % 2)
    assert written(tmp_path / "a.npz", tmp_path / "out") == (8, ["X0", "X1", "X2", "y"], [])
    found = pd.read_parquet(tmp_path / "out")
    np.testing.assert_array_equal(found[["X0", "X1", "X2"]].to_numpy(), values)
    np.savez(tmp_path / "b.npz", images=np.zeros((4, 2, 2)), labels=np.arange(4))
    assert written(tmp_path / "b.npz", tmp_path / "out")[2] == ["'images' [4, 2, 2] became a column per element"]
    np.savez(tmp_path / "c.npz", X=np.zeros((4, 2)), y=np.zeros(5))
    with pytest.raises(DataError, match=r"must have|one number of rows"):
        written(tmp_path / "c.npz", tmp_path / "out")


def test_columns_without_plain_values_are_left_out(tmp_path: Path) -> None:
    table = pa.table(
        {"kept": [1, 2], "lists": [[1], [2, 3]], "raw": [b"a", b"b"], "coded": pa.array(["x", "y"]).dictionary_encode()}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    rows, columns, notes = written(tmp_path / "t.parquet", tmp_path / "out")
    assert (rows, columns) == (2, ["kept", "coded"])
    assert notes == ["left out 'lists', 'raw': no plain values, such as lists or bytes"]
    parquet.write_table(table.select(["lists"]), tmp_path / "n.parquet")
    with pytest.raises(DataError, match="it has none"):
        written(tmp_path / "n.parquet", tmp_path / "out")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(rows=39), "at most 39 rows, got 40"),
        (Limits(columns=3), "at most 3 columns, got 4"),
        (Limits(cell=9), "at most 9 bytes, column 'day' has one of 10"),
        (Limits(unpacked=500), "must unpack to at most 500 bytes"),
    ],
)
@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "arrow"])
def test_limits_of_a_table(tmp_path: Path, kind: str, limits: Limits, said: str) -> None:
    with pytest.raises(DataError, match=said):
        written(save(tmp_path, kind), tmp_path / "out", limits)


@pytest.mark.parametrize("name", ["", "a\x00b", "line\nbreak", "x" * 201, "\u202eabc"])
def test_names_that_a_column_may_not_have(tmp_path: Path, name: str) -> None:
    parquet.write_table(pa.table({name: [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="must have 1 to 200 printable characters"):
        written(tmp_path / "t.parquet", tmp_path / "out")


def test_a_preview_holds_printable_text_whatever_the_cells_hold(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    frame = pd.DataFrame({evil: ["a\x00b", "=cmd|' /C calc'!A0"] * 10, "long": ["y" * 5000, "z"] * 10})
    frame.to_parquet(tmp_path / "t.parquet")
    written(tmp_path / "t.parquet", tmp_path / "out.parquet")
    found = preview(tmp_path / "out.parquet", 2)
    assert [column["name"] for column in found["columns"]] == [evil, "long"]  # as it is: pages escape it
    assert "a\N{REPLACEMENT CHARACTER}b" in found["columns"][0]["examples"]
    assert max(len(text) for column in found["columns"] for text in column["examples"]) <= 80
    assert "\\u0000" not in json.dumps(found)


def bomb(folder: Path, kind: str) -> Path:
    """A small file that unpacks to far more than there is room for."""
    path = folder / f"bomb.{kind}"
    if kind == "csv.gz":
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(b"a,b\n")
            for _ in range(80):
                file.write(b"1,2\n" * 250_000)
    elif kind == "npz":
        np.savez_compressed(path, X=np.zeros((50_000, 400)), y=np.zeros(50_000))
    else:
        text = pa.array(["x" * 60_000]).dictionary_encode().dictionary
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, dtype=np.int32)), text)
        parquet.write_table(pa.table({"a": column, "b": np.zeros(200_000)}), path)
    assert path.stat().st_size < 3_000_000
    return path


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    path, out = bomb(tmp_path, kind), tmp_path / "out.parquet"
    with pytest.raises(DataError, match=rf"may take .* of memory; upload\.{kind} would take .* or more"):
        convert(path, kind, out, Limits(memory=900_000_000))
    assert not out.exists()


def test_text_that_unpacks_without_end_is_given_up_piece_by_piece(tmp_path: Path) -> None:
    path, out = bomb(tmp_path, "csv.gz"), tmp_path / "out.parquet"
    with pytest.raises(DataError, match="must unpack to at most 20,000,000 bytes, it has more"):
        convert(path, "csv.gz", out, Limits(memory=1_200_000_000, unpacked=20_000_000))
    with gzip.open(path, "wb", compresslevel=1) as file:  # one line
        for _ in range(8):
            file.write(b"x" * 1_000_000)
    with pytest.raises(DataError, match="the first line of a table names its columns"):
        convert(path, "csv.gz", out, Limits(memory=1_200_000_000))
    assert not out.exists()
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = bomb(tmp_path, "csv.gz")
    with pytest.raises(DataError, match="must be read within 1 s of CPU time"):
        convert(path, "csv.gz", tmp_path / "out", Limits(seconds=1, memory=8_000_000_000))


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/losssearch-unpickled"),))


def test_pickled_arrays_are_not_unpickled(tmp_path: Path) -> None:
    mark = Path("/tmp/losssearch-unpickled")
    mark.unlink(missing_ok=True)
    np.savez(tmp_path / "a.npz", X=np.array([_Evil(), 1], dtype=object), y=np.zeros(2))
    with pytest.raises(DataError, match="allow_pickle=False"):
        convert(tmp_path / "a.npz", "npz", tmp_path / "out", Limits())
    (tmp_path / "b.npz").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(DataError, match="is not an NPZ archive"):
        convert(tmp_path / "b.npz", "npz", tmp_path / "out", Limits())
    assert not mark.exists()


def test_the_process_that_converts_reaches_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import os, socket\nfrom services.uploads.convert import _confine\n_confine(2_000_000_000, 60)\n"
            f"try: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5); print('reached')\n"
            "except OSError: print('not reached')\n"
            "print(sorted(name for name in os.environ if name.startswith('LOSSSEARCH')))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    may = subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True, check=False).returncode == 0
    assert done.stdout.splitlines()[0] == ("not reached" if may else "reached"), done.stderr


def test_the_process_that_converts_reaches_its_own_files_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of another team")
    (tmp_path / "received.part").write_text("a\n1\n")
    (folder := tmp_path / "convert").mkdir()
    (folder / "upload.csv").symlink_to(tmp_path / "received.part")
    code = f"""
import pathlib, landlock, services.uploads.convert as convert
print(convert.confine_files(pathlib.Path("upload.csv")))
import losssearch.data.files, pyarrow.parquet  # what is loaded later is still found
def tried(what):
    try: what()
    except PermissionError: return "refused"
    return "done"
outside = pathlib.Path({str(tmp_path)!r})
print(*(tried(one) for one in (
    pathlib.Path("upload.csv").read_text, lambda: pathlib.Path("table.parquet").write_text("x"),
    (outside / "secret").read_text, lambda: (outside / "written").write_text("x"), lambda: list(outside.iterdir()),
    pathlib.Path("/etc/passwd").read_text, pathlib.Path("/proc/1/environ").read_bytes,
    lambda: (outside / "received.part").write_text("x"),
)))
"""
    environment = {"PYTHONPATH": str(Path.cwd()), "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd=folder, env=environment
    )
    confined, found = done.stdout.splitlines()
    assert confined == str(landlock.landlock_abi_version() > 0)
    assert found.split() == ["done"] * 2 + ["refused" if confined == "True" else "done"] * 6
    assert (tmp_path / "received.part").read_text() == ("a\n1\n" if confined == "True" else "x")


def test_the_process_that_converts_is_given_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSSEARCH_DATABASE_URL", "postgresql://ls:secret@db/ls")
    (tmp_path / "in.csv").write_text("a\n1\n")
    told = "sorted(os.environ), sorted(os.listdir('/proc/self/fd'))[:-1], os.getcwd()"
    lines = ("import json, os, sys", "sys.stdin.read()", f"print(json.dumps({{'problem': repr(({told}))}}))")
    (program := tmp_path / "program").write_text("\n".join((f"#!{sys.executable} -I", *lines)))
    program.chmod(0o755)
    monkeypatch.setattr("services.uploads.sandbox.sys.executable", str(program))
    held = os.open(tmp_path / "in.csv", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        with pytest.raises(DataError) as problem:
            convert(tmp_path / "in.csv", "csv", tmp_path / "out", Limits())
    finally:
        os.close(held)
    environment, files, folder = ast.literal_eval(str(problem.value))
    assert (set(environment) - {"LC_CTYPE"}, files) == ({*_ENVIRONMENT, "PYTHONPATH"}, ["0", "1", "2"])
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()
