"""The first rows: what is easily mistaken, the limits of a sender, a full mailbox, a message that is too big."""

from __future__ import annotations

from typing import Final

from newsletter.replies.patterns import BOX, LIMIT, OF_A_RECIPIENT, PERIOD, SENDING, SESSION, any_of
from newsletter.replies.values import Concern, Rule, Stage

MISTAKEN: Final = (
    Rule(
        "too much mail for this reader",
        Concern.MOMENT,
        False,
        "Gmail SMTP errors and codes (450 4.2.1, 550 5.2.1); Exchange Online 4.3.2, 5.2.121, 5.2.122; QQ help 166",
        any_of(
            r"receiving (?:e?-?mails?|messages) (?:too quickly|at a rate)",
            r"receivingrate",
            r"recipient.{0,3} per[- ]hour message receive limit",
            r"recipient thread limit exceeded",
            r"mailbox unavailable or access den",
        ),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "greylisting",
        Concern.MOMENT,
        False,
        "RFC 6647 section 2; Postgrey, SQLgrey, rspamd, cPanel",
        any_of(r"gr[ea]y[- ]?list", r"postgrey", r"\bgreeted\b", r"intentional(?:ly)? (?:delay|defer)"),
    ),
    Rule(
        "larger than this mailbox takes",
        Concern.MESSAGE,
        False,
        "RFC 3463 section 3.3 (x.2.3); Exchange RESOLVER.RST.RecipSizeLimit",
        enhanced=("2.3",),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "the server's disk is full",
        Concern.SERVER,
        False,
        "RFC 5321 section 4.2.3 (452); RFC 3463 section 3.4 (x.3.1); Postfix, Gmail 452 4.3.1",
        any_of(r"insufficient system", r"no space left", r"system (?:storage|disk|is) (?:is )?full", r"out of memory"),
    ),
)

# A sender who is over quota comes before a mailbox that is full: "daily user sending quota exceeded" has a user and a
# quota in it as well. Where the two words do not stand together, nothing else in the reply may speak of a mailbox.
_NO_BOX: Final = rf"^(?!.{{0,600}}(?:{BOX}|storage|disk|\bsize\b|\bfull\b|too (?:large|big))).{{0,600}}?"

QUOTAS: Final = (
    Rule(
        "the sender's limit",
        Concern.SENDER,
        False,
        "Gmail 550 5.4.5; Exchange Online 5.1.90, 5.2.0, 5.7.232; cPanel; Amazon SES 454; SendGrid 451; Zoho; OVH",
        any_of(
            rf"\b{SENDING}(?: \w+){{0,2}} {LIMIT}\b|\b{LIMIT}(?: \w+){{0,3}} {SENDING}\b",
            rf"{_NO_BOX}(?:\b{SENDING}\b[^.;]{{0,50}}\b{LIMIT}|\b{LIMIT}\b[^.;]{{0,40}}\b{SENDING})\b",
            r"submissionquota|sendingquota|sendquota|senderquota",
            rf"\b(?:hourly|daily|weekly|monthly|journalier|quotidien|diari[oa]|"
            rf"t[äa]gliche?s?)\b[^.;]{{0,40}}\b{LIMIT}\b",
            rf"\b{LIMIT}\b[^.;]{{0,60}}(?:\b(?:per|this|last|in an?|in the (?:last|past)|pro|par|por|al)|"
            rf"/) ?(?:\d+ )?"
            rf"{PERIOD}",
            rf"(?:max(?:imum)?|limit of) (?:\w+ ){{0,3}}(?:e-?mails?|messages|recipients|defers|send)[^.;]{{0,40}}"
            rf"(?:per|/|in) ?{PERIOD}",
            rf"{_NO_BOX}\byou(?:'ve| have)? (?:already )?(?:reached|exceeded|used up|hit|surpassed)\b",
            rf"{_NO_BOX}\byour (?:\w+ ){{0,3}}(?:quota|limit|credits?)\b",
            r"you(?:'ve| have) sent (?:too|more)|tenant[^.;]{0,40}(?:exceed\w{0,12}|limit)|exceeded threshold",
            r"too many (?:\w+ ){0,3}(?:messages?|e?-?mails?|recipients)\b(?! (?:on|in) (?:the|this) (?:server|"
            r"mail))",
            rf"\b(?:per|an?|/) ?(?:\d+ )?{PERIOD}s?\b[^.;]{{0,30}}\b(?:limit|quota|exceed|reach|allowed|"
            rf"permitted|maximum)",
            rf"{PERIOD}(?:ly)? (?:limit|quota)|(?:per|/) ?(?:session|connection)[- ]limit|"
            r"\b(?:messages?|mails) (?:count |number )?(?:quota|limit)|recipient limit exceeded",
            r"\bMI:(?:SFQ|DMC|STC|QTA)|\bRP:(?:DRC|QTA)|\bHL:(?:IFC|ICC|IFQ)",
            r"credits? (?:is |are |has |have )?(?:been )?(?:exceeded|expired|exhausted|used)|insufficient credits?",
            r"maximum credits|out of credits|payment required|messaging limits?",
            r"(?:versand|sende)-?(?:limit|kontingent)|zu viele (?:e-?mails|nachrichten|empf[äa]nger)",
            r"trop de (?:messages?|mails?|courriels?|destinataires)|demasiados (?:mensajes|correos|destinatarios)",
            r"troppi (?:messaggi|destinatari)|te veel (?:berichten|e-mails)|verzendlimiet|limit wysy|"
            r"l[ií]mite? d['ei] ?(?:env[iío]+|invio)",
            r"发信[^,。;]{0,8}(?:频率|数|量|限|超)|发送[^,。;]{0,8}(?:频率|数|量|限|超)",
            r"发件人?[^,。;]{0,8}(?:频率|限制|超)",
            r"送信(?:数|制限|上限|量|可能)",
            r"лимит (?:отправ|исход|писем|сообщ)|превышен[^.;]{0,20}(?:количеств|лимит|числ)",
        ),
        stages=SESSION,
        limit=True,
    ),
    Rule(
        "the sender's rate",
        Concern.SENDER,
        False,
        "QQ help 172-175; Yahoo TSS04; Amazon SES Throttling; Exchange 4.7.650; Orange 104; Postfix anvil; "
        "policyd; postfwd",
        any_of(
            r"rate[- ]?(?:limit|exceed|control)|ratelimit|sending rate|(?:connection|message|mail) rate|"
            r"\brate of \d",
            r"throttl|frequency (?:limit|is)|slow(?:ing)? down|too (?:fast|frequent(?:ly)?)|\bflood",
            r"unusual (?:rate|sending|amount|traffic|volume|activity)|unexpected volume|high volume|"
            r"volume of (?:e?mail)",
            r"has exceeded permitted limits|too many (?:concurrent|connections?|sessions?|(?:failed )?log[- ]?ins?)",
            r"too many (?:log-?in |authentication |auth )?(?:attempts|requests|commands|errors|failures|"
            r"transactions)",
            r"too many (?:invalid|unknown|bad) (?:recipients|users)|too much mail from|too many copies",
            r"trop de connexions|zu viele verbindungen|频率|頻率|流量制限|ratenbegrenzung",
        ),
        stages=SESSION,
        limit=True,
    ),
    Rule(
        "a quota, before any recipient",
        Concern.SENDER,
        False,
        "RFC 5321 section 3.3: at MAIL the server knows no recipient",
        any_of(r"quota|over ?limit"),
        stages=frozenset({Stage.CONNECT, Stage.LOGIN, Stage.MAIL}),
        limit=True,
    ),
    Rule(
        "the mailbox is full",
        Concern.RECIPIENT,
        False,
        "RFC 5321 section 4.2.3 (552); RFC 3463 x.2.2; Gmail OverQuota; GMX; Yahoo; Postfix; Dovecot; Orange 417; "
        "Coremail",
        any_of(
            rf"{BOX}[^.;]{{0,60}}\b(?:full|over|exceed\w{{0,12}}|quota|pleine?|voll|lleno|llena|piena|cheia|"
            rf"[üu]berf[üu]llt)\b",
            rf"\b(?:full|over ?quota|quota exceeded|insufficient|out of|not enough)\b[^.;]{{0,30}}{BOX}",
            rf"{BOX}[^.;]{{0,40}}(?:size )?limit (?:is |has been )?(?:exceeded|exeeded|reached)",
            r"exceeded storage allocation|exceeds? (?:the |their |its )?storage",
            r"(?:out of|not enough|insufficient) (?:disk |storage |free )?(?:storage|space)|"
            r"space (?:has been )?used up",
            r"tried to reach is over|over ?quota(?:perm|temp)|over (?:the |its |their |disk |mail )*quota",
            r"(?:user|recipient|account|customer)[^.;]{0,40}\b(?:over|exceed\w{0,12}|reached) (?:\w+ ){0,2}quota",
            r"quota (?:usage |limit )?(?:is |has been |was )?(?:exceed|reached|full)|"
            r"exceed\w{0,12} (?:\w+ ){0,2}quota|"
            r"(?:user|recipient|account|customer) (?:\w+ )?is full|quota exceeded \(mailbox|quota violation|"
            r"overquota",
            r"recipient storage full|exhausted[^.;]{0,20}storage|speichervolumen|too many messages (?:on|"
            r"in) (?:the|this) (?:server|mail)",
            r"(?:speicherplatz|kontingent) (?:des empf[äa]ngers )?(?:ist )?(?:voll|ersch[öo]pft|[üu]berschritten)",
            r"quota (?:du destinataire|del destinatario|depass[ée]|superada|superata)",
            r"(?:邮箱|信箱|收件人|用戶|用户|郵箱|空间|空間|容量)[^,。;]{0,12}(?:满|滿|不足|超)",
            r"容量(?:を)?(?:超|オーバー)|メールボックス[^。]{0,20}(?:いっぱい|一杯|超)|переполнен|용량",
        ),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "too much mail data, before the message",
        Concern.RECIPIENT,
        False,
        "docomo 552: the mailbox is full; RFC 5321 section 4.5.3.1.9 means the message, which has not been sent yet",
        any_of(r"too much mail data"),
        stages=frozenset({Stage.RCPT, Stage.REPORT}),
    ),
    Rule(
        "the message is too big",
        Concern.MESSAGE,
        True,
        "RFC 1870 section 6; RFC 5321 section 4.5.3.1.9; Gmail 552 5.2.3; Exchange 5.3.4; QQ 168; Orange 514; Coremail",
        any_of(
            r"(?:message|mail|content|attachments?|letter)(?: \w+){0,2} too long|\btoo (?:large|big)\b|"
            r"too much mail data",
            r"size[^.;]{0,20}(?:limit|exceed|maximum)|exceed[^.;]{0,40}\bsize\b|larger than|taille (?:limite|"
            r"maximale)",
            r"zu gro(?:ss|ß)|trop (?:gros|volumineux|grand)|demasiado grande|邮件过大|信件过大|大きすぎ",
        ),
        stages=frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT}),
    ),
    Rule(
        "a limit of nobody named",
        Concern.SENDER,
        False,
        "RFC 3463 section 3.8: a limit that is neither the mailbox's nor the message's is policy",
        any_of(
            r"\blimits? (?:is |has been |was )?(?:exceeded|reached)|exceed\w{0,12} [^.;]{0,20}\blimits?\b|"
            r"too much mail\b"
        ),
        stages=SESSION,
        limit=True,
    ),
)
