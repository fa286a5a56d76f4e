"""Files are written whole, beside their place, and never through a link."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from losssearch.errors import ConnectionLostError, OptionError
from losssearch.export.writing import PREFIX, remove_left, replace_folder, unwritable, write_whole


def test_a_link_in_the_place_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "place").symlink_to(tmp_path / "other")
    write_whole(tmp_path / "place", b"ours")
    assert (tmp_path / "other").read_text() == "theirs"
    assert not (tmp_path / "place").is_symlink()
    assert (tmp_path / "place").read_bytes() == b"ours"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "place"]


def test_a_linked_folder_is_followed_only_where_asked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        write_whole(tmp_path / "link" / "file", b"", follow=False)
    assert list((tmp_path / "real").iterdir()) == []
    write_whole(tmp_path / "link" / "file", b"")
    assert (tmp_path / "real" / "file").exists()


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "place", b"new")
    with pytest.raises(OSError, match="No space"):
        replace_folder(tmp_path / "folder", {"a": b""})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("place", "old")]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}folder" / "deep").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "kept")
    remove_left(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_full_disk_is_told_from_a_place_that_cannot_be() -> None:
    place = Path("x")
    assert isinstance(unwritable(place, OSError(errno.EDQUOT, "quota"), "--out"), ConnectionLostError)
    assert isinstance(unwritable(place, OSError(errno.EACCES, "denied"), "--out"), OptionError)
