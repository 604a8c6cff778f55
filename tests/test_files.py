"""Files are replaced in one step, and what is private stays so."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from newsletter.files import replace, replacing
from tests.conftest import ROOT


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_its_owner_s_alone_whatever_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace(path, b"new", private=True)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


def test_a_public_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    before = os.umask(0o027)
    try:
        replace(path, b"new", private=False)
    finally:
        os.umask(before)
    assert mode(path) == 0o640


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "list.csv"
    target.write_bytes(b"somebody else's")
    path.symlink_to(target)
    replace(path, b"new", private=True)
    assert (path.is_symlink(), path.read_bytes(), target.read_bytes()) == (False, b"new", b"somebody else's")
    dangling = tmp_path / "dangling.csv"
    dangling.symlink_to(tmp_path / "nowhere")
    replace(dangling, b"new", private=True)
    assert not (tmp_path / "nowhere").exists()


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path, private=True) as stream:
            stream.write(b"half of the ne")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_the_end_a_reader_gets_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"old")
    with replacing(path, private=True) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert mode(temporary) == 0o600
    assert path.read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    replace(path, b"new", private=True)
    reader.join()
    assert got == [b"new"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_standard_output_is_written_to_wherever_it_leads(tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = "replace(Path('/dev/stdout'), b'new', private=True)"
    script = f"from pathlib import Path; from newsletter.files import replace; {call}"
    with out.open("wb") as stream:
        subprocess.run([sys.executable, "-c", script], stdout=stream, check=True, cwd=ROOT)
    assert out.read_bytes() == b"new"
    assert Path("/dev/stdout").is_symlink()


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        replace(tmp_path / "no" / "list.csv", b"", private=True)
    assert missing.value.filename == str(tmp_path / "no" / "list.csv")
    with pytest.raises(IsADirectoryError) as folder:
        replace(tmp_path, b"", private=True)
    assert folder.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="No space left") as full:
        replace(Path("/dev/full"), b"new", private=True)
    assert full.value.filename == "/dev/full"
