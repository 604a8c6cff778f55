"""A template is compiled once; what is kept of that is right or not used, and never in anybody's way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from newsletter import resources
from newsletter.mail import compiled, render
from newsletter.mail.compiled import Compiled, folder_of_python
from newsletter.mail.render import Renderer
from tests.conftest import PUBLICATION, issue, paper

BUILTIN = str(resources.find("templates") / "digest.txt")


class Counting(jinja2.Environment):
    """An environment that counts what it compiles; each template has the same source and stands in the same file."""

    number = 0

    def __init__(self, cache: Compiled, source: str = "{{ 1 + 1 }}", file: str = BUILTIN) -> None:
        super().__init__(
            loader=jinja2.FunctionLoader(lambda name: (source, file, lambda: True)), bytecode_cache=cache, cache_size=0
        )

    def compile(self, *values: Any, **named: Any) -> Any:
        """See jinja2.Environment."""
        self.number += 1
        return super().compile(*values, **named)


def compilations(cache: Compiled, **asked: str) -> int:
    """How often a template is compiled that is rendered."""
    environment = Counting(cache, **asked)
    assert environment.get_template("digest.txt").render().endswith("2")
    return environment.number


def test_a_template_is_compiled_once_by_a_process_and_by_those_after_it(tmp_path: Path) -> None:
    first = Compiled(tmp_path)
    assert [compilations(first), compilations(first)] == [1, 0]
    assert compilations(Compiled(tmp_path)) == 0


def test_without_a_folder_it_is_kept_for_the_process_alone() -> None:
    first = Compiled(None)
    assert [compilations(first), compilations(first), compilations(Compiled(None))] == [1, 0, 1]


def test_another_source_or_environment_is_compiled_again(tmp_path: Path) -> None:
    compilations(Compiled(tmp_path))
    assert compilations(Compiled(tmp_path), source="owls: {{ 1 + 1 }}") == 1
    assert compilations(Compiled(tmp_path), source="owls: {{ 1 + 1 }}") == 0
    assert compilations(Compiled(tmp_path, 7), source="owls: {{ 1 + 1 }}") == 1


@pytest.mark.parametrize("module", [jinja2, compiled])
def test_another_version_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    compilations(Compiled(tmp_path))
    monkeypatch.setattr(module, "__version__", "9.9")
    assert compilations(Compiled(tmp_path)) == 1


def test_an_operators_template_is_not_kept(tmp_path: Path) -> None:
    cache = Compiled(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    assert compilations(cache, file=str(tmp_path / "digest.txt")) == 1
    assert not list((tmp_path / "kept").iterdir())


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def foreign(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        foreign,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(bytes(1000)),
    ],
)
def test_what_is_damaged_is_compiled_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    compilations(Compiled(tmp_path))
    (file,) = tmp_path.iterdir()
    damage(file)
    assert compilations(Compiled(tmp_path)) == 1
    assert compilations(Compiled(tmp_path)) == (1 if damage is foreign else 0)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file"):
        assert [compilations(Compiled(folder)), compilations(Compiled(folder))] == [1, 1]


def test_it_is_kept_where_python_keeps_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    assert folder_of_python() == Path(compiled.__file__).parent / "__pycache__"
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    assert folder_of_python() == tmp_path.joinpath(*Path(compiled.__file__).parent.parts[1:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert folder_of_python() is None


def test_a_mail_is_the_same_from_kept_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for _ in range(2):
        monkeypatch.setattr(render, "_COMPILED", Compiled(tmp_path))
        made.append(Renderer(PUBLICATION).issue(issue(paper(1), paper(2))))
    assert made[0] == made[1]
    assert len(list(tmp_path.iterdir())) >= 2
