"""The schema of config.yaml: one table for each mapping, with reader, default and description of each key.

The tables of the mail servers are in servers.py and tokens.py. The comments in config.yaml and docs/configuration.md
are generated from the descriptions (`make docs`). Opens no socket and no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from newsletter.config import fields as v
from newsletter.config.fields import Secret
from newsletter.config.pings import pings
from newsletter.config.sections import (
    AlertConfig,
    BouncesConfig,
    DkimConfig,
    FeedConfig,
    FetchConfig,
    RetentionConfig,
    SendingConfig,
    SummaryConfig,
    WebConfig,
)
from newsletter.config.servers import CA_FILE, IMAP, SMTP, imap, secret_or_file, smtp
from newsletter.config.tokens import REFRESH
from newsletter.config.yaml_nodes import ENV, REQUIRED, Key, Place, Table, items, mapping, pairs
from newsletter.errors import ConfigFault, Mistake
from newsletter.issue.calendar import CALENDARS, calendar_of
from newsletter.issue.filters import Filters
from newsletter.issue.rules import IssueRules
from newsletter.model import BouncePolicy

_FEED: Final[Table] = {
    "url": Key(
        v.feed_url,
        REQUIRED,
        "http(s) URL, or path of a file. `{date}` becomes the day, such as 2026-11-24; only a feed whose URL holds it "
        "can be asked for earlier days.",
    ),
    "name": Key(v.optional(v.text), "null", "Name that readers see as the source; null: the feed's own title."),
    "votes": Key(
        v.optional(v.votes),
        "null",
        "Where the upvotes are, if they are not found. An element such as `rsshub:upvotes`, a path in JSON such as "
        "`_ext.votes`, or a `/pattern with one (group)/` for the text of an entry.",
    ),
    "rhythm": Key(
        v.number(0, 366),
        "5",
        "Working days after which a feed with nothing new is stale. A feed with `{date}` in its URL "
        "is stale as soon as it lists only papers of earlier days.",
    ),
    "replacements": Key(
        v.flag,
        "false",
        "true: new versions of old papers are news too. arXiv announces them as replace and replace-cross.",
    ),
    "headers": Key(
        v.headers,
        "{}",
        "Header fields for the feed's own host. `{Authorization: Bearer ${KEY}}` is an example. They are sent to no "
        "other host that a redirect leads to, and their values are never shown.",
    ),
    "user_agent": Key(
        v.optional(v.header_value), "null", "User-Agent to send, for hosts that refuse programs; null: our own."
    ),
    "ca_file": Key(v.optional(v.file), "null", CA_FILE),
    "calendar": Key(
        v.optional(v.choice(*CALENDARS)),
        "null",
        "How its days are counted: hugging-face or arxiv; null: by its URL. `hugging-face` counts days in UTC; with "
        "`arxiv` the next day begins at 20:00 Eastern Time. Neither lists papers on weekends.",
    ),
}
_FETCH: Final[Table] = {
    "deadline": Key(v.number(0, 3600), "60", "Seconds for one feed, redirects and retries included."),
    "max_megabytes": Key(v.number(0, 1000), "10", "Size of the largest response, after decompression."),
    "attempts": Key(
        v.whole(1, 10), "3", "Attempts for one feed, after 429, 5xx or a lost connection. `Retry-After` is respected."
    ),
}
_ISSUE: Final[Table] = {
    "max_papers": Key(v.whole(1, 1000), "20", "Papers in an issue, at most; with sections, in each section."),
    "sections": Key(
        v.choice("merged", "source"),
        "merged",
        "merged: one ranking; source: a section for each feed. Sections come in the order of `feeds`.",
    ),
    "min_upvotes": Key(v.whole(0, 10**9), "0", "Upvotes of a paper, at least. Not applied to feeds without votes."),
    "settle": Key(
        v.whole(0, 24 * 7),
        "24",
        "Hours from the start of a source's day to its ranking; 0: at once. `run` takes the newest day that is "
        "so old. Only feeds with `{date}` in their URL have such days.",
    ),
    "lifetime": Key(v.number(0, 24 * 31), "24", "Hours after which no copy of an issue is sent any more."),
    "look_back": Key(
        v.whole(0, 31),
        "6",
        "Days in which late risers are looked for; 0: none. A late riser is a paper of an earlier day that was below "
        "its day's cut and is above it now; it is shown once.",
    ),
    "max_rising": Key(
        v.optional(v.whole(0, 100)),
        "null",
        "Late risers in an issue, at most. null: a quarter of `max_papers`, and at least 3.",
    ),
    "catch_up": Key(
        v.whole(0, 31),
        "5",
        "Days without a run that the next issue takes in; 0: none. Days on which nothing is listed do not count.",
    ),
}
_FILTERS: Final[Table] = {
    "include": Key(v.words, "[]", 'Keep only papers that mention one of these: [diffusion, "world model"].'),
    "exclude": Key(v.words, "[]", "Drop papers that mention one of these, before all other filters."),
    "pin": Key(v.words, "[]", "Put papers that mention one of these at the top, and say why."),
    "authors": Key(v.words, "[]", "The same for papers by one of these authors: [Ada Lovelace]."),
    "organisations": Key(v.words, "[]", "The same for papers from one of these organisations."),
    "categories": Key(v.words, "[]", "Keep only papers in one of these categories: [cs.LG, stat]."),
}
_SENDING: Final[Table] = {
    "uncertain": Key(
        v.choice("resend", "hold"),
        "resend",
        "What happens to an uncertain copy: resend (once) or hold. It is resent as the same message. A copy that is "
        "held, or uncertain for the second time, waits for `newsletter send --retry-uncertain`.",
    ),
    "canary": Key(
        v.optional(v.bare_address),
        "null",
        "Subscriber whose copy goes first and must be accepted; null: none. It can be your own address.",
    ),
    "pause_after": Key(
        v.whole(1, 10**6),
        "5",
        "Pause the issue if the first N copies or N in a row are refused alike. In a row, dead addresses do not count.",
    ),
    "pause_share": Key(v.number(0, 1), "0.5", "Pause the issue if this share of the last 100 copies is refused alike."),
}
_ALERTS: Final[Table] = {
    "address": Key(
        v.optional(v.bare_address),
        "null",
        "Where the alert goes; null: no alert. If this address is subscribed, its copy names failed feeds.",
    ),
    "after": Key(
        v.whole(1, 366),
        "3",
        "Days with a run and without an issue before the alert. It is repeated weekly while that lasts.",
    ),
    "summary": Key(v.flag, "false", "true: a short mail to `address` after each issue."),
    "ping": Key(
        v.optional(v.secret_url),
        "null",
        "URL to request when a run went well; null: none. A check at healthchecks.io has one; the verdict is the body "
        "of the request. See [operating](operating.md#a-monitor-outside).",
    ),
    "ping_start": Key(
        v.or_off(v.optional(v.secret_url)),
        "null",
        "URL to request when a run begins; null: `ping` with /start; off: none.",
    ),
    "ping_fail": Key(
        v.or_off(v.optional(v.secret_url)),
        "null",
        "URL to request when a run failed; null: `ping` with /fail; off: none.",
    ),
    "webhook": Key(
        v.optional(v.secret_url),
        "null",
        "URL that gets a POST for each day and verdict; null: none. Recipes for Slack, Discord, Telegram and ntfy are "
        "in [operating](operating.md#webhooks).",
    ),
    "webhook_secret": Key(
        v.optional(v.signing(v.secret)),
        "null",
        "Signs those POSTs; null: they are not signed. It has at least 16 characters, or is whsec_ and Base64.",
    ),
    "webhook_secret_file": Key(
        v.optional(v.signing(v.secret_file)), "null", "File that holds it, instead of `webhook_secret`."
    ),
}
_POLICY: Final[Table] = {
    "hard": Key(v.whole(0, 1000), "1", "Issues with a permanent failure: the address does not exist."),
    "soft": Key(
        v.whole(0, 1000),
        "3",
        "Issues with a temporary failure, such as a full mailbox. Issues whose copy was refused with 5.1.x while "
        "sending have the same limit.",
    ),
    "soft_days": Key(v.whole(1, 366), "14", "Days within which those issues count."),
    "complaint": Key(v.whole(0, 1000), "1", "Issues that the reader reported as spam."),
}


def _policy(place: Place) -> BouncePolicy:
    return BouncePolicy(**mapping(place, _POLICY))


_BOUNCES: Final[Table] = {
    "maildir": Key(v.optional(v.file), "null", "Maildir on this machine; null: none."),
    "imap": Key(imap, "null", "Mailbox on an IMAP server; null: none. Needs the extra `imap`."),
    "processed": Key(
        v.folder,
        "Processed",
        "Folder for mails that were read; made if it does not exist. "
        "What is older than `retention.reports` is deleted there.",
    ),
    "kept": Key(v.folder, "Kept", "Folder for mails that a person should look at."),
    "verp": Key(
        v.flag,
        "false",
        "true: each copy has its own MAIL FROM, name+TOKEN@domain. The mail server must then deliver "
        "`name+anything@domain` to the same mailbox.",
    ),
    "policy": Key(_policy, "{}", "After how many issues a reader is suppressed; 0: never."),
}
_DKIM: Final[Table] = {
    "selector": Key(v.selector, REQUIRED, "Name of the key in DNS."),
    "private_key_file": Key(v.file, REQUIRED, "RSA or Ed25519 key: openssl genrsa -out dkim.pem 2048."),
}
_RETENTION: Final[Table] = {
    "deliveries": Key(
        v.whole(0, 3660),
        "90",
        "Days for which each reader's copy of an issue is kept. Later only the number of copies is known.",
    ),
    "reports": Key(v.whole(0, 3660), "90", "Days for which reports from the bounce mailbox are kept."),
    "runs": Key(v.whole(0, 3660), "90", "Days for which the results of runs are kept."),
}
_SUMMARY: Final[Table] = {
    "command": Key(
        v.words,
        "[]",
        "Program and its arguments, such as [summarise, --short]; []: none. It is run without a shell, reads title, "
        "empty line and abstract, and prints one or two sentences; docs/operating.md has an example.",
    ),
    "timeout": Key(v.number(0, 3600), "60", "Seconds for one paper."),
    "budget": Key(v.whole(0, 1000), "20", "Papers per run for which the program is called, at most."),
}
_WEB: Final[Table] = {
    "per_ip": Key(
        v.whole(1, 10**6),
        "20",
        "Sign-ups per hour from one network address (IPv6: one /64). An IPv6 /56 has twice as many, a /48 four times.",
    ),
    "overall": Key(v.whole(1, 10**6), "500", "Sign-ups per hour from all networks that make a mail due."),
    "first_copy": Key(
        v.flag,
        "true",
        "true: a reader who confirms gets the latest issue at once. They get none that has expired (`issue.lifetime`) "
        "or was withdrawn.",
    ),
    "trusted_proxy": Key(
        v.network_address,
        "127.0.0.1",
        "Proxy whose X-Forwarded-For is believed; *: any. Use `*` only if nobody but the proxy can reach the port.",
    ),
}


def _feeds(place: Place) -> tuple[FeedConfig, ...]:
    return tuple(_feed(mapping(item, _FEED), _hidden(item)) for item in items(place))


def _hidden(place: Place) -> tuple[str, ...]:
    """The values of the environment in a feed's URL.

    A value of one or two characters is left out: it is no secret, and it occurs in many words.
    """
    raw = next(str(child.node.value) for name, child in pairs(place, _FEED) if name == "url" and child.node)
    values = (place.environ.get(name, "") for name in ENV.findall(raw))
    return tuple(value for value in values if len(value) > 2)


def _feed(values: dict[str, Any], hidden: tuple[str, ...]) -> FeedConfig:
    named = values.pop("calendar", None)
    calendar = CALENDARS[named] if named else calendar_of(values["url"])
    if calendar is not None:
        calendar = replace(calendar, asked="{date}" in values["url"])
    return FeedConfig(**values, hidden=hidden, calendar=calendar)


def _fetch(place: Place) -> FetchConfig:
    values = mapping(place, _FETCH)
    if "max_megabytes" in values:
        values["max_bytes"] = int(values.pop("max_megabytes") * 1_000_000)
    return FetchConfig(**values)


def _issue(place: Place) -> IssueRules:
    return IssueRules(**mapping(place, _ISSUE))


def _filters(place: Place) -> Filters:
    return Filters(**mapping(place, _FILTERS))


def _sending(place: Place) -> SendingConfig:
    return SendingConfig(**mapping(place, _SENDING))


def _alerts(place: Place) -> AlertConfig:
    values = secret_or_file(place, mapping(place, _ALERTS), "webhook_secret")
    found = [values.pop(name, None) for name in ("ping_start", "ping", "ping_fail")]
    alerts = AlertConfig(**values, pings=pings(*found))
    if alerts.summary and alerts.address is None:
        raise place.error("summary needs an address", Mistake(beside="address"))
    if alerts.webhook_secret is not None and alerts.webhook is None:
        raise place.error("webhook_secret is given, and webhook is not", Mistake(beside="webhook"))
    return alerts


def _dkim(place: Place) -> tuple[DkimConfig, ...]:
    return () if place.is_null else tuple(DkimConfig(**mapping(item, _DKIM)) for item in items(place))


def _web(place: Place) -> WebConfig:
    return WebConfig(**mapping(place, _WEB))


def _summary(place: Place) -> SummaryConfig:
    return SummaryConfig(**mapping(place, _SUMMARY))


def _retention(place: Place) -> RetentionConfig:
    return RetentionConfig(**mapping(place, _RETENTION))


def _secret_files(place: Place) -> tuple[Secret, ...]:
    return tuple(v.signing(v.secret_file)(item) for item in items(place))


def _old_secrets(place: Place) -> tuple[Secret, ...]:
    return tuple(v.secret(item) for item in items(place))


def _bounces(place: Place) -> BouncesConfig:
    found = BouncesConfig(**mapping(place, _BOUNCES))
    if found.maildir is not None and found.imap is not None:
        raise place.error("maildir and imap are both given; keep one", Mistake(ConfigFault.SEVERAL_KEYS))
    if found.processed == found.kept:
        raise place.error("processed and kept must be two folders")
    return found


ROOT: Final[Table] = {
    "title": Key(v.text, "Daily Papers", "Title in the masthead, and name of the list."),
    "sender": Key(v.mailbox, REQUIRED, "From: a name and an address of your own domain."),
    "postal_address": Key(
        v.text,
        REQUIRED,
        "Postal address in the footer, which bulk mail must show. In the USA the law is CAN-SPAM, 15 USC 7704(a)(5).",
    ),
    "bounce_address": Key(
        v.optional(v.bare_address),
        "null",
        "MAIL FROM, and address for unsubscribe mails; null: the sender's. It must take mail, because bounces and "
        "complaints arrive there.",
    ),
    "base_url": Key(
        v.optional(v.base_url),
        "null",
        "Where readers reach `newsletter web`; null: unsubscribe by mail only. It may have a path, such as "
        "`https://example.org/news`.",
    ),
    "list_id": Key(v.list_id, REQUIRED, "List-Id (RFC 2919): choose it once, because readers filter by it."),
    "timezone": Key(
        v.zone,
        "UTC",
        "Time zone that says which day is today, such as Europe/Berlin. A day that the source has not begun is not "
        "asked for yet.",
    ),
    "language": Key(
        v.language,
        "en",
        "Language of mails and pages: a BCP 47 tag, such as en, de-AT or zh. "
        "[Languages](languages.md) says which there are, and how to add one.",
    ),
    "direction": Key(
        v.optional(v.choice("ltr", "rtl")), "null", "Writing direction, ltr or rtl; null: that of the language."
    ),
    "feeds": Key(
        _feeds,
        REQUIRED,
        "Sources: Hugging Face, RSS, Atom, RDF or JSON Feed. The format is recognised by the content.",
    ),
    "fetch": Key(_fetch, "{}", "Limits for fetching one feed."),
    "issue": Key(_issue, "{}", "What goes into an issue."),
    "filters": Key(
        _filters,
        "{}",
        "Filters for the whole list, by whole words. Title, abstract and keywords are searched; case, accents and "
        "hyphens do not matter.",
    ),
    "templates": Key(
        v.optional(v.file),
        "null",
        "Folder whose templates replace the built-in ones, file by file. See [templates](../templates/README.md).",
    ),
    "store": Key(
        v.store_url,
        "sqlite:///newsletter.db",
        "Database of subscribers, issues and deliveries. A path that is not absolute starts at the folder of "
        "config.yaml; `postgresql://USER@HOST/DATABASE` needs the extra `postgres`.",
    ),
    "witness": Key(
        v.optional(v.file),
        "null",
        "File that tells when the store is older than what was sent. With `null` it is beside the store, or for "
        "PostgreSQL beside config.yaml; docs/operating.md says what to do when it reports that.",
    ),
    "secret": Key(
        v.optional(v.signing(v.secret)),
        "null",
        "Signs the links in mails: random, at least 16 characters. Every command that sends mail or serves pages "
        "needs it.",
    ),
    "secret_file": Key(
        v.optional(v.signing(v.secret_file)),
        "null",
        "File that holds the secret, instead of `secret`. `newsletter init` writes one.",
    ),
    "old_secrets": Key(
        _old_secrets,
        "[]",
        "Earlier secrets: links made with them still work. Forgotten addresses are recognised by them too.",
    ),
    "old_secret_files": Key(
        _secret_files,
        "[]",
        "Files with earlier secrets, besides `old_secrets`.",
    ),
    "smtp": Key(
        smtp,
        "[{}]",
        "Mail servers: one, or several that share the work. A server that fails is left alone for five minutes.",
    ),
    "sending": Key(_sending, "{}", "When a copy is resent, and when an issue is paused."),
    "summary": Key(
        _summary,
        "{}",
        "A program of yours that summarises papers whose feed gives no summary. Each is summarised once; where that "
        "fails the mail shows an excerpt of the abstract.",
    ),
    "alerts": Key(_alerts, "{}", "Who is told when something is wrong: mail, pings, a webhook."),
    "bounces": Key(_bounces, "{}", "Mailbox of bounce_address, for `newsletter bounces`."),
    "dkim": Key(
        _dkim,
        "null",
        "Keys that sign each copy; null: your relay signs. `newsletter check` prints the DNS records to publish.",
    ),
    "web": Key(_web, "{}", "The pages that `newsletter web` serves."),
    "retention": Key(_retention, "{}", "How many days the store keeps things; 0: for ever."),
}

# All tables, by the dotted name of their mapping.
TABLES: Final[Mapping[str, Table]] = {
    "": ROOT,
    "feeds": _FEED,
    "fetch": _FETCH,
    "issue": _ISSUE,
    "filters": _FILTERS,
    "smtp": SMTP,
    "smtp.token_refresh": REFRESH,
    "sending": _SENDING,
    "alerts": _ALERTS,
    "bounces": _BOUNCES,
    "bounces.imap": IMAP,
    "bounces.imap.token_refresh": REFRESH,
    "bounces.policy": _POLICY,
    "dkim": _DKIM,
    "summary": _SUMMARY,
    "web": _WEB,
    "retention": _RETENTION,
}
