"""`newsletter preview --topic`: the edition of a reader who chose that, with the reason on each card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsletter.cli import main

pytestmark = pytest.mark.system  # feeds are parsed in a process of its own

DAY = "2026-11-24"
PAPERS = (
    ("Diffusion for protein design", "We generate proteins.", 3, "Ada Lovelace", "Inria"),
    ("Why cats purr", "We record purring at night.", 90, "Bo Ek", None),
    ("Folding proteins", "How a protein folds, and <script>alert(1)</script> what not.", 8, "Cy Dee", None),
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A config whose feed is a file of one day, in a folder that has no store."""
    entries = [
        {
            "paper": {"id": f"2611.{number:05d}", "title": title, "summary": abstract, "upvotes": votes}
            | {"authors": [{"name": author}]}
            | ({"organization": {"fullname": organisation}} if organisation else {})
        }
        for number, (title, abstract, votes, author, organisation) in enumerate(PAPERS)
    ]
    (tmp_path / f"{DAY}.json").write_text(json.dumps(entries), "utf-8")
    (tmp_path / "config.yaml").write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "feeds:\n  - url: '{date}.json'\nissue:\n  max_papers: 1\n",
        "utf-8",
    )
    return tmp_path


def preview(site: Path, *words: str) -> int:
    command = ["-c", str(site / "config.yaml"), "preview", "--date", DAY, "--output", str(site / "out"), *words]
    with pytest.raises(SystemExit) as ended:
        main(command)
    return int(ended.value.code or 0)


def shown(site: Path) -> str:
    """The text part, as one line."""
    return " ".join((site / "out" / "digest.txt").read_text("utf-8").split())


def test_the_edition_has_what_fits_also_below_the_cut_of_the_list_and_says_why(site: Path) -> None:
    assert preview(site, "--topic", "Protein  Design") == 0
    text, page = shown(site), (site / "out" / "digest.html").read_text("utf-8")
    assert "Diffusion for protein design" in text
    assert "your topic: Protein Design" in text
    assert "your topic: Protein Design" in page
    assert "cats" not in text


def test_every_choice_adds_papers_and_exclude_takes_them_away(site: Path) -> None:
    assert preview(site, "--topic", "purring", "--author", "A. Lovelace", "--topic", "folding") == 0
    text = shown(site)
    assert text.index("an author you follow: Ada Lovelace") < text.index("your topic: ")
    assert all(title in text for title, *_ in PAPERS)
    assert preview(site, "--organisation", "inria", "--author", "Bo Ek", "--exclude", "cats") == 0
    text = shown(site)
    assert "an organisation you follow: Inria" in text
    assert "Why cats purr" not in text


def test_nothing_that_fits_is_one_line_and_no_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(site, "--topic", "quantum gravity", "--category", "hep-th") == 0
    told = capsys.readouterr()
    assert told.out == f"verdict: quiet-day - none of the 3 papers of {DAY} fits these choices\n"
    assert told.err == ""
    assert not (site / "out").exists()


def test_the_filters_of_the_list_hold_first(site: Path) -> None:
    with (site / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("filters:\n  exclude: [diffusion]\n")
    assert preview(site, "--topic", "proteins") == 0
    assert "Diffusion" not in shown(site)
    assert "Folding" in shown(site)


def test_what_a_reader_typed_is_text_in_the_mail(site: Path) -> None:
    assert preview(site, "--topic", "proteins <b>&\u202efolding") == 0
    page = (site / "out" / "digest.html").read_text("utf-8")
    assert "<b>&" not in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--topic", "x" * 200), "topics: 'xxxxx"),
        (("--topic", "the"), "holds no word to look for"),
        (("--topic", "Agents", "--exclude", "AGENTS"), "never: 'AGENTS' is also asked for; leave one out"),
        (tuple(word for number in range(31) for word in ("--author", f"name {number}")), "authors: more than 30"),
        (("--topic", "a\x07b"), "holds a control character"),
        (("--topic", "proteins", "--serve"), "--serve shows the main edition"),
    ],
)
def test_a_choice_that_is_refused_is_wrong_usage(
    site: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert preview(site, *words) == 2
    assert said in capsys.readouterr().err
