"""What a column is by its heading: the headings of known services as a table, and the words that headings are made of.

Sources of the rows: docs/importing.md has the address of every page and file that is named here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from newsletter.model import SubscriberStatus
from newsletter.subscriber_csv.words import key, stem

_PENDING: Final = SubscriberStatus.PENDING
_UNSUBSCRIBED: Final = SubscriberStatus.UNSUBSCRIBED
_SUPPRESSED: Final = SubscriberStatus.SUPPRESSED


class Role(StrEnum):
    """What a column is taken for; the values are the words of `--column`, and those of EXPORTED an export's header."""

    EMAIL = "email"
    STATUS = "status"
    REASON = "reason"
    CONSENT = "consent"
    DAYS = "days"
    PAUSED_UNTIL = "paused_until"
    CREATED_AT = "created_at"
    STATUS_AT = "status_at"
    CHOICE = "choice"
    IGNORE = "ignore"
    TOPICS = "topics"
    AUTHORS = "authors"
    ORGANISATIONS = "organisations"
    CATEGORIES = "categories"
    NEVER = "never"
    MORE = "more"
    LESS = "less"
    PAPERS = "papers"
    ONLY = "only"
    WEEKLY = "weekly"
    HOUR = "hour"
    ZONE = "zone"
    SAY_NOTHING = "say_nothing"


_ROLES: Final = tuple(Role)
EXPORTED: Final = _ROLES[: _ROLES.index(Role.IGNORE)]  # in the header of an export, in this order
# A choice each: a column has such a role if the operator says so, or by a heading such as choice_topics. The plain
# words may mean anything in the export of a service.
CHOSEN: Final = _ROLES[_ROLES.index(Role.TOPICS) :]


class Kind(Enum):
    """How the cells of a column of states are read."""

    WORDS = auto()  # a word for the state
    MARK = auto()  # a word for the state, and only where a reader left or is blocked
    ON = auto()  # yes: the reader gets mail; no, or nothing where others say yes: they do not
    OFF = auto()  # yes, or a time: the reader left or is blocked
    FILLED = auto()  # anything at all, such as a reason: the reader left or is blocked


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the cells of a column say. `off` is the state of a reader whom the column does not let have mail."""

    role: Role
    kind: Kind = Kind.WORDS
    off: SubscriberStatus = _UNSUBSCRIBED
    maybe: bool = False  # an ordinary column, unless its words are states


IGNORED: Final = Meaning(Role.IGNORE)
WORDS: Final = Meaning(Role.STATUS)
_CONSENT: Final = Meaning(Role.CONSENT)
_REASON: Final = Meaning(Role.REASON)


def _off(status: SubscriberStatus) -> Meaning:
    return Meaning(Role.STATUS, Kind.OFF, status)


def _on(off: SubscriberStatus) -> Meaning:
    return Meaning(Role.STATUS, Kind.ON, off)


def _filled(status: SubscriberStatus) -> Meaning:
    return Meaning(Role.STATUS, Kind.FILLED, status)


# Headings of services whose words alone would mislead, or say too little: (service and source, headings, meaning).
_SERVICES: Final[tuple[tuple[str, str, Meaning], ...]] = (
    ("Mailchimp, audience export (ginkgo.st; support.mailigen.com)", "OPTIN_TIME, CONFIRM_TIME", _CONSENT),
    ("Mailchimp", "OPTIN_IP, CONFIRM_IP", _CONSENT),
    ("Mailchimp", "UNSUB_TIME", _off(_UNSUBSCRIBED)),
    ("Mailchimp", "UNSUB_CAMPAIGN_TITLE, UNSUB_REASON, UNSUB_REASON_OTHER", _filled(_UNSUBSCRIBED)),
    ("Mailchimp", "CLEAN_TIME", _off(_SUPPRESSED)),
    ("Mailchimp", "CLEAN_CAMPAIGN_TITLE", _filled(_SUPPRESSED)),
    ("Mailchimp", "EMAIL_TYPE, MEMBER_RATING, GMTOFF, DSTOFF, LATITUDE, LONGITUDE, CC, REGION, LAST_CHANGED", IGNORED),
    ("Ghost (TryGhost/Ghost: members/exporter/query.js)", "subscribed_to_emails", _on(_UNSUBSCRIBED)),
    ("Ghost", "complimentary_plan, comped", IGNORED),
    ("Substack (TryGhost/migrate: mg-substack-members-csv)", "email_disabled", _off(_UNSUBSCRIBED)),
    ("Substack: paid or not; free readers get mail too", "active_subscription, prefer_digests, expiry", IGNORED),
    ("Buttondown (docs.buttondown.com/subscriber-dashboard)", "churn_date, upgrade_date", IGNORED),
    ("Buttondown", "undeliverability_date, Undeliverability date", _off(_SUPPRESSED)),
    ("Buttondown", "undeliverability_reason", _filled(_SUPPRESSED)),
    ("phpList (phpList/phplist3: admin/structure.php)", "Is this subscriber confirmed", _on(_PENDING)),
    ("phpList", "Did this subscriber manually confirm, optedin", _on(_PENDING)),
    ("phpList", "Is this subscriber blacklisted", _off(_SUPPRESSED)),
    ("phpList", "Is this account disabled?", _off(_UNSUBSCRIBED)),
    (
        "phpList",
        "Send this subscriber HTML emails, htmlemail, Number of bounces, bouncecount, List Membership",
        IGNORED,
    ),
    ("CleverReach: a time, or 0, as public clients of its API have it", "activated", _on(_PENDING)),
    ("HubSpot (knowledge.hubspot.com: export unsubscribes and bounces)", "Portal Bounce", _filled(_SUPPRESSED)),
    ("HubSpot", "Global Bounce", _filled(_SUPPRESSED)),
    ("MailUp (help.mailup.com: unsubscribed recipients)", "optout_type, optout_subtype, optout_nl", IGNORED),
    ("Constant Contact: express or implied, beside the status", "Email permission status", _CONSENT),
    ("Outlook, contacts", "E-mail Type, E-mail 2 Type, E-mail 3 Type, Private, Priority, Sensitivity", IGNORED),
    ("an export of this program (docs/importing.md)", "status", WORDS),
    ("this program", "reason", _REASON),
    ("this program", "days", Meaning(Role.DAYS)),
    ("this program", "paused_until", Meaning(Role.PAUSED_UNTIL)),
    ("this program; Ghost, listmonk, Substack write created_at too", "created_at", Meaning(Role.CREATED_AT)),
    ("this program", "status_at", Meaning(Role.STATUS_AT)),
    ("this program", "choice", Meaning(Role.CHOICE)),
)
_KNOWN: Final = {key(name): meaning for _, names, meaning in _SERVICES for name in names.split(",")} | {
    key(f"choice_{role}"): Meaning(role) for role in CHOSEN
}


def _words(text: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(key(word) for word in text.split(','))})\b")


# Parts of headings in several languages; each tells one thing about the column.
_CHANNEL: Final = _words("sms, whatsapp, push, phone, mobile, fax, telefon, telefono, telephone")  # other than mail
_REFERENCE: Final = _words(
    "url, link, token, hash, uuid, guid, id, ids, count, number, anzahl, score, rate, rating, page, html, format,"
    " language, lang, locale, sprache, langue, idioma, key, opens, opened, clicks, clicked, sends, sent, orders,"
    " visits, purchases, points, amount, total, revenue, age"
)
_NUMBERED: Final = re.compile(r"\d (type|label)$")  # Google Contacts: "E-mail 1 - Type" is home or work
_LAST: Final = _words("last, letzte, letzter, zuletzt, dernier, derniere, ultimo, ultima, laatste")
_TEXT: Final = _words(
    "name, names, vorname, nachname, nom, prenom, nombre, apellido, apellidos, nome, cognome, naam, firstname,"
    " lastname, fullname, tag, tags, label, labels, schlagworte, etiquetas, note, notes, notiz, notizen, notas,"
    " comment, comments, kommentar, commentaire, comentario, bemerkung, company, firma, organisation, organization,"
    " entreprise, empresa, title, titel, anrede, salutation, gender, city, ort, ville, ciudad, zip, plz, postal,"
    " postcode, country, land, pays, pais, street, strasse, birthday, geburtstag, interests, attributes, metadata,"
    " utm, referrer, tiers, plan, job, website, campaign"
)
_STATE: Final = _words(
    "status, state, type, typ, tipo, statut, etat, estado, stato, situacao, situacion, zustand, статус, 状态, 狀態,"
    " 状態, ステータス, 상태"
)
_PLACE: Final = _words(
    "city, ort, stadt, ville, ciudad, cidade, citta, zip, plz, postal, postcode, cp, country, land, pays, pais,"
    " street, strasse, address, adresse, direccion, province, region"
)
_WHEN: Final = _words(
    "at, on, am, time, date, datum, zeit, zeitpunkt, seit, since, le, fecha, data, timestamp, ts, tijd, op, el, when,"
    " datetime, heure, hora, ora, дата, 日期, 时间, 日時"
)
_WHERE: Final = _words("ip, source, quelle, herkunft, via, method, form, formular, origin, origen, fuente, from, by")
_ENTRY: Final = re.compile(  # how and when somebody came on the list
    r"\b(created|creation|creado|creacion|cree|criado|erstellt|angelegt|anlage|eintrag\w*|eingetragen|added|entered|registered"
    r"|registr\w+|joined|start|started|sign ?ups?|signed up|member since"
    r"|opt(ed)? ?in|inscription|inscripcion|adhesion|alta|beitritt"
    r"|subscri\w+|abonn\w+|anmeld\w*|suscri\w+|iscri\w+|inscri\w+|aanmeld\w*|подписк\w+)\b|注册|登録"
)
_CONFIRM: Final = re.compile(
    r"\b(confirm\w*|verif\w*|bestatig\w*|bevestig\w*|double ?opt ?in|doi|opt(ed)? ?in|valid\w*|activated)\b"
)
_GETS: Final = re.compile(
    r"\b(subscribed?|subscriptions?|active|aktiv|actif|activ[oa]|ativ[oa]|attiv[oa]|actief|enabled|freigegeben|habilitad[oa]|mailable"
    r"|deliverable|sendable|contactable|accepts?|acceptes?|acepta|zugestimmt|einwilligung|zustimmung|consent\w*|permission"
    r"|marketing|newsletter|mailing|abonn\w+|angemeldet|inscri[tp]\w*|suscri\w+|iscritt[oa]|ingeschreven|aangemeld"
    r"|gdpr|dsgvo|rgpd|подписан\w*)\b|订阅|購読"
)
_WHY: Final = _words(
    "reason, grund, raison, motivo, motivation, comment, campaign, title, type, typ, tipo, kind, detail, mode"
)


def meaning(heading: str, headings: tuple[str, ...]) -> Meaning | None:
    """What a column is by its heading, among all `headings` of the file; None when the heading tells nothing.

    A heading that tells of readers who left goes before all others.
    """
    words = key(heading)
    if words in _KNOWN:
        return _KNOWN[words]
    if _REFERENCE.search(words) or _NUMBERED.search(words) or (_CHANNEL.search(words) and "mail" not in words):
        return IGNORED
    if (off := stem(words)) is not None:
        return _filled(off) if _WHY.search(words) else _off(off)
    if _LAST.search(words) or _TEXT.search(words):
        return IGNORED
    if _STATE.search(words):
        place = words in ("state", "estado", "stato") and any(_PLACE.search(key(each)) for each in headings)
        return Meaning(Role.STATUS, maybe=place)
    return _agreement(words)


def _agreement(words: str) -> Meaning | None:
    """A heading that tells whether, when or how somebody agreed."""
    confirm, gets, entry = _CONFIRM.search(words), _GETS.search(words), _ENTRY.search(words)
    if words in ("consent", "source") or (_WHERE.search(words) and (confirm or gets or entry)):
        return _CONSENT
    if confirm and not (_WHEN.search(words) and confirm[0].startswith("opt")):
        return _on(_PENDING)  # also the time of it, which is empty where nobody confirmed
    if gets and not _WHEN.search(words):
        return _on(_UNSUBSCRIBED)
    return _CONSENT if gets or entry else None


# --- the column of the addresses --------------------------------------------------------------------------------------

# Headings of the address, the most certain first; `key` without spaces. "address" is often a street.
_ADDRESS: Final = tuple(
    frozenset(key(word).replace(" ", "") for word in words.split(","))
    for words in (
        (
            "email, e-mail, email address, e-mail address, mail, mail address, primary email, email primary,"
            " subscriber email, subscriber, E-Mail-Adresse, Mailadresse, E-Mail Adressen, courriel, adresse e-mail,"
            " adresse mail, adresse électronique, adresse de courriel, courrier électronique, correo, correo"
            " electrónico, dirección de correo, dirección de correo electrónico, dirección de e-mail, indirizzo"
            " e-mail, indirizzo email, indirizzo mail, posta elettronica, endereço de e-mail, endereço de email,"
            " correio eletrónico, correio eletrônico, e-mailadres, emailadres, mailadres, e-post, e-postadress,"
            " e-postadresse, sähköposti, sähköpostiosoite, adres e-mail, adres email, e-posta, e-posta adresi,"
            " e-mailová adresa, e-mail cím, адрес электронной почты, электронная почта, эл. почта, почта, e-mail"
            " адрес, електронна пошта, 电子邮件, 电子邮件地址, 邮箱, 邮箱地址, 电子邮箱, 邮件地址, 電子郵件,"
            " 電子郵件地址, 電子信箱, メール, メールアドレス, Eメール, Eメールアドレス, 電子メール, 이메일, 이메일"
            " 주소, 전자우편, بريد إلكتروني, البريد الإلكتروني, דואל, כתובת דואל, ηλεκτρονικό ταχυδρομείο, διεύθυνση"
            " email, ईमेल, อีเมล, địa chỉ email, thư điện tử"
        ),
        "e-mail 1, e-mail 1 - value, email 1, email1, contact email, user email, member email, main email",
        "address, adresse, adresa, user, login, username, contact, member, recipient, empfänger, destinataire",
    )
)
_MAIL: Final = re.compile(r"mail|courriel|correo|e ?posta?\b")


def address_rank(heading: str) -> int | None:
    """How surely this heading is the address's: 0 is surest, None not at all."""
    words = key(heading)
    for rank, names in enumerate(_ADDRESS):
        if words.replace(" ", "") in names:
            return rank
    return len(_ADDRESS) if _MAIL.search(words) and meaning(heading, ()) in (None, IGNORED) else None


def is_address_heading(cell: str) -> bool:
    """Whether this cell is a heading, and of the addresses: then its row is a header."""
    return address_rank(cell) in (0, 1)
