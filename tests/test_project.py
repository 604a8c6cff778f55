"""The papers of the project itself: versions agree, paths that they name exist, forms and hooks are well-formed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from newsletter import __version__
from tests.conftest import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))

# What an issue form may ask (docs.github.com, "Syntax for issue forms"); GitHub does not show a form that is wrong.
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def released() -> list[tuple[str, str]]:
    """Version and day of each release in the changelog, newest first."""
    return re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )


def test_the_changelog_has_a_place_for_what_comes_next_and_then_the_releases() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings == ["Unreleased", *(f"{version} - {day}" for version, day in released())]
    assert released()


def test_package_changelog_and_citation_name_the_same_release() -> None:
    citation = load("CITATION.cff")
    assert released()[0] == (__version__, str(citation["date-released"]))
    assert citation["version"] == __version__


def test_the_citation_has_what_the_format_asks_for() -> None:
    citation = load("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_that_is_named_exists(name: str) -> None:
    folders, files = "newsletter|tests|docs|templates|requirements", "md|toml|yaml|cff"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*|[\w-]+\.(?:{files}))`", text(name)))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    assert named


@pytest.mark.parametrize("name", ["_shared_headers", "Copies", "Key", "recognise", "needed"])
def test_every_name_that_is_pointed_at_exists(name: str) -> None:
    assert name in text("CONTRIBUTING.md")
    sources = [path.read_text("utf-8") for path in (ROOT / "newsletter").rglob("*.py")]
    assert any(re.search(rf"^(?:def |class )?{name}\b", source, re.MULTILINE) for source in sources)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one_that_is_shown(form: Any) -> None:
    content = yaml.safe_load(form.read_text("utf-8"))
    assert all(isinstance(content[key], str) and content[key] for key in ("name", "description"))
    fields = [part for part in content["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in content["body"]} <= KINDS
    assert all(part["attributes"]["label"] for part in fields)
    assert len({part["id"] for part in fields}) == len(fields)


def test_the_hooks_are_well_formed_and_fetch_nothing() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    hooks = [
        (repo["repo"], hook["language"]) for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]
    assert set(hooks) == {("local", "system")}


# --- the release -----------------------------------------------------------------------------------------------------

RELEASE = ".github/workflows/release.yml"


def jobs() -> dict[str, Any]:
    return dict(load(RELEASE)["jobs"])


def test_every_action_is_pinned_by_its_commit_and_names_its_version() -> None:
    used = re.findall(r"uses: (.*)", text(RELEASE))
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_only_the_job_that_publishes_has_an_identity_and_it_runs_nothing_of_ours() -> None:
    assert load(RELEASE)["permissions"] == {}
    assert {name: job["permissions"] for name, job in jobs().items()} == {
        "build": {"contents": "read"},
        "publish": {"id-token": "write"},
    }
    publish = jobs()["publish"]
    assert (publish["environment"], publish["needs"]) == ("pypi", "build")
    assert not any("run" in step or "checkout" in step["uses"] for step in publish["steps"])
    assert "secrets." not in text(RELEASE)


def test_what_is_published_is_what_was_built_and_has_attestations() -> None:
    given = {
        step["uses"].partition("@")[0]: step["with"]
        for job in jobs().values()
        for step in job["steps"]
        if "with" in step
    }
    up, down = given["actions/upload-artifact"], given["actions/download-artifact"]
    assert (up["name"], up["path"]) == (down["name"], down["path"])
    assert given["pypa/gh-action-pypi-publish"]["attestations"] is True


def test_every_target_that_is_made_exists() -> None:
    made = {
        word
        for job in jobs().values()
        for step in job["steps"]
        for word in re.findall(r"^make (\w+)$", step.get("run", ""))
    }
    assert made == {"test", "dist"}
    assert made <= set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize(
    ("tag", "agrees"), [(f"v{__version__}", True), ("v99.0.0", False), (f"v{__version__}.1", False)]
)
def test_a_tag_that_is_not_the_version_stops_the_release(tag: str, agrees: bool) -> None:
    (step,) = [step for step in jobs()["build"]["steps"] if "GITHUB_REF_NAME" in step.get("run", "")]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"GITHUB_REF_NAME": tag}, capture_output=True, check=False
    )
    assert (done.returncode == 0) is agrees
