"""The Containerfile's steps, one after the other, in a plain environment, and docs/containers.md.

No registry and no index is asked here. So these stand in for what is fetched: this Python and its pip for those of the
base image, a folder for its file system, and for what `pip install --require-hashes` gets the versions that are
installed here, which the locks name. Everything else is done as written: making the environment, installing the built
wheel, checking that all fits together, and running the program as the image's user, who has no name, no home and no
privilege.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import files
from pathlib import Path

import pytest
import yaml

from newsletter.cli import cli
from tests import needs
from tests.conftest import ROOT
from tests.inbox import Inbox
from tests.pages import Server, Site

PAGE = (ROOT / "docs" / "containers.md").read_text("utf-8")


@dataclass
class Stage:
    """What a Containerfile says from one FROM to the next, in its order."""

    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for name, rest in self.steps if name == word]

    def only(self, word: str) -> str:
        (found,) = self.all(word)
        return found


def stages() -> list[Stage]:
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    found: list[Stage] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append(Stage(rest))
        elif word.isupper() and found:
            found[-1].steps.append((word, rest.strip()))
    return found


BUILD, IMAGE = stages()
USER = int(IMAGE.only("USER").partition(":")[0])


@dataclass(frozen=True)
class Machine:
    """The folder that stands for the file system of both stages, and the environment of the image."""

    root: Path
    environ: dict[str, str]

    def there(self, text: str) -> str:
        """A command with the absolute paths of the recipe inside the folder."""
        return re.sub(r"(?<![\w.])/(opt/newsletter|papers|src)\b", rf"{self.root}/\1", text)

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """What `podman run IMAGE words` does: the entry point, as the image's user."""
        user = [
            "setpriv",
            f"--reuid={USER}",
            f"--regid={USER}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ]
        entry = [str(Path(self.environ["PATH"].partition(":")[0]) / json.loads(IMAGE.only("ENTRYPOINT"))[0])]
        return subprocess.run(
            [*user, *entry, *words], cwd=self.there(IMAGE.only("WORKDIR")), env=self.environ | environ,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def install(environment: Path, lock: str) -> None:
    """Put the distributions of a lock into an environment, as they are installed here."""
    for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text("utf-8"), re.MULTILINE):
        link(environment, name)


def link(environment: Path, *names: str) -> None:
    """Put distributions into an environment, as they are installed here."""
    here = Path(sysconfig.get_path("purelib"))
    (there,) = environment.glob("lib/python*/site-packages")
    for name in names:
        for top in {file.parts[0] for file in files(name) or ()} - {"..", "__pycache__"}:
            if (here / top).exists() and not (there / top).exists():
                (there / top).symlink_to(here / top)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Both stages, built."""
    needs.root()
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o755)
    environ = dict(word.split("=", 1) for line in IMAGE.all("ENV") for word in line.split())
    path = environ["PATH"].replace("$PATH", "/usr/bin:/bin")
    (root / "tmp").mkdir(mode=0o777)
    made = Machine(root, {})
    environ = {name: made.there(value) for name, value in environ.items()}
    made = Machine(root, environ | {"PATH": made.there(path), "TMPDIR": str(root / "tmp"), "LANG": "C.UTF-8"})
    (root / "tmp").chmod(0o777)
    try:
        for stage in (BUILD, IMAGE):
            for word, rest in stage.steps:
                step(made, word, rest)
        yield made
    finally:
        shutil.rmtree(root)


def step(made: Machine, word: str, rest: str) -> None:
    source = made.root / "src"
    if word == "WORKDIR":
        Path(made.there(rest)).mkdir(exist_ok=True)
    elif word == "COPY" and not rest.startswith("--from"):
        *_, target = rest.split()
        (source / target).mkdir(parents=True, exist_ok=True)
        if "dist/" in rest:
            command = [
                sys.executable,
                "-m",
                "build",
                "--no-isolation",
                "--wheel",
                "--outdir",
                str(source / target),
                str(ROOT),
            ]
            subprocess.run(command, capture_output=True, check=True)
    elif word == "RUN" and "--require-hashes" in rest:
        assert "--no-deps" in rest
        install(made.root / "opt" / "newsletter", rest.split()[-1])
    elif word == "RUN" and rest.startswith("python -m venv "):
        environment = Path(made.there(rest.split()[-1]))
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)  # pip takes 3 s
        link(environment, "pip")
        pip = environment / "bin" / "pip"
        pip.write_text(
            f"#!{environment}/bin/python\nimport runpy\nrunpy.run_module('pip', run_name='__main__')\n", "utf-8"
        )
        pip.chmod(0o755)
    elif word == "RUN":
        here = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-ec", made.there(rest)], cwd=source, env=here, check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(machine: Machine) -> Path:
    """The folder of the list, with what `init` writes there as the image's user."""
    folder = machine.root / "papers"
    assert machine.run("init", str(folder)).returncode == 0
    return folder


def test_the_steps_give_a_program_that_does_the_job_as_a_user_without_name_or_privilege(
    machine: Machine, papers: Path
) -> None:
    assert machine.run(*json.loads(IMAGE.only("CMD"))).stdout.startswith("Usage: newsletter ")
    it_does_the_job(machine.run, papers)


def it_does_the_job(run: Callable[..., subprocess.CompletedProcess[str]], papers: Path) -> None:
    """Send the sample day with the configuration that `init` has written into `papers`, as the user of the image."""
    shutil.copy(ROOT / "newsletter" / "sample_day.json", papers)
    with Inbox() as inbox:
        document = yaml.safe_load((papers / "config.yaml").read_text("utf-8"))
        document |= {
            "feeds": [{"url": "sample_day.json"}],
            "base_url": None,
            "smtp": [{"host": "127.0.0.1", "port": inbox.port}],
        }
        (papers / "config.yaml").write_text(yaml.safe_dump(document), "utf-8")
        assert run("subscribers", "add", "ada@example.org").returncode == 0
        ran = run("run")
        assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "verdict: new-issue - 1 accepted"), ran.stderr
        assert run("send").returncode == 0
    assert inbox.recipients == ["ada@example.org"]
    assert {path.stat().st_uid for path in papers.iterdir() if path.name != "sample_day.json"} == {USER}


def test_check_ends_with_findings_where_the_user_has_no_name_and_no_home(machine: Machine, papers: Path) -> None:
    papers.chmod(0o700)
    done = machine.run("check", "--offline")
    assert "please report" not in done.stdout
    assert re.search(r"\d+ BAD, \d+ warn, \d+ ok\.$", done.stdout)


def test_check_names_a_user_without_a_name_by_its_number(machine: Machine, papers: Path) -> None:
    """A folder that belongs to somebody else, as a mounted one does before it is given to the image's user."""
    for path in (papers, *papers.iterdir()):
        os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        done = machine.run("check", "--offline")
        assert f"cannot be written by {USER};" in done.stdout
    finally:
        for path in (papers, *papers.iterdir()):
            os.chown(path, USER, USER)
            path.chmod(0o700 if path.is_dir() else 0o600)


def test_the_program_cannot_be_changed_by_the_one_who_runs_it(machine: Machine) -> None:
    writable = [
        path for path in (machine.root / "opt").rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022
    ]
    assert writable == []


# --- the image, where a container tool is at hand ---------------------------------------------------------------------


def at_hand() -> tuple[str, str]:
    """A container tool that has a base image of the recipe, and the tag of that image. Skips the test without one."""
    for tool in filter(shutil.which, ("podman", "docker")):
        command = [tool, "images", "--format", "{{.Repository}}:{{.Tag}}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if tags := re.findall(r"^(?:docker\.io/library/)?python:(3\.\d+-slim)$", listed.stdout, re.MULTILINE):
            return tool, max(tags)
    pytest.skip("no container tool here has docker.io/library/python:3.13-slim; with it the image is built and run")


@pytest.mark.timeout(900)  # seconds: the libraries are fetched, and a layer of some file systems is a full copy
def test_a_container_tool_builds_the_image_and_it_does_the_job_with_all_that_the_page_takes_from_it(
    tmp_path: Path,
) -> None:
    tool, tag = at_hand()
    context, papers = tmp_path / "context", tmp_path / "papers"
    shutil.copytree(ROOT / "requirements", context / "requirements")
    for name in ("Containerfile", ".dockerignore"):
        shutil.copy(ROOT / name, context)
    wheel = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(context / "dist"), str(ROOT)]
    subprocess.run(wheel, capture_output=True, check=True)
    build = [tool, "build", "-t", "newsletter-test", "-f", "Containerfile", "--build-arg", f"PYTHON={tag}", "."]
    built = subprocess.run(build, cwd=context, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    papers.mkdir()
    os.chown(papers, USER, USER)
    (bounded,) = (block.split() for block in blocks("") if block.startswith("--read-only"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [tool, "run", "--rm", "--network", "host", *bounded, "-v", f"{papers}:/papers:Z", "newsletter-test"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    try:
        assert run().stdout.startswith("Usage: newsletter ")
        assert run("init", "/papers").returncode == 0
        assert run("check", "--offline").returncode == 78  # the example's values are still there
        it_does_the_job(run, papers)
    finally:
        subprocess.run([tool, "rmi", "--force", "newsletter-test"], capture_output=True, check=False)


# --- the recipe ------------------------------------------------------------------------------------------------------


def test_both_stages_begin_with_one_image_that_is_named_in_one_place() -> None:
    default = re.search(r"^ARG PYTHON=(3\.\d+)-slim$", (ROOT / "Containerfile").read_text("utf-8"), re.MULTILINE)
    assert default is not None
    assert [BUILD.image, IMAGE.image] == [f"docker.io/library/python:${{PYTHON}}{end}" for end in (" AS build", "")]
    assert f"Programming Language :: Python :: {default[1]}" in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_user_is_a_number_because_kubernetes_cannot_tell_a_name_from_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", IMAGE.only("USER"))
    assert [word for word, _ in IMAGE.steps].index("USER") > [word for word, _ in IMAGE.steps].index("RUN")


def test_all_that_is_copied_is_let_through_and_nothing_else() -> None:
    first, *others = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] != "#"]
    assert first == "*"
    allowed = [line.removeprefix("!") for line in others]
    copied = [name for rest in BUILD.all("COPY") for name in rest.split()[:-1]]
    assert [name for name in copied if not any(name == each or name.startswith(f"{each}/") for each in allowed)] == []
    for secret in ("newsletter.secret", "config.yaml", "newsletter.db", ".git", "smtp.password"):
        assert not any(fnmatch(secret, each) for each in allowed)


# --- the page --------------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_kubernetes_job_is_allowed_what_the_image_needs() -> None:
    (job,) = [yaml.safe_load(block) for block in blocks("yaml")]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {IMAGE.only("VOLUME"), "/tmp"}
    assert container["args"][0] in cli.commands


def called(text: str) -> set[str]:
    """The commands that the page gives to the image."""
    return set(re.findall(r"(?<=\s)newsletter (\w+)", text)) | set(re.findall(r"^Exec=(\w+)", text, re.MULTILINE))


def test_every_command_that_the_page_gives_to_the_image_exists() -> None:
    text = "\n".join([*blocks("console"), *blocks("ini"), *blocks("")])
    assert {"init", "check", "run", "send", "bounces", "web"} <= called(text) <= set(cli.commands)


def test_the_units_are_well_formed() -> None:
    service, timer = blocks("ini")
    assert f"Volume=papers:{IMAGE.only('VOLUME')}" in service
    calendar = re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    assert calendar is not None
    for each in (calendar[1], *re.findall(r"OnCalendar=(\*:0/\d+)", PAGE)):
        command = [needs.program("systemd-analyze", "systemd"), "calendar", each]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_health_command_of_the_pages_tells_whether_they_answer(
    tmp_path: Path, serve: Callable[[Site], Server]
) -> None:
    health = re.search(r"--health-cmd '([^']*)'", PAGE)
    assert health is not None
    server = serve(Site(tmp_path))
    command = health[1].replace("python ", f"{sys.executable} ").replace(":8080/", f":{server.port}/")
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode == 0
    server.stop()
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode != 0
