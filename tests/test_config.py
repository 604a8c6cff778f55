"""config.yaml: what is right is read, what is wrong is named with file and line, and no secret is ever shown."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from docs import generate
from newsletter import resources
from newsletter.config import TABLES, Config, Secret, load
from newsletter.config.yaml_nodes import REQUIRED
from newsletter.errors import ConfigError
from newsletter.links import Links, Purpose
from newsletter.model import Mailbox

MINIMAL = """\
sender: digest@news.example.org
postal_address: 1 Example Street
list_id: papers.news.example.org
feeds:
  - url: papers.json
"""


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return load(path, environ)


def refused(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    assert caught.value.exit_code == 78
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_the_shipped_reference_holds_every_key_and_no_other() -> None:
    text = resources.find("config.yaml").read_text("utf-8")
    assert {path for _, path in generate.paths(text) if path} == set(generate.described())


def test_the_schema_s_defaults_are_the_program_s(tmp_path: Path) -> None:
    """All defaults that the schema states, written out, give the configuration that is read when none is."""
    needed = {
        "": yaml.safe_load(MINIMAL),
        "feeds": {"url": "papers.json"},
        "bounces.imap": {"host": "localhost", "username": "me", "password": "x"},
        "dkim": {"selector": "s", "private_key_file": "dkim.pem"},
    }
    unstated = {"bounces.imap.password"}  # one of password and password_file is needed
    stated = {
        section: {
            name: yaml.safe_load(key.default)
            for name, key in table.items()
            if key.default != REQUIRED and f"{section}.{name}" not in TABLES and f"{section}.{name}" not in unstated
        }
        for section, table in TABLES.items()
    }

    def written(defaults: dict[str, dict[str, object]]) -> str:
        each = {section: needed.get(section, {}) | defaults.get(section, {}) for section in TABLES}
        whole = {name: value for name, value in each[""].items() if name not in TABLES}
        whole |= {name: each[name] for name in TABLES if name and "." not in name}
        whole |= {name: [each[name]] for name in ("feeds", "smtp", "dkim")}
        whole["bounces"] = each["bounces"] | {name: each[f"bounces.{name}"] for name in ("imap", "policy")}
        return yaml.safe_dump(whole)

    plain, full = (comparable(read(tmp_path, written(defaults))) for defaults in ({}, stated))
    assert full == plain


def comparable(config: Config) -> Config:
    """The configuration without its secrets, which are equal to nothing."""
    assert config.bounces.imap is None or config.bounces.imap.password is not None
    imap = config.bounces.imap and replace(config.bounces.imap, password=None)
    return replace(config, secret=Secret(str), bounces=replace(config.bounces, imap=imap))


def test_the_shipped_reference_is_a_valid_configuration() -> None:
    config = load(resources.find("config.yaml"), {"NEWSLETTER_SECRET": "of the environment"})
    assert config.secret.reveal() == "of the environment"
    assert config.issue.max_papers == 20
    assert config.smtp[0].tls == "none"


@pytest.mark.parametrize(
    "url",
    ["https://a.example/rss?q={%22day%22:1}", 'https://a.example/rss?q={"tag":"ai"}', "https://a.example/@lab.xml"],
)
def test_braces_around_no_word_and_an_at_sign_in_a_path_are_part_of_a_feed_s_url(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, MINIMAL.replace("papers.json", f"'{url}'")).feeds[0].url == url


def test_an_at_sign_is_a_login_only_in_front_of_a_host(tmp_path: Path) -> None:
    config = read(tmp_path, f"{MINIMAL}base_url: https://example.org/@lab/\nstore: postgresql://a:b@c/d?options=x@y\n")
    assert config.publication.base_url == "https://example.org/@lab"
    assert config.store == "postgresql://a:b@c/d?options=x@y"


def test_what_is_not_written_has_the_reference_s_defaults(tmp_path: Path) -> None:
    reference = load(resources.find("config.yaml"), {})
    config = read(tmp_path, MINIMAL)
    assert (config.fetch, config.issue, config.timezone) == (reference.fetch, reference.issue, ZoneInfo("UTC"))
    assert config.smtp[0].port == reference.smtp[0].port
    assert config.publication.bounce_address == "digest@news.example.org"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("titel: x\n", "config.yaml:6: titel: unknown key; did you mean title?"),
        ("issue:\n  max_paper: 3\n", "config.yaml:7: issue.max_paper: unknown key; did you mean max_papers?"),
        ("issue:\n  max_papers: many\n", "config.yaml:7: issue.max_papers: expected a whole number, not 'many'"),
        ("issue:\n  max_papers: 0\n", "config.yaml:7: issue.max_papers: expected a whole number from 1 to 1000, not 0"),
        ("issue: 3\n", "config.yaml:6: issue: expected `key: value` lines"),
        ("smtp:\n  host: x\n", "config.yaml:6: smtp: expected a list: lines that begin with `- `"),
        ("smtp:\n  - tls: ssl\n", "config.yaml:7: smtp.0.tls: expected none | starttls | implicit, not 'ssl'"),
        ("smtp:\n  - port: 70000\n", "config.yaml:7: smtp.0.port: expected a whole number from 1 to 65535, not 70000"),
        ("timezone: Mars/Olympus\n", "config.yaml:6: timezone: no such time zone: 'Mars/Olympus'"),
        ("base_url: news.example.org\n", "config.yaml:6: base_url: expected a URL such as"),
        ("store: mysql://x\n", "config.yaml:6: store: expected sqlite:///FILE or postgresql://"),
        ("title: ''\n", "config.yaml:6: title: must not be empty"),
        ('title: "a\\r\\nBcc: x@example.com"\n', "config.yaml:6: title: must be one line"),
        ("sender: nobody\n", "config.yaml:6: sender: given twice"),
        ("title: ${NO_SUCH_NAME}\n", "config.yaml:6: title: the environment variable NO_SUCH_NAME is not set"),
        ("templates: nowhere\n", "config.yaml:6: templates: no such folder"),
        ("secret: a\nsecret_file: b\n", "config.yaml:1: secret and secret_file are both given"),
        ("title: [a\n", "config.yaml:7: not YAML: "),
        ("\ttitle: a\n", "config.yaml:6: not YAML: "),
        ("title: !!python/object/apply:os.system [id]\n", "config.yaml:6: title: expected text"),
        ("bounce_address: a@@b\n", "config.yaml:6: bounce_address: 'a@@b' is not an address"),
        ("smtp:\n  - username: me\n", "config.yaml:7: smtp.0: username needs password or password_file"),
        (
            "smtp:\n  - host: mail.example.org\n    username: me\n    password: x\n",
            "config.yaml:7: smtp.0: a login at mail.example.org would send the password in clear",
        ),
        ("bounces:\n  verp: maybe\n", "config.yaml:7: bounces.verp: expected true or false, not 'maybe'"),
        (
            "bounces:\n  maildir: m\n  imap:\n    host: localhost\n    username: u\n    password: p\n",
            "config.yaml:6: bounces: maildir and imap are both given; keep one",
        ),
        ("bounces:\n  kept: Processed\n", "config.yaml:6: bounces: processed and kept must be two folders"),
        ("bounces:\n  processed: a/../../b\n", "config.yaml:7: bounces.processed: expected a folder's name"),
        ("bounces:\n  imap:\n    host: localhost\n", "config.yaml:7: bounces.imap.username: is missing"),
        (
            "bounces:\n  imap:\n    host: imap.example.org\n    tls: none\n    username: u\n    password: p\n",
            "config.yaml:7: bounces.imap: a login at imap.example.org would send the password in clear",
        ),
        (
            f"bounce_address: {'b' * 30}@news.example.org\nbounces:\n  verp: true\n",
            f"config.yaml:7: bounces: verp adds a token to {'b' * 30}@news.example.org, which has more than 29",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, change: str, message: str) -> None:
    assert refused(tmp_path, MINIMAL + change).startswith(message)


@pytest.mark.parametrize("votes", ["/no group/", "/(a)(b)/", "/(/", "/open"])
def test_a_votes_pattern_must_have_one_group(tmp_path: Path, votes: str) -> None:
    said = refused(tmp_path, MINIMAL + f"    votes: '{votes}'\n")
    assert said.startswith("config.yaml:6: feeds.0.votes: ")


@pytest.mark.parametrize("key", ["sender", "postal_address", "list_id", "feeds"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    entries = yaml.safe_load(MINIMAL)
    del entries[key]
    assert refused(tmp_path, yaml.safe_dump(entries)).endswith(f"{key}: is missing")


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `newsletter init` writes one"):
        load(tmp_path / "config.yaml", {})


def test_a_secret_that_is_not_there_matters_only_when_it_is_needed(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + "secret: ${NEWSLETTER_SECRET}\n")
    with pytest.raises(ConfigError, match=r"config.yaml:6: secret: the environment variable NEWSLETTER_SECRET is not"):
        config.secret.reveal()


def test_no_secret_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secret is missing: set secret or secret_file"):
        read(tmp_path, MINIMAL).secret.reveal()


def test_a_secret_can_stand_in_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a secret from the file\n", "utf-8")
    assert read(tmp_path, MINIMAL + "secret_file: key\n").secret.reveal() == "a secret from the file"


@pytest.mark.parametrize("key", ["secret", "secret_file"])
def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_text("fifteen letters", "utf-8")
    config = read(tmp_path, MINIMAL + f"{key}: x\nsmtp:\n  - username: me\n    password: x\n")
    said = rf"config.yaml:6: {key}: the secret is too short .*; `newsletter init` makes a good one$"
    with pytest.raises(ConfigError, match=said) as refused:
        config.secret.reveal()
    assert refused.value.exit_code == 78
    assert "fifteen letters" not in str(refused.value)
    assert config.smtp[0].password is not None
    assert config.smtp[0].password.reveal() == "x"


def test_a_short_secret_of_before_still_serves_old_links(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + f"secret: {'y' * 16}\nold_secrets: [x]\n")
    token = Links("x", config.publication).token(Purpose.UNSUBSCRIBE, "0" * 16)
    assert config.links().verify(Purpose.UNSUBSCRIBE, token) == "0" * 16


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_file_that_gives_nothing_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content, "utf-8")
    config = read(tmp_path, MINIMAL + "secret_file: key\n")
    with pytest.raises(ConfigError, match=r"config.yaml:6: secret_file: "):
        config.secret.reveal()


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    config = read(
        tmp_path, MINIMAL + "secret: hunter2\nsmtp:\n  - username: me\n    password: ${PW}\n", PW="correct horse"
    )
    assert config.smtp[0].password is not None
    assert config.smtp[0].password.reveal() == "correct horse"
    shown = f"{config!r} {config} {config.secret}" + "".join(traceback.format_exception(RuntimeError(config)))
    assert "hunter2" not in shown
    assert "correct horse" not in shown


def test_a_written_secret_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + "secret: hunter2\n")
    assert config.warnings == ()
    config.path.chmod(0o644)
    (warning,) = load(config.path, {}).warnings
    assert warning.startswith(f"{config.path}:6: secret can be read by others; chmod 600")
    assert "hunter2" not in warning


def test_a_file_with_a_secret_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    more = (
        "secret_file: key\nsmtp:\n  - {username: me, password_file: smtp.password}\n"
        "dkim:\n  - {selector: s, private_key_file: dkim.pem}\n"
        "bounces:\n  imap: {host: mail.example.org, username: me, password_file: imap.password}\n"
    )
    files = [tmp_path / name for name in ("key", "smtp.password", "dkim.pem", "imap.password")]
    for file in files:
        file.write_text("x", "utf-8")
        file.chmod(0o600)
    assert read(tmp_path, MINIMAL + more).warnings == ()
    for file in files:
        file.chmod(0o640)  # a DKIM key is often shared with a mail server by its group
    assert read(tmp_path, MINIMAL + more).warnings == ()
    for file in files:
        file.chmod(0o644)
    warnings = read(tmp_path, MINIMAL + more).warnings
    assert [warning.partition(": ")[2] for warning in warnings] == [
        f"{key} can be read by others; chmod 600 {file}"
        for key, file in zip(
            ("secret_file", "smtp.0.password_file", "dkim.0.private_key_file", "bounces.imap.password_file"),
            files,
            strict=True,
        )
    ]
    files[0].unlink()
    assert len(read(tmp_path, MINIMAL + more).warnings) == 3


def test_paths_start_at_the_config_s_folder(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL + "store: sqlite:///data/list.db\n")
    assert config.store == f"sqlite:///{tmp_path}/data/list.db"
    assert config.feeds[0].url == f"{tmp_path}/papers.json"


def test_a_feed_is_a_url_or_a_file(tmp_path: Path) -> None:
    urls = ["https://example.org/feed?date={date}", "file:///srv/feed%20one.xml", "/srv/feed.xml"]
    feeds = "".join(f"  - url: {url}\n" for url in urls)
    config = read(tmp_path, MINIMAL.replace("  - url: papers.json\n", feeds))
    assert [feed.url for feed in config.feeds] == [urls[0], "/srv/feed one.xml", "/srv/feed.xml"]
    assert refused(tmp_path, MINIMAL + "  - url: ftp://example.org/x\n").startswith("config.yaml:6: feeds.1.url: ")


def test_the_sender_may_have_a_name(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL.replace("digest@news.example.org", "Daily Papers <digest@NEWS.example.org>"))
    assert config.publication.sender == Mailbox("Daily Papers", "digest@news.example.org")


def test_the_port_of_imap_goes_with_its_tls(tmp_path: Path) -> None:
    imap = "bounces:\n  imap:\n    host: imap.example.org\n    username: u\n    password: p\n"
    ports = [read(tmp_path, MINIMAL + imap + more).bounces.imap for more in ("", "    tls: starttls\n")]
    assert [found.port for found in ports if found is not None] == [993, 143]


def test_a_password_of_the_mailbox_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    imap = "bounces:\n  imap:\n    host: imap.example.org\n    username: u\n    password: "
    path.write_text(f"{MINIMAL}{imap}open\n", "utf-8")
    path.chmod(0o644)
    assert [warning.partition(": ")[2].partition(" ")[0] for warning in load(path, {}).warnings] == [
        "bounces.imap.password"
    ]
