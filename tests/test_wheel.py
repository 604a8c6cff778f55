"""Wheel and sdist in a clean environment, and the bare checkout, work when run from another folder.

The base alone does the job of cron; each extra brings all that its command needs.
"""

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
from email import message_from_bytes
from importlib.metadata import files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import program
from tests.conftest import ROOT
from tests.inbox import Inbox

SHIPPED = ("newsletter", "templates", "locale", "share", "tests", "docs", "requirements", ".github")
FILES = (
    ".dockerignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Containerfile",
    "LICENSE", "Makefile", "README.md", "SECURITY.md", "config.yaml", "pyproject.toml",
)  # fmt: skip


def call(*words: str | Path, cwd: Path) -> str:
    """What a program printed that is really started, and succeeds."""
    command = [str(word) for word in words]
    ended = subprocess.run(command, cwd=cwd, env=clean(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def clean() -> dict[str, str]:
    """Environment variables that do not point at this checkout."""
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
def python(empty: Path, tmp_path: Path) -> Path:
    """The interpreter of a new environment that holds what requirements/run.txt locks, and nothing else."""
    return environment(empty, tmp_path, locked("run.txt"))


def locked(name: str) -> list[str]:
    """The distributions in a file of requirements/."""
    return re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with nothing in it, to be copied: only its script `activate` says where it is."""
    folder = tmp_path_factory.mktemp("empty")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "clean", cwd=folder)
    return folder / "clean"


@pytest.fixture(scope="module")
def installed(built: Path, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment as `python`, into which pip has installed the wheel."""
    python = environment(empty, tmp_path_factory.mktemp("installed"), locked("run.txt"))
    (wheel,) = built.glob("*.whl")
    pip(python, "install", "--quiet", "--no-deps", wheel)
    return python


def environment(empty: Path, folder: Path, distributions: Iterable[str]) -> Path:
    """A new environment with these distributions as they are installed here; quicker than from a registry."""
    shutil.copytree(empty, folder / "clean", symlinks=True)
    activate = folder / "clean" / "bin" / "activate"
    activate.write_text(activate.read_text("utf-8").replace(str(empty), str(folder / "clean")), "utf-8")
    here = Path(sysconfig.get_path("purelib"))
    (there,) = (folder / "clean").glob("lib/python*/site-packages")
    for top in {file.parts[0] for name in distributions for file in files(name) or ()} - {"..", "__pycache__"}:
        if (here / top).exists():  # a list of files may name what was never installed
            (there / top).symlink_to(here / top)
    return folder / "clean" / "bin" / "python"


def pip(python: Path, *words: str | Path) -> None:
    """Run this environment's pip for another one, as its option --python does."""
    call(python, Path(sysconfig.get_path("purelib"), "pip", "__pip-runner__.py"), *words, cwd=python.parent)


def runs_unpacked(python: Path, folder: Path) -> None:
    """The checkout runs without being installed."""
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
    shipped = [path for folder in ("templates", "locale") for path in (source / folder).rglob("*")]
    beside = {path.relative_to(source).as_posix() for path in shipped if path.is_file()}
    expected = program | {f"newsletter/{name}" for name in (*beside, "config.yaml")}
    shared = {path.relative_to(source).as_posix() for path in (source / "share").rglob("*") if path.is_file()}
    data = {name.partition(".data/data/")[2] for name in names if ".data/" in name}
    assert {name for name in names if ".dist-info/" not in name and ".data/" not in name} == expected
    assert data == shared
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "newsletter/py.typed" in names  # PEP 561: the annotations are for type checkers elsewhere too


def test_the_sdist_holds_the_project_and_nothing_else(source: Path, built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    own = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file() and built != path.parent}
    assert inside == own | {"PKG-INFO"}


def test_the_wheel_works_in_a_clean_environment(installed: Path, tmp_path: Path) -> None:
    pip(installed, "check")  # what the wheel asks for is what the lock gives
    does_the_job(installed, tmp_path)
    for name in ("newsletter", "daily-papers-newsletter"):  # uvx and pipx run look for the distribution's name
        assert "demo" in call(installed.with_name(name), "--help", cwd=tmp_path)


def test_the_sdist_works_unpacked_and_makes_the_same_wheel(built: Path, python: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    call("tar", "xzf", sdist, cwd=tmp_path)  # Debian 12's Python 3.11.2 knows no safe extractall
    (unpacked,) = tmp_path.glob("daily_papers_newsletter-*")
    runs_unpacked(python, unpacked)
    call(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, unpacked, cwd=tmp_path)
    (made,), (wheel,) = tmp_path.glob("*.whl"), built.glob("*.whl")
    assert made.read_bytes() == wheel.read_bytes()


def test_a_bare_checkout_works(source: Path, python: Path) -> None:
    runs_unpacked(python, source)


def test_an_editable_install_works(source: Path, empty: Path, tmp_path: Path) -> None:
    python = environment(empty, tmp_path, locked("dev.txt"))
    pip(python, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", source)
    does_the_job(python, tmp_path)


# --- the base and the extras -----------------------------------------------------------------------------------------

_CONFIG = """\
sender: Ada's Papers <digest@papers.test>
postal_address: 7 Analytical Row, London
base_url: https://papers.test
list_id: ada.papers.test
feeds:
  - url: papers.json
secret_file: key
smtp:
  - host: 127.0.0.1
    port: {port}
{more}
"""

# A configuration that needs an extra: the key, as the message names it, and what stands in config.yaml.
_IMAP = "bounces:\n  imap:\n    host: imap.papers.test\n    username: ada\n    password: x"
_POSTGRESQL = "store: postgresql://ada@db.papers.test/news"

# What needs which extra: the command, what its message names, and the configuration in which it does.
NEEDS = {
    "web": ("web", "newsletter web", "web", ""),
    "preview": ("preview --serve --port 0", "newsletter preview --serve", "preview", ""),
    "demo": ("demo", "newsletter demo", "demo", ""),
    "bounces by IMAP": ("bounces", "bounces.imap", "imap", _IMAP),
    "run on PostgreSQL": ("run", "store: postgresql://", "postgres", _POSTGRESQL),
    "status on PostgreSQL": ("status", "store: postgresql://", "postgres", _POSTGRESQL),
    "subscribers on PostgreSQL": ("subscribers list", "store: postgresql://", "postgres", _POSTGRESQL),
}

# What an extra is for, as a module that loads when it is installed.
MODULES = {
    "web": "newsletter.cli.web",
    "preview": "newsletter.preview.server",
    "demo": "newsletter.demo",
    "imap": "imapclient",
    "postgres": "psycopg",
    "scale": "newsletter.worker",
}


def required(wheel: Path, extra: str = "") -> list[Requirement]:
    """What the wheel asks for, with this extra or none."""
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    return [each for each in map(Requirement, lines) if applies(each, extra)]


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """The names of all distributions that these requirements bring, those of the requirements of each included."""
    found: set[tuple[str, str]] = set()
    waiting = list(wanted)
    while waiting:
        each = waiting.pop()
        for part in {(canonicalize_name(each.name), extra) for extra in ("", *each.extras)} - found:
            found.add(part)
            waiting += [more for more in map(Requirement, requires(part[0]) or ()) if applies(more, part[1])]
    return {name for name, _ in found}


def site(folder: Path, more: str = "", port: int = 25) -> Path:
    """`folder` with a configuration, a secret, a feed and an empty Maildir, as an operator has them."""
    (folder / "config.yaml").write_text(_CONFIG.format(port=port, more=more), "utf-8")
    (folder / "key").write_text("a long secret for the links", "utf-8")
    for name in ("config.yaml", "key"):
        (folder / name).chmod(0o600)
    shutil.copy(ROOT / "newsletter" / "sample_day.json", folder / "papers.json")
    for name in ("cur", "new", "tmp"):
        (folder / "Maildir" / name).mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def base(installed: Path, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds what pip installed and what requirements/base.txt lists, no more.

    Its programs are forked from one process, by `asked`; its script `newsletter` really starts.
    """
    python = environment(empty, tmp_path_factory.mktemp("base"), locked("base.txt"))
    (there,), (here,) = (each.parents[1].glob("lib/python*/site-packages") for each in (installed, python))
    for part in (each for each in there.iterdir() if not each.is_symlink()):
        (here / part.name).symlink_to(part)
    script, theirs = python.with_name("newsletter"), installed.with_name("newsletter")
    script.write_text(theirs.read_text("utf-8").replace(str(installed), str(python)), "utf-8")
    script.chmod(0o755)
    program.installed(python)
    return python


def asked(base: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What became of `newsletter` with these words in the environment `base`."""
    command = [str(base), "-m", "newsletter", *words]
    return program.run(command, cwd=cwd, env=clean(), capture_output=True, text=True)


def done(base: Path, *words: str, cwd: Path) -> str:
    """What it printed; it has done what it was asked."""
    ended = asked(base, *words, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_base_txt_is_what_a_plain_install_brings_and_run_txt_what_all_brings(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert closure(required(wheel)) == set(locked("base.txt"))
    every = closure(each for extra in MODULES for each in required(wheel, extra))
    assert every == set(locked("run.txt"))
    assert set(locked("base.txt")) < every < set(locked("dev.txt"))


def test_the_base_alone_does_the_job_of_cron(base: Path, tmp_path: Path) -> None:
    pip(base, "check")
    with Inbox() as inbox:
        site(tmp_path, "bounces:\n  maildir: Maildir", inbox.port)
        done(base, "subscribers", "add", "ada@readers.test", "emmy@readers.test", cwd=tmp_path)
        checked = asked(base, "check", cwd=tmp_path).stdout  # DNS does not know this list
        done(base, "preview", cwd=tmp_path)
        assert inbox.recipients == []
        ran = call(base.with_name("newsletter"), "run", cwd=tmp_path)
    assert "ok    bounces   the mailbox can be read" in checked
    assert "needs the extra" not in checked
    assert (tmp_path / "preview" / "digest.html").exists()
    assert ran.splitlines()[-1] == "verdict: new-issue - 2 accepted"
    assert sorted(inbox.recipients) == ["ada@readers.test", "emmy@readers.test"]
    assert "2 accepted" in done(base, "status", cwd=tmp_path)


def test_the_base_alone_has_every_other_command(base: Path, tmp_path: Path) -> None:
    site(tmp_path, "bounces:\n  maildir: Maildir")
    for command in ("send", "bounces", "subscribers export", "archive export archive", "schedule cron", "init new"):
        done(base, *command.split(), cwd=tmp_path)


@pytest.mark.parametrize("needed", NEEDS)
def test_what_needs_an_extra_that_is_missing_is_one_line_that_names_it(needed: str, base: Path, tmp_path: Path) -> None:
    command, what, extra, more = NEEDS[needed]
    ended = asked(base, *command.split(), cwd=site(tmp_path, more))
    line = f"{what} needs the extra \"{extra}\": pip install 'daily-papers-newsletter[{extra}]'"
    assert (ended.returncode, ended.stderr.count("\n"), line in ended.stderr) == (78, 1, True)
    assert ended.stdout == (f"verdict: failed - {line}\n" if command == "run" else "")


def test_check_names_each_missing_extra_and_tries_the_rest(base: Path, tmp_path: Path) -> None:
    ended = asked(base, "check", cwd=site(tmp_path, f"{_IMAP}\n{_POSTGRESQL}"))
    install = "pip install 'daily-papers-newsletter"
    said = " ".join(ended.stdout.split())
    assert f'BAD store store: postgresql:// needs the extra "postgres": {install}[postgres]\'' in said
    assert f'BAD bounces bounces.imap needs the extra "imap": {install}[imap]\'' in said
    assert "ok feeds" in said
    assert ended.returncode == 78


@pytest.mark.parametrize("extra", MODULES)
def test_an_extra_brings_all_that_its_command_needs(
    extra: str, built: Path, base: Path, empty: Path, tmp_path: Path
) -> None:
    """Beside what the base brings, of which all is loaded in the process that these programs are forked from."""
    (wheel,) = built.glob("*.whl")
    brought = closure(required(wheel, extra))
    assert set(locked("base.txt")) <= brought
    (there,) = (
        environment(empty, tmp_path, brought - set(locked("base.txt"))).parents[1].glob("lib/python*/site-packages")
    )
    code = f"import sys; sys.path.append(sys.argv[1]); import {MODULES[extra]}"
    ended = program.run([str(base), "-c", code, str(there)], cwd=tmp_path, env=clean(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
