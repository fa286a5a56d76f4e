"""Large tables under faults: full disks, broken files, killed owners, and little memory."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from losssearch.cli.app import main
from losssearch.data import load
from losssearch.data.streamed.scratch import PREFIX, Scratch, remove_abandoned
from losssearch.errors import DataError

ROWS = 40_000
MEMORY = "2M"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    write(path, ROWS)
    return path


def write(path: Path, rows: int) -> None:
    random = np.random.default_rng(1)
    writer = None
    for begin in range(0, rows, 100_000):
        count = min(100_000, rows - begin)
        columns = {f"x{i}": random.normal(size=count).astype(np.float32) for i in range(10)}
        columns["text"] = np.char.add("town ", random.integers(0, 12, count).astype(str))
        columns["y"] = (columns["x0"] + random.normal(size=count) > 0).astype(np.int8)
        made = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, made.schema)
        writer.write_table(made, row_group_size=10_000 if rows < 100_000 else 100_000)
    writer.close()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_its_file_removed(small_disk: Path, table: Path) -> None:
    with pytest.raises(DataError, match=r"need 2\.\d+ MB in .* No space left on device.*TMPDIR.*max_rows"):
        load(table, target="y", memory=2_000_000)
    assert not list(small_disk.iterdir())


def test_a_disk_that_fills_up_meanwhile_is_told_too(
    small_disk: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)  # as where a quota ends what seemed to be room
    with pytest.raises(DataError, match="No space left on device"):
        load(table, target="y", memory=2_000_000)
    assert not list(small_disk.iterdir())


def test_a_folder_that_is_none_is_told(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere/at/all")
    with pytest.raises(DataError, match="/nowhere/at/all is none"):
        load(table, target="y", memory=2_000_000)


@pytest.mark.parametrize("fault", ["truncated", "damaged page", "no parquet"])
def test_a_broken_file_gives_one_line_and_code_2(
    fault: str, table: Path, scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(table.read_bytes())
    if fault == "truncated":
        del content[len(content) // 2 :]
    elif fault == "damaged page":  # the last row group's: the sample is drawn by then, or nearly
        offset = parquet.ParquetFile(table).metadata.row_group(3).column(0).data_page_offset
        content[offset : offset + 2000] = bytes(2000)
    else:
        content = bytearray(b"PAR1 not at all")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(content)
    out = tmp_path / "out"
    arguments = ["search", str(broken), "--target", "y", "--data-memory", MEMORY, "--no-mlflow", "--out", str(out)]
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert "broken.parquet is not a table" in said
    assert not list(scratch.iterdir())
    assert not out.exists()


def test_rows_on_disk_go_with_the_dataset(table: Path, scratch: Path) -> None:
    dataset = load(table, target="y", memory=2_000_000)
    (folder,) = scratch.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    del dataset
    assert not folder.exists()


def test_rows_of_a_killed_owner_go_with_the_next(scratch: Path) -> None:
    code = "from losssearch.data.streamed.scratch import Scratch; s = Scratch(); print(s.folder, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    aged = time.time() - 100
    os.utime(folder / "owner.lock", (aged, aged))
    remove_abandoned(scratch)
    assert folder.exists()  # its owner lives
    process.kill()
    process.communicate()
    mine = Scratch()
    assert not folder.exists()
    assert mine.folder.exists()
    mine.close()
    assert not list(scratch.glob(f"{PREFIX}*"))


def test_a_child_does_not_remove_what_its_parent_holds(scratch: Path) -> None:
    mine = Scratch()
    code = os.fork()
    if code == 0:
        mine.close()
        os._exit(0)
    os.waitpid(code, 0)
    assert mine.folder.exists()
    with (mine.folder / "owner.lock").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    mine.close()


_PEAK = """
import sys
from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.streamed import stream

stream.WINDOW = 8  # so that either table is many windows

def status(name):
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith(name))

import sklearn.compose, torch, pyarrow.parquet, pandas
before = status("VmRSS:")
dataset = load(sys.argv[1], target="y", memory=20_000_000)
replicas = make_replicas(dataset, draws(dataset, partition(dataset, 0).search, seed=0, count=3, purpose="search"))
rows = sum(batch["target"].shape[1] for batch in replicas.stream.batches(1, 1024))
print(rows, status("VmHWM:") - before)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, scratch: Path) -> None:
    """A million rows more, which encoded as float32 would take 88 MB for each of three draws."""
    grown = {}
    for rows in (200_000, 1_200_000):
        path = tmp_path / "t.parquet"
        write(path, rows)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True, env=os.environ
        )
        trained, grown[rows] = map(int, done.stdout.split())
        assert trained > 0.9 * rows
    assert grown[1_200_000] < 400
    assert grown[1_200_000] < grown[200_000] + 60
