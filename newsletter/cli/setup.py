"""The commands for setting up: init and demo."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter import resources
from newsletter.errors import NewsletterError
from newsletter.extras import needed


def init(folder: Path) -> Iterator[str]:
    """Write config.yaml and newsletter.secret (mode 0600) into `folder`; yields a line for each step.

    Raises NewsletterError if there is a config.yaml already. An existing secret is kept.
    """
    config, secret = folder / "config.yaml", folder / "newsletter.secret"
    if config.exists():
        raise NewsletterError(f"{config} exists already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    if not secret.exists():
        _write(secret, secrets.token_urlsafe(32) + "\n")
        yield f"wrote {secret}  (it signs the unsubscribe links: keep it secret and back it up)"
    _write(config, _with_secret_file(resources.find("config.yaml").read_text("utf-8")))
    yield f"wrote {config}"
    yield "Next: set sender, postal_address, list_id, base_url and smtp in it; then look at a day before you send one:"
    yield f"  newsletter -c {config} preview"


def _with_secret_file(reference: str) -> str:
    """The reference config with `secret_file` instead of `secret`, because cron gives no environment variables."""
    lines = reference.splitlines(keepends=True)
    taken = [line.removeprefix("# ") if line.startswith("# secret_file:") else line for line in lines]
    return "".join("# " + line if line.startswith("secret:") else line for line in taken)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, "utf-8")


def demo(output: Path) -> int:
    """Run the demo and print the files it wrote; returns the exit code. Raises MissingExtra without aiosmtpd."""
    from newsletter.cli.progress import watching

    with needed("demo", "newsletter demo"):
        from newsletter import demo

    with watching() as runtime:
        done = demo.run(output, datetime.now(UTC).date(), runtime)
    click.echo("The mail that was sent, and the copy that each subscriber of the sample list received:")
    for path in done.files:
        click.echo(f"  {path}")
    click.echo(f"verdict: {done.report.verdict} - {done.report.explanation}")
    return done.report.exit


def program() -> tuple[str, ...]:
    """The words that call this program by its absolute path."""
    script = shutil.which("newsletter") if Path(sys.argv[0]).name == "newsletter" else None
    own = Path(sys.argv[0]).resolve()
    if own.name == "newsletter" and own.is_file():
        return (str(own),)
    return (script,) if script else (sys.executable, "-m", "newsletter")
