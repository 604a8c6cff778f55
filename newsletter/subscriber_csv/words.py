"""Words and headings in comparable form, and the words by which lists in several languages tell a state.

Contains no decision about a file: it says what a word means, and None when nobody knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from newsletter.model import SubscriberStatus

_ACTIVE: Final = SubscriberStatus.ACTIVE
_PENDING: Final = SubscriberStatus.PENDING
_UNSUBSCRIBED: Final = SubscriberStatus.UNSUBSCRIBED
_SUPPRESSED: Final = SubscriberStatus.SUPPRESSED


@lru_cache(4096)  # the words of a column are few, and asked of every row
def key(text: str) -> str:
    """`text` in comparable form: lower case, no accents, runs of anything but letters and digits as one space.

    `E-Mail_Adresse` becomes ``e mail adresse``, `Désabonné` becomes ``desabonne``, `optedOut` ``opted out``.
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub(r"[\W_]+", " ", plain.casefold()).strip()


def _keys(words: str) -> frozenset[str]:
    """The words of a table, which stand there with commas between them."""
    return frozenset(key(word) for word in words.split(","))


_YES: Final = _keys("yes, y, true, t, 1, x, on, checked, ja, j, wahr, oui, o, vrai, si, s, sim, verdadero, vero, tak")
_YES_SIGNS: Final = frozenset("✓✔☑✅")  # `key` leaves nothing of these
_NO_SIGNS: Final = frozenset(("-", "–", "—", "✗", "✘", "☐", "\\N"))
_NO: Final = _keys(
    "no, n, false, f, 0, off, unchecked, null, none, nil, n/a, na, nan, never, nein, falsch, non, faux, falso, nao,"
    " nee, nie"
)

# What each service calls its readers. Source: docs/importing.md has the address of every page and file named here.
_SERVICES: Final[tuple[tuple[str, str, Mapping[SubscriberStatus, str]], ...]] = (
    (
        "this program",
        "newsletter/model/subscribers.py: SubscriberStatus",
        {
            _ACTIVE: "active",
            _PENDING: "pending",
            _UNSUBSCRIBED: "unsubscribed",
            _SUPPRESSED: "suppressed",
        },
    ),
    (
        "Mailchimp",
        "mailchimp.com/developer: list member status; ginkgo.st: Notes on MailChimp Data Exports",
        {
            _ACTIVE: "subscribed",
            _PENDING: "nonsubscribed, non-subscribed, transactional",
            _UNSUBSCRIBED: "archived",
            _SUPPRESSED: "cleaned",
        },
    ),
    (
        "listmonk",
        "knadh/listmonk: schema.sql, subscriber_status and subscription_status",
        {
            _ACTIVE: "enabled, confirmed",
            _PENDING: "unconfirmed",
            _UNSUBSCRIBED: "disabled",
            _SUPPRESSED: "blocklisted, blacklisted",
        },
    ),
    (
        "Keila",
        "pentacent/keila: lib/keila/contacts/schemas/contact.ex",
        {_SUPPRESSED: "unreachable"},
    ),
    (
        "Buttondown",
        "buttondown/openapi: enums.json, SubscriberType; docs.buttondown.com/api-subscribers-type",
        {
            _PENDING: "unactivated",
            _UNSUBSCRIBED: "removed",
            _SUPPRESSED: "undeliverable, spammy, blocked, complained, malformed",
        },
    ),
    (
        "Kit (ConvertKit)",
        "help.convertkit.com: The Subscriber Profile Page & Status",
        {_UNSUBSCRIBED: "inactive, cancelled, canceled", _SUPPRESSED: "bounced"},
    ),
    (
        "MailerLite",
        "mailerlite.com/help/subscriber-statuses-explained",
        {_SUPPRESSED: "junk, spam"},
    ),
    (
        "beehiiv",
        "beehiiv.com/newsletter-glossary/subscriber-status",
        {_PENDING: "needs approval, validating"},
    ),
    (
        "Sendy",
        "sendy.co/forum/discussion/15461",
        {_SUPPRESSED: "marked as spam"},
    ),
    (
        "Salesforce Marketing Cloud",
        "developer.salesforce.com: SubscriberStatus",
        {_UNSUBSCRIBED: "deleted", _SUPPRESSED: "held"},
    ),
    (
        "Constant Contact",
        "community.constantcontact.com: Help understanding Email Status in exported contacts list",
        {_PENDING: "awaiting confirmation, no permissions set"},
    ),
    (
        "Lyris ListManager",
        "lunar.lyris.com: Using 'Report' to Synchronize with your Database",
        {_UNSUBSCRIBED: "unsub, expired"},
    ),
    (
        "Mailman and other list managers",
        "manpages.ubuntu.com: list_members(8), --nomail",
        {_UNSUBSCRIBED: "nomail, no mail, no email"},
    ),
    (
        "rasa.io",
        "help.rasa.io: What do the fields in my contacts export represent",
        {_SUPPRESSED: "dropped"},
    ),
    (
        "GreenArrow (InboxFirst)",
        "inboxfirst.com/subscriber-records",
        {_UNSUBSCRIBED: "deactivated", _SUPPRESSED: "spam complaint"},
    ),
    (
        "The Newsletter Plugin",
        "thenewsletterplugin.com/documentation/subscribers-and-management/subscribers",
        {_PENDING: "not confirmed"},
    ),
    (
        "other languages",
        "dictionaries: German, French, Spanish, Portuguese, Italian, Dutch, Russian, Chinese, Japanese",
        {
            _ACTIVE: "aktiv, angemeldet, abonniert, bestätigt, eingetragen, actif, active, abonné, abonnée, inscrit,"
            " inscrite, confirmé, confirmée, activo, activa, suscrito, suscrita, confirmado, confirmada, de alta,"
            " ativo, ativa, inscrito, inscrita, assinante, attivo, attiva, iscritto, iscritta, confermato,"
            " confermata, actief, ingeschreven, aangemeld, bevestigd, активен, активный, подписан, подтвержден,"
            " 已订阅, 訂閱, 有效, 有効, 購読中, 登録済み",
            _PENDING: "ausstehend, wartend, unbestätigt, nicht bestätigt, en attente, non confirmé, non confirmée,"
            " à confirmer, pendiente, no confirmado, no confirmada, pendente, não confirmado, in attesa, non"
            " confermato, in afwachting, niet bevestigd, не подтвержден, 未确认, 未確認, 待确认, 仮登録",
            _UNSUBSCRIBED: "abgemeldet, ausgetragen, inaktiv, gelöscht, deaktiviert, abbestellt, désabonné, désabonnée,"
            " désinscrit, désinscrite, inactif, inactive, supprimé, supprimée, désactivé, désactivée, de baja, baja,"
            " dado de baja, desuscrito, desuscrita, inactivo, inactiva, eliminado, eliminada, cancelado, cancelada,"
            " inativo, inativa, descadastrado, descadastrada, disiscritto, disiscritta, cancellato, cancellata,"
            " inattivo, eliminato, afgemeld, uitgeschreven, inactief, verwijderd, отписан, отписался, неактивен,"
            " 已退订, 退订, 退訂, 解除, 退会, 配信停止, opted out, opt-out, optout, opted-out",
            _SUPPRESSED: "gesperrt, blockiert, unzustellbar, ungültig, gebounct, bloqué, bloquée, rejeté, rejetée,"
            " invalide, bloqueado, bloqueada, rebotado, rebotada, inválido, inválida, bloccato, bloccata, rimbalzato,"
            " geblokkeerd, ongeldig, заблокирован, 黑名单, 无效, 無効, blacklist, blocklist, bounce, hard bounce,"
            " soft bounce, hard bounced, complaint, invalid, banned",
        },
    ),
)

# What a reader of a file may be here; who is forgotten has no address.
STATUSES: Final = tuple(status for status in SubscriberStatus if status is not SubscriberStatus.FORGOTTEN)

STATES: Final[Mapping[str, SubscriberStatus]] = {
    word: status for _, _, words in _SERVICES for status, listed in words.items() for word in _keys(listed)
}

# Words that mean a reader who gets mail, but only where a column is about a state: elsewhere they are ordinary words.
_KINDS: Final = _keys(
    "regular, premium, free, paid, comp, comped, complimentary, gift, gifted, founding, lifetime, trial, trialed,"
    " trialing, in trial, unpaid, churning, past due, guest, not renewing, single, double, single opt-in, double"
    " opt-in, opted in, opted-in, opt-in, subscriber, valid, deliverable, verified, accepted"
)

# Parts of words, for what no table can hold ("Unsubscribed by admin", "Abmeldung am"). The first that is found counts.
_STEMS: Final[tuple[tuple[SubscriberStatus, re.Pattern[str]], ...]] = (
    (
        _PENDING,
        re.compile(
            r"unconfirm|unverif|unactivat|pending|awaiting|nonsubscri|unbestat|ausstehend|en attente|pendiente|pendente"
            r"|in attesa"
            r"|\b(not|non|no|nicht|niet|nao|never) (yet )?(confirm|verif|activat|opt ?in|bestat|bevestig|subscri)"
        ),
    ),
    (
        _SUPPRESSED,
        re.compile(
            r"bounc|complain|\bspam|\babuse|black ?list|block ?list|\bblocked|suppress|\bbanned|undeliver|unreachable"
            r"|\binvalid|\bcleaned|\bclean time|gesperrt|sperrliste|blockiert|unzustellbar|ungultig|beschwerde|rebond"
            r"|\bbloque|\bplainte|\brebot|\bqueja|\bbloccat|rimbalz|geblokkeerd|robinson"
            r"|suspend|\bon hold|\bexcluded|\bdeceased"
        ),
    ),
    (
        _UNSUBSCRIBED,
        re.compile(
            r"\bno ?mail\b|\bno email"
            r"|unsub|\bopt(ed)? ?out|\bdisabled|deactiv|\binactiv|\bdeleted|\bremoved|\bcancel|\barchived|signed off"
            r"|do not (e ?)?mail|do not contact|\bdeclined|\brefused|abgemeldet|abmeld|ausgetragen|austrag|abbestell"
            r"|gelosch|losch(ung|datum)|deaktiv|inaktiv|widerruf|widerspr|desabon|desinscri|\bsupprim|desactiv|\binactif"
            r"|desuscri|\bbaja\b|eliminad|borrad|desativ|inativ|descadastr|disiscri|cancellat|eliminat|disattiv"
            r"|inattiv|afgemeld|uitgeschreven|verwijderd|отпис|退订|退訂|退会|配信停止"
        ),
    ),
)
_DENIED: Final = re.compile(r"(not|never|no|non|nicht|nie|kein\w*|pas|sin|ne|niet) ")


def stem(text_key: str) -> SubscriberStatus | None:
    """The state that a part of this heading or word tells of: never ACTIVE; None when there is none."""
    return next((status for status, stems in _STEMS if stems.search(text_key)), None)


def state(word_key: str) -> SubscriberStatus | None:
    """What a word means in a column of states, None when it is not understood. "Not bounced" is not understood."""
    if (known := STATES.get(word_key)) is not None:
        return known
    if word_key in _KINDS:
        return _ACTIVE
    found = stem(word_key)
    return None if found is not _PENDING and _DENIED.match(word_key) else found


_MONTHS: Final = "jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_MOMENT: Final = re.compile(
    r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}|\d{1,2}[-/.]\s?\d{1,2}[-/.]\s?\d{2,4}|^\d{8}(T\d{4,6}Z?)?$|^\d{10}(\d{3})?(\.\d+)?$"
    rf"|\b({_MONTHS})[a-zé]*\.?,? .*\d|\d[. ]+({_MONTHS})",
    re.IGNORECASE,
)
_NO_MOMENT: Final = re.compile(r"0{4}-0\d-0\d|0001-01-01|1970-01-01[T ]00:00")  # MySQL's, .NET's and Unix's "never"


def is_moment(cell: str) -> bool:
    """Whether a cell holds a date or a time in some common notation."""
    return _MOMENT.search(cell) is not None and _NO_MOMENT.match(cell) is None


def is_yes(cell: str) -> bool:
    """Whether a cell says yes, in words, as a tick, or with the moment at which it became true."""
    return key(cell) in _YES or cell in _YES_SIGNS or is_moment(cell)


def is_no(cell: str) -> bool:
    """Whether a cell says no; an empty one does not."""
    return key(cell) in _NO or cell in _NO_SIGNS or _NO_MOMENT.match(cell) is not None
