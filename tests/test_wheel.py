"""What is shipped works: wheel and sdist in a clean environment, and the bare checkout, each run from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
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
    """A new environment that has this one's libraries, at their locked versions, and nothing of this project."""
    folder = tmp_path / "clean"
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=tmp_path)
    own = next(folder.glob("lib/python*/site-packages"))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith(("newsletter", "daily_papers", "__pycache__", "__editable__")):
            (own / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def does_the_job(python: Path, folder: Path) -> None:
    """Run it from a folder that has nothing to do with where it is installed."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    out = call(python, "-m", "newsletter", "demo", "--output", elsewhere / "demo", cwd=elsewhere)
    assert out.splitlines()[-1] == "verdict: new-issue - 3 accepted"
    assert len(list((elsewhere / "demo").glob("*.eml"))) == 3
    call(python, "-m", "newsletter", "init", ".", cwd=elsewhere)
    assert "no issue" in call(python, "-m", "newsletter", "status", cwd=elsewhere).lower()


def test_the_wheel_holds_all_the_program_needs_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.removeprefix("newsletter/") for name in names if name.startswith("newsletter/")}
    assert {"templates/digest.html", "templates/digest.txt", "config.yaml", "sample_day.json"} <= inside
    assert any(name.startswith("store/migrations/versions/") for name in inside)
    assert {name.partition("/")[0] for name in names} == {"newsletter", f"{wheel.name.split('-py3')[0]}.dist-info"}


def test_the_wheel_works_in_a_clean_environment(built: Path, python: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    does_the_job(python, tmp_path)
    script = python.with_name("newsletter")
    assert "demo" in call(script, "--help", cwd=tmp_path)


def test_the_sdist_works_in_a_clean_environment(built: Path, python: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("daily_papers_newsletter-*")
    words = ("install", "--quiet", "--no-deps", "--no-build-isolation", unpacked)
    call(sys.executable, "-m", "pip", "--python", python, *words, cwd=tmp_path)
    does_the_job(python, tmp_path)


def test_an_editable_install_works(source: Path, python: Path, tmp_path: Path) -> None:
    words = ("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", source)
    call(sys.executable, "-m", "pip", "--python", python, *words, cwd=tmp_path)
    does_the_job(python, tmp_path)


def test_a_bare_checkout_works(source: Path, python: Path, tmp_path: Path) -> None:
    env = clean() | {"PYTHONPATH": str(source)}
    out = call(python, "-m", "newsletter", "demo", "--output", tmp_path / "demo", cwd=tmp_path, env=env)
    assert out.splitlines()[-1] == "verdict: new-issue - 3 accepted"
