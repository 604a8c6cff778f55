"""What is shipped works: wheel and sdist in a clean environment, and the bare checkout, each run from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import files
from pathlib import Path

import pytest

from tests.conftest import ROOT

SHIPPED = ("newsletter", "templates", "tests", "docs", "requirements")
FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "config.yaml")


def call(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env or clean(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean() -> dict[str, str]:
    """An environment that does not point at this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    call(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", source, cwd=source)
    return source / "dist"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new environment that holds what requirements/run.txt locks, and nothing else."""
    return environment(tmp_path, locked("run.txt"))


def locked(name: str) -> list[str]:
    """The distributions in a file of requirements/."""
    return re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE)


def environment(folder: Path, distributions: Iterable[str]) -> Path:
    """A new environment with these distributions as they are installed here; quicker than from a registry."""
    call(sys.executable, "-m", "venv", "--without-pip", folder / "clean", cwd=folder)
    here = Path(sysconfig.get_path("purelib"))
    (there,) = (folder / "clean").glob("lib/python*/site-packages")
    for top in {file.parts[0] for name in distributions for file in files(name) or ()} - {"..", "__pycache__"}:
        if (here / top).exists():  # a list of files may name what was never installed
            (there / top).symlink_to(here / top)
    return folder / "clean" / "bin" / "python"


def pip(python: Path, *words: str | Path) -> None:
    call(sys.executable, "-m", "pip", "--python", python, *words, cwd=python.parent)


def runs_unpacked(python: Path, folder: Path) -> None:
    """Nothing is installed: the folder itself is the program."""
    out = call(python, "-m", "newsletter", "demo", "--output", folder.parent / "demo", cwd=folder)
    assert out.splitlines()[-1] == "verdict: new-issue - 3 accepted"


def does_the_job(python: Path, folder: Path) -> None:
    """Run it from a folder that has nothing to do with where it is installed."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    out = call(python, "-m", "newsletter", "demo", "--output", elsewhere / "demo", cwd=elsewhere)
    assert out.splitlines()[-1] == "verdict: new-issue - 3 accepted"
    assert len(list((elsewhere / "demo").glob("*.eml"))) == 3
    call(python, "-m", "newsletter", "init", ".", cwd=elsewhere)
    assert "no issue" in call(python, "-m", "newsletter", "status", cwd=elsewhere).lower()


def test_the_wheel_holds_all_the_program_needs_and_nothing_else(source: Path, built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    program = {path.relative_to(source).as_posix() for path in (source / "newsletter").rglob("*") if path.is_file()}
    beside = {path.relative_to(source).as_posix() for path in (source / "templates").rglob("*") if path.is_file()}
    expected = program | {f"newsletter/{name}" for name in (*beside, "config.yaml")}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_holds_the_project_and_nothing_else(source: Path, built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    own = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file() and built != path.parent}
    assert inside == own | {"PKG-INFO"}


def test_the_wheel_works_in_a_clean_environment(built: Path, python: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    pip(python, "install", "--quiet", "--no-deps", wheel)
    pip(python, "check")  # what the wheel asks for is what the lock gives
    does_the_job(python, tmp_path)
    assert "demo" in call(python.with_name("newsletter"), "--help", cwd=tmp_path)


def test_the_sdist_works_unpacked_and_makes_a_wheel_that_works(built: Path, python: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    call("tar", "xzf", sdist, cwd=tmp_path)  # Debian 12's Python 3.11.2 knows no safe extractall
    (unpacked,) = tmp_path.glob("daily_papers_newsletter-*")
    runs_unpacked(python, unpacked)
    call(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, unpacked, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    pip(python, "install", "--quiet", "--no-deps", wheel)
    does_the_job(python, tmp_path)


def test_a_bare_checkout_works(source: Path, python: Path) -> None:
    runs_unpacked(python, source)


def test_an_editable_install_works(source: Path, tmp_path: Path) -> None:
    python = environment(tmp_path, locked("dev.txt"))
    pip(python, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", source)
    does_the_job(python, tmp_path)
