"""The table of replies, in the order in which its rows are asked. Each row names its source.

Patterns have bounded gaps, so that a match takes linear time. `stages` keeps words about a recipient from answers to
commands that come before RCPT, when the server knows no recipient.
"""

from __future__ import annotations

import re
from typing import Final

from newsletter.replies.values import Concern, Rule, Stage


def _any(*phrases: str) -> re.Pattern[str]:
    """A pattern for any of the phrases, whatever their case."""
    return re.compile("|".join(phrases), re.IGNORECASE | re.DOTALL)


_OF_A_RECIPIENT: Final = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT})
_SESSION: Final = frozenset({Stage.CONNECT, Stage.LOGIN, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT})

# Parts of patterns. English first; then German, French, Spanish, Italian, Portuguese.
_LIMIT: Final = (
    r"(?:limits?|quotas?|rates?|allowances?|thresholds?|credits?|limite|l[ií]mite|kontingent|"
    r"exceed(?:ed|s|ing)?|too (?:many|much))"
)
_PERIOD: Final = r"(?:second|minute|hour|day|week|month|24 ?h|stunde|tag|heure|jour|hora|d[ií]a|ora|giorno)"
_SENDING: Final = (
    r"(?:send(?:ing|ers?)?|sent|relay(?:ing)?|submission\w*|submit\w*|outgoing|outbound|outmail|versand\w*|sende\w*|"
    r"d'envoi|env[ií]os?|invio|envio)"
)
_BOX: Final = (
    r"(?:mail ?box(?:es)?|in-?box|mail ?folder|mail ?dir|mail ?drop|post-?fach|bo[iî]te|buz[oó]n|casella|caixa)"
)
_OWNER: Final = r"(?:user|recipient|account|mail ?box|in-?box|customer|address|e-?mail|mail ?drop|rcpt|person|alias)"

# --- 1. what is easily mistaken --------------------------------------------------------------------------------------

_MISTAKEN: Final = (
    Rule(
        "too much mail for this reader",
        Concern.MOMENT,
        False,
        "Gmail SMTP errors and codes (450 4.2.1, 550 5.2.1); Exchange Online 4.3.2, 5.2.121, 5.2.122; QQ help 166",
        _any(
            r"receiving (?:e?-?mails?|messages) (?:too quickly|at a rate)",
            r"receivingrate",
            r"recipient.{0,3} per[- ]hour message receive limit",
            r"recipient thread limit exceeded",
            r"mailbox unavailable or access den",
        ),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "greylisting",
        Concern.MOMENT,
        False,
        "RFC 6647 section 2; Postgrey, SQLgrey, rspamd, cPanel",
        _any(r"gr[ea]y[- ]?list", r"postgrey", r"\bgreeted\b", r"intentional(?:ly)? (?:delay|defer)"),
    ),
    Rule(
        "larger than this mailbox takes",
        Concern.MESSAGE,
        False,
        "RFC 3463 section 3.3 (x.2.3); Exchange RESOLVER.RST.RecipSizeLimit",
        enhanced=("2.3",),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "the server's disk is full",
        Concern.SERVER,
        False,
        "RFC 5321 section 4.2.3 (452); RFC 3463 section 3.4 (x.3.1); Postfix, Gmail 452 4.3.1",
        _any(r"insufficient system", r"no space left", r"system (?:storage|disk|is) (?:is )?full", r"out of memory"),
    ),
)

# A sender who is over quota comes before a mailbox that is full: "daily user sending quota exceeded" has a user and a
# quota in it as well. Where the two words do not stand together, nothing else in the reply may speak of a mailbox.
_NO_BOX: Final = rf"^(?!.{{0,600}}(?:{_BOX}|storage|disk|\bsize\b|\bfull\b|too (?:large|big))).{{0,600}}?"

_QUOTAS: Final = (
    Rule(
        "the sender's limit",
        Concern.SENDER,
        False,
        "Gmail 550 5.4.5; Exchange Online 5.1.90, 5.2.0, 5.7.232; cPanel; Amazon SES 454; SendGrid 451; Zoho; OVH",
        _any(
            rf"\b{_SENDING}(?: \w+){{0,2}} {_LIMIT}\b|\b{_LIMIT}(?: \w+){{0,3}} {_SENDING}\b",
            rf"{_NO_BOX}(?:\b{_SENDING}\b[^.;]{{0,50}}\b{_LIMIT}|\b{_LIMIT}\b[^.;]{{0,40}}\b{_SENDING})\b",
            r"submissionquota|sendingquota|sendquota|senderquota",
            rf"\b(?:hourly|daily|weekly|monthly|journalier|quotidien|diari[oa]|t[äa]gliche?s?)\b[^.;]{{0,40}}\b{_LIMIT}\b",
            rf"\b{_LIMIT}\b[^.;]{{0,60}}(?:\b(?:per|this|last|in an?|in the (?:last|past)|pro|par|por|al)|/) ?(?:\d+ )?"
            rf"{_PERIOD}",
            rf"(?:max(?:imum)?|limit of) (?:\w+ ){{0,3}}(?:e-?mails?|messages|recipients|defers|send)[^.;]{{0,40}}"
            rf"(?:per|/|in) ?{_PERIOD}",
            rf"{_NO_BOX}\byou(?:'ve| have)? (?:already )?(?:reached|exceeded|used up|hit|surpassed)\b",
            rf"{_NO_BOX}\byour (?:\w+ ){{0,3}}(?:quota|limit|credits?)\b",
            r"you(?:'ve| have) sent (?:too|more)|tenant[^.;]{0,40}(?:exceed\w*|limit)|exceeded threshold",
            r"too many (?:\w+ ){0,3}(?:messages?|e?-?mails?|recipients)\b(?! (?:on|in) (?:the|this) (?:server|mail))",
            rf"{_PERIOD}(?:ly)? (?:limit|quota)|(?:per|/) ?(?:session|connection)[- ]limit|"
            r"\b(?:messages?|mails) (?:count |number )?(?:quota|limit)|recipient limit exceeded",
            r"\bMI:(?:SFQ|DMC|STC|QTA)|\bRP:(?:DRC|QTA)|\bHL:(?:IFC|ICC|IFQ)",
            r"credits? (?:is |are |has |have )?(?:been )?(?:exceeded|expired|exhausted|used)|insufficient credits?",
            r"maximum credits|out of credits|payment required|messaging limits?",
            r"(?:versand|sende)-?(?:limit|kontingent)|zu viele (?:e-?mails|nachrichten|empf[äa]nger)",
            r"trop de (?:messages?|mails?|courriels?|destinataires)|demasiados (?:mensajes|correos|destinatarios)",
            r"troppi (?:messaggi|destinatari)|te veel (?:berichten|e-mails)|l[ií]mite? d['ei] ?(?:env[iío]+|invio)",
            r"发信[^,。;]{0,8}(?:频率|数|量|限|超)|发送[^,。;]{0,8}(?:频率|数|量|限|超)|发件人?[^,。;]{0,8}(?:频率|限制|超)",
            r"送信(?:数|制限|上限|量|可能)|лимит (?:отправ|исход|писем|сообщ)|превышен[^.;]{0,20}(?:количеств|лимит|числ)",
        ),
        stages=_SESSION,
    ),
    Rule(
        "the sender's rate",
        Concern.SENDER,
        False,
        "QQ help 172-175; Yahoo TSS04; Amazon SES Throttling; Exchange 4.7.650; Orange 104; Postfix anvil; policyd; postfwd",
        _any(
            r"rate[- ]?(?:limit|exceed|control)|ratelimit|sending rate|(?:connection|message|mail) rate|\brate of \d",
            r"throttl|frequency (?:limit|is)|slow(?:ing)? down|too (?:fast|frequent(?:ly)?)|\bflood",
            r"unusual (?:rate|sending|amount|traffic|volume|activity)|unexpected volume|high volume|volume of (?:e?mail)",
            r"has exceeded permitted limits|too many (?:concurrent|connections?|sessions?|(?:failed )?log[- ]?ins?)",
            r"too many (?:log-?in |authentication |auth )?(?:attempts|requests|commands|errors|failures|transactions)",
            r"too many (?:invalid|unknown|bad) (?:recipients|users)|too much mail from|too many copies",
            r"trop de connexions|zu viele verbindungen|频率|頻率|流量制限|ratenbegrenzung",
        ),
        stages=_SESSION,
    ),
    Rule(
        "the mailbox is full",
        Concern.RECIPIENT,
        False,
        "RFC 5321 section 4.2.3 (552); RFC 3463 x.2.2; Gmail OverQuota; GMX; Yahoo; Postfix; Dovecot; Orange 417; Coremail",
        _any(
            rf"{_BOX}[^.;]{{0,60}}\b(?:full|over|exceed\w*|quota|pleine?|voll|lleno|llena|piena|cheia|[üu]berf[üu]llt)\b",
            rf"\b(?:full|over ?quota|quota exceeded|insufficient|out of|not enough)\b[^.;]{{0,30}}{_BOX}",
            rf"{_BOX}[^.;]{{0,40}}(?:size )?limit (?:is |has been )?(?:exceeded|exeeded|reached)",
            r"exceeded storage allocation|exceeds? (?:the |their |its )?storage",
            r"(?:out of|not enough|insufficient) (?:disk |storage |free )?(?:storage|space)|space (?:has been )?used up",
            r"tried to reach is over|over ?quota(?:perm|temp)|over (?:the |its |their |disk |mail )*quota",
            r"(?:user|recipient|account|customer)[^.;]{0,40}\b(?:over|exceed\w*|reached) (?:\w+ ){0,2}quota",
            r"(?:disk|storage|mail) ?quota (?:usage )?exceed|quota exceeded \(mailbox|quota violation|overquota",
            r"recipient storage full|exhausted[^.;]{0,20}storage|speichervolumen|too many messages (?:on|in) (?:the|this) (?:server|mail)",
            r"(?:speicherplatz|kontingent) (?:des empf[äa]ngers )?(?:ist )?(?:voll|ersch[öo]pft|[üu]berschritten)",
            r"quota (?:du destinataire|del destinatario|depass[ée]|superada|superata)",
            r"(?:邮箱|信箱|收件人|用戶|用户|郵箱|空间|空間|容量)[^,。;]{0,12}(?:满|滿|不足|超)",
            r"容量(?:を)?(?:超|オーバー)|メールボックス[^。]{0,20}(?:いっぱい|一杯|超)|переполнен|용량",
        ),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "too much mail data, before the message",
        Concern.RECIPIENT,
        False,
        "docomo 552: the mailbox is full; RFC 5321 section 4.5.3.1.9 means the message, which has not been sent yet",
        _any(r"too much mail data"),
        stages=frozenset({Stage.RCPT, Stage.REPORT}),
    ),
    Rule(
        "the message is too big",
        Concern.MESSAGE,
        True,
        "RFC 1870 section 6; RFC 5321 section 4.5.3.1.9; Gmail 552 5.2.3; Exchange 5.3.4; QQ 168; Orange 514; Coremail",
        _any(
            r"(?:message|mail|content|attachments?|letter)(?: \w+){0,2} too long|\btoo (?:large|big)\b|too much mail data",
            r"size[^.;]{0,20}(?:limit|exceed|maximum)|exceed[^.;]{0,40}\bsize\b|larger than|taille (?:limite|maximale)",
            r"zu gro(?:ss|ß)|trop (?:gros|volumineux|grand)|demasiado grande|邮件过大|信件过大|大きすぎ",
        ),
        stages=frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.REPORT}),
    ),
)

# --- 2. the sender ---------------------------------------------------------------------------------------------------

_SENDER: Final = (
    Rule(
        "this mailbox takes mail from some senders only",
        Concern.SENDER,
        False,
        "Exchange Online NDRs 5.7.12, 5.7.124, 5.7.133 to 5.7.136; QQ help 92; Zoho; RFC 3463 x.7.1, x.7.2",
        _any(
            r"not authenticated (?:for|by) (?:the )?(?:group|mailbox|public folder|organi)|allowed-senders list",
            r"only accepts? (?:e?-?mail|messages) from|restricted to (?:members|authenticated)|delivery not authori[sz]ed",
            r"permission to (?:send|post) to (?:this|the) (?:recipient|group|list|address)|rejected by (?:the )?recipient",
            r"not authori[sz]ed to send to|resolver.rst|authrequired|blacklisted by recipient",
        ),
        loose=True,
    ),
    Rule(
        "the message does not prove its sender",
        Concern.SENDER,
        False,
        "RFC 7208, RFC 6376, RFC 7489; Gmail 5.7.25, 5.7.26; Exchange Online 5.7.23, 5.7.509, 5.7.515; Yahoo; Orange; QQ 72",
        _any(
            r"\bspf\b|\bdkim\b|\bdmarc\b|sender policy framework|unauthenticated (?:e?mail|sender)",
            r"\bptr\b|\brdns\b|reverse[- ]?(?:dns|lookup|hostname|record|name|address)|\bhelo\b|\behlo\b|fcrdns",
            r"(?:does|do|did) not (?:pass|meet)[^.;]{0,40}authentication|ipv6 sending guidelines",
        ),
    ),
    Rule(
        "a login is needed",
        Concern.SENDER,
        True,
        "RFC 4954 sections 4 and 6 (530, 534, 535); Exchange Online 5.7.57, 5.7.139; Gmail 5.5.1, 5.7.8, 5.7.9; Zoho; Orange",
        _any(
            r"(?:authentication|authentification|authenti[sz]ierung|auth|login|log-?in|anmeldung) (?:is )?"
            r"(?:required|requise|erforderlich|necess)",
            r"(?:must|please|need to|have to) (?:first )?(?:authenticate|log ?in|be authenticated|issue a starttls)",
            r"\blog ?in first|authenticate first|requires authentication|turn on smtp auth|not logged in",
            r"client was not authenticated|smtpclientauthentication|basic authentication is disabled",
            r"user ?name and password not accepted|application-specific password",
            r"authentication (?:unsuccessful|credentials invalid)|(?:incorrect|invalid|wrong|bad) (?:login|credentials|"
            r"password|authentication|user ?name or password)|code d'authentification invalide",
        ),
        stages=_SESSION,
    ),
    Rule(
        "not an address that this login may send from",
        Concern.SENDER,
        True,
        "Postfix reject_sender_login_mismatch (5.7.1); Exchange 5.7.60, SendAsDenied; Amazon SES 554; SendGrid 550; Zoho 553; "
        "Postmark; Mailgun; Orange 421",
        _any(
            r"not owned by (?:auth )?user|sendasdenied|permissions? to send as|not allowed to send (?:as|from)",
            r"relay(?:ing)? (?:is )?disallowed as|e-?mail address is not verified|(?:does|do) not match (?:a |the )?"
            r"(?:verified|authenticated|logged)|sender identity|sender signature|unverified (?:sender|domain)",
            r"(?:sender|from|domain)[^.;]{0,40} (?:is |was )?not (?:a )?(?:verified|authori[sz]ed|registered|activated)",
            r"(?:must|should) (?:match|be the same as) (?:the |your )?(?:authenticated|login|smtp)",
            r"from unregistered domains|absenderadresse (?:ist )?(?:nicht|ung[üu]ltig)|sender is unvalidated",
            r"emetteur invalide|(?:domain of )?sender (?:address |domain )?(?:\S+ )?(?:does not exist|not found|"
            r"must exist|has no (?:a|mx|dns))|sender address rejected: (?:domain|user unknown|undeliverable|unverified)",
        ),
        stages=_SESSION,
    ),
    Rule(
        "blocked by reputation",
        Concern.SENDER,
        False,
        "Spamhaus, SORBS, Barracuda, Cloudmark, UCEPROTECT; Exchange S3150, 5.7.511, 5.7.606; Yahoo BL21; AOL RTR; Cisco; "
        "Mimecast; Proofpoint; Comcast; T-Online; GMX; zone-mta's collection",
        _any(
            r"\b(?:black|block|deny)[- ]?(?:ed )?list|\bdnsbl|\brbl\b|\bxbl\b|\bsbl\b|spamhaus|spamcop|barracuda(?:central|"
            r"network)|sorbs|uceprotect|abuseat|cloudmark|mail-abuse|sender ?(?:score|base)|spamrl|blocklisted",
            r"reputation|(?<!not )(?<!not )\blisted (?:at|in|on|by)\b|\bban(?:ned)? (?:send|ip|by)|access denied, (?:banned|spam)",
            r"\b(?:ip|ip address|client host|client address|(?:your|sending) (?:server|host|network|mta)|adresse ip|mta)\b"
            r"[^.;:]{0,60}\b(?:blocked|banned|rejected|refused|denied|not (?:allowed|accepted|welcome)|bloqu[ée]e?|gesperrt|"
            r"bloquead[oa])\b|connections? (?:will )?(?:not (?:be )?accepted|denied|from \S+ (?:rejected|refused|blocked))",
            r"\b(?:blocked|refused|rejected|denied)\b[^.;]{0,30}\b(?:your|sending|source|client) (?:ip|server|host|network)",
            r"blocked (?:using|by)\b|deferred due to|permanently deferred|user complaints|complaint rate|black ip|rbl deny",
            r"poor (?:sender|domain)|\bHL:(?:IPB|REP|MEP|IHU)|\bDT:(?:SPM|RBL)|\bWM:BL|not allowed to connect|bad outbound sender|sending[^.;]{0,20}(?:suspended|disabled|"
            r"paused|blocked|restricted)|e?mail outgoing blocked|client host rejected",
        ),
        stages=_SESSION,
    ),
    Rule(
        "relaying is denied",
        Concern.SENDER,
        False,
        "RFC 3463 x.7.1; Postfix, Sendmail, Exim, qmail rcpthosts, Exchange 5.7.54 and 5.7.64",
        _any(
            r"relay(?:ing)?(?: access| to| from| mail| is| not)*[^.;]{0,40}(?:denied|disallowed|prohibited|not permitted|"
            r"not allowed|not supported|refused|forbidden)",
            r"(?:unable|not (?:permitted|allowed|authori[sz]ed)|refuse|cannot|can't) to relay|rcpthosts",
            r"we do not relay|no relay|not (?:a |an )?open relay|relaying",
        ),
        stages=_SESSION,
    ),
    Rule(
        "sender's address",
        Concern.SENDER,
        True,
        "RFC 3463 section 3.2 (x.1.7, x.1.8); RFC 7372 (x.7.27); Exchange 5.7.60, SendAsDenied 5.2.252",
        enhanced=("1.7", "1.8", "7.27", "7.60", "2.252"),
    ),
    Rule(
        "the sender is refused",
        Concern.SENDER,
        False,
        "Cox 5.1.0; Postfix access maps; Exchange SenderDenied; Zoho 5.1.8; 163.com; Sina; Exim",
        _any(
            r"sender (?:address )?(?:is |was |has been )?(?:rejected|denied|refused|blocked|invalid|unknown|not allowed)",
            r"(?:invalid|unknown|bad|denies the|suspected spam) sender|mail ?from[^.;]{0,60}(?:rejected|refused|denied|invalid"
            r"|not allowed)|envelope sender|(?:your|this) (?:account|domain)[^.;]{0,40}(?:suspended|blocked|"
            r"disabled|locked|restricted)[^.;]{0,20}(?:send|outgoing|spam)|absender",
        ),
        stages=_SESSION,
    ),
    Rule(
        "it looks like spam",
        Concern.SENDER,
        False,
        "Gmail 5.7.1; Mail.ru; QQ 59 and 171; 163.com; GMX and web.de; iCloud; Yahoo 5.7.9; RFC 3463 x.7.1",
        _any(
            r"spam|junk ?mail|unsolicited|\bbulk mail|phish|virus|malware|trojan|potential security issue",
            r"suspicious|content (?:rejected|denied|filter|policy|restriction)|mail content|message content|prohibited",
            r"polic(?:y|ies)|security reasons|abuse|objectionable|垃圾|反垃圾|мал?спам|спам",
        ),
        loose=True,
    ),
)

# --- words of delivery reports ---------------------------------------------------------------------------------------

# A report is a relay's last word after days of trying, so trouble at the reader's end is of the moment there.

_REPORTS: Final = (
    Rule(
        "trouble at the reader's end",
        Concern.MOMENT,
        False,
        "Sisimai's set-of-emails (554 Service currently unavailable); Exim; Sendmail",
        _any(
            r"service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)|(?:host|server) (?:is )?(?:down|"
            r"unreachable|not responding)|maximum-time-expired|given up after|retry timeout exceeded"
        ),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "on a suppression list",
        Concern.RECIPIENT,
        False,
        "Amazon SES developer guide, suppression lists: another sender's bounce may be the cause, and it can be cleared",
        _any(r"suppressed sending|suppression list|recipient is suppressed"),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "the reader is gone",
        Concern.RECIPIENT,
        True,
        "postalserver/postal#253 (Yahoo); reports about people who left their employer",
        _any(
            r"does(?:n't| not) have an? \S{1,60} account",
            r"no longer (?:works (?:at|for)|employed)|has left (?:the|our) (?:company|organi[sz]ation|university)",
        ),
        stages=frozenset({Stage.REPORT}),
    ),
    Rule(
        "the reader is gone",
        Concern.RECIPIENT,
        True,
        "the same words, which say little without a code of addresses (RFC 3463 section 3.2)",
        _any(r"ADDRESS\W{0,3} (?:is gone|has left|has moved)"),
        enhanced=("1.",),
        stages=frozenset({Stage.REPORT}),
    ),
)

# --- 3. the message, the network, the server -------------------------------------------------------------------------

_OTHERS: Final = (
    Rule(
        "the message is not well formed",
        Concern.MESSAGE,
        False,
        "RFC 5322; Gmail 5.7.1 and 5.6.0; Exchange 5.6.11; RFC 3463 section 3.7",
        _any(
            r"bare (?:lf|cr|line ?feed)|rfc ?5322|rfc ?2822|malformed|line (?:is )?too long|header|message-id|duplicate"
        ),
        loose=True,
    ),
    Rule(
        "no such domain",
        Concern.RECIPIENT,
        True,
        "RFC 3463 section 3.2 (x.1.2); RFC 7505 (null MX); Postfix 5.4.4; Exchange 5.4.310; Forward Email",
        _any(
            r"nxdomain|null ?mx|domain[^.;]{0,80}does(?: not|n't) exist|no such domain|(?:unknown|non-?existent) domain",
            r"host or domain name not found\. name service error for name=\S+ type=\S+: host not found(?!, try again)",
            r"(?:recipient|destination)[^.;]{0,30}domain[^.;]{0,30}not (?:found|exist)|domain does not accept mail",
        ),
        stages=frozenset({Stage.RCPT, Stage.REPORT}),
    ),
    Rule(
        "the mailbox is closed for now",
        Concern.RECIPIENT,
        False,
        "RFC 3463 x.2.1; Gmail 450 4.2.1; Yahoo; Orange 420 and 426; 163.com; vpopmail",
        _any(
            rf"{_OWNER}[^.;]{{0,40}}\btemporar(?:y|il?y)\b|temporar(?:y|il?y) (?:\w+ )?{_OWNER}",
            rf"{_OWNER}[^.;]{{0,40}}\b(?:suspend(?:ed)?|locked|blocked|isblocked|frozen|archived|busy|in use)\b",
            r"destinataire (?:est )?(?:bloqu|archiv)|用户被锁|暂停",
        ),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "the network, or too late",
        Concern.MOMENT,
        False,
        "RFC 3463 section 3.5 (x.4.x); RFC 5321 section 4.5.4.1; Postfix, Exim, OpenSMTPD, Exchange 4.4.7",
        _any(
            r"timed? ?-?out|connection (?:refused|reset|lost|dropped|closed|failed)|no route|unreachable|lost connection",
            r"(?:could|can) ?n[o']t connect|cannot connect|unable to connect|failed to connect|no answer from",
            r"(?:name ?server|dns|mx)\b[^.;]{0,30}(?:error|fail|lookup|problem|server)|name service error|host not found",
            r"(?:envelope|message|delivery|queue|retry)[^.;]{0,25}expired|too old|retry time|delivery time",
            r"(?:mail|routing|forwarding)?[- ]?loop\b|too many hops|maximum hop|delayed|still (?:trying|being)|not yet been",
            r"unable to deliver this message after|too long in (?:the )?queue|unrouteable|no hosts? found|期限切れ|超时",
        ),
    ),
    Rule(
        "the server has trouble",
        Concern.SERVER,
        False,
        "RFC 5321 section 4.2.3 (421, 451); RFC 3463 section 3.4; Gmail 451 4.3.0; Yandex 451 4.7.1; Exchange 4.3.2; Orange",
        _any(
            r"service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)|service refus",
            r"system not accepting|local (?:error|problem)|internal (?:server |system )?error|(?:server|system) (?:is )?"
            r"(?:too )?(?:busy|error|problem|configuration|overload|down)|queue file write|resources? (?:temporarily|"
            r"unavailable)|overload|maintenance|blame it on the weather|database|configuration error",
            r"temporar(?:y|ily) (?:\w+ )?(?:error|problem|failure|unavailable|unable|reject|defer|lookup)",
            r"try (?:again|it again|sending)[^.;]{0,20}(?:later|soon|in \d)|(?:re)?try later|essayer plus tard|wieder versuchen",
            r"temporairement|vor[üu]bergehend|temporalmente|稍后|しばらく",
        ),
    ),
)

# --- 4. the recipient ------------------------------------------------------------------------------------------------

_UNKNOWN: Final = (
    r"(?:unknown|unrecogni[sz]ed|not (?:known|found|recogni[sz]ed|listed|exist)|no longer (?:exists?|valid|here))"
)

_RECIPIENT: Final = (
    Rule(
        "no such address",
        Concern.RECIPIENT,
        True,
        "RFC 3463 x.1.1; RFC 5321 section 4.2.3 (550); Gmail NoSuchUser; Postfix, Exim, Sendmail, qmail, Courier, Domino, "
        "Exchange; GMX; Yahoo; Orange 416; QQ 169; Coremail; Sisimai's and flufl's collections",
        _any(
            rf"{_OWNER}\b[^.;]{{0,60}}\b{_UNKNOWN}\b|\b(?:unknown|no such|non-?existent) (?:local )?[- \w]{{0,12}}"
            rf"(?:{_OWNER}|part|id\b|mail)",
            rf"{_OWNER}\b[^.;]{{0,80}}\b(?:does(?: not|n't)|do not|did not|don't) (?:currently )?exists?\b",
            rf"\b(?:invalid|bad|illegal|wrong|undeliverable) (?:or unknown )?(?:destination )?(?:virtual )?{_OWNER}(?! syntax)",
            rf"\b{_OWNER} (?:is )?(?:invalid|wrong|unlisted|nonexistent)|not a (?:known|valid|local) {_OWNER}|"
            rf"is not (?:a |an )(?:valid|active) {_OWNER}",
            rf"\bno (?:valid )?(?:{_OWNER}|one|account|person)s? (?:here|by that name|with that|at this|available|found|bye)",
            r"no mailbox|no mail[- ]?box here|not our customer|unknown or illegal|does(?:n't| not) have an? [^.;]{0,30}"
            r"(?:account|mailbox)|not have an account|unknown to (?:this|us)|badrcptto|sorry, user unknown",
            r"nosuchuser|recip(?:ient)?notfound|nosuchrecipient|rcpt unknown|addressee unknown|not listed in",
            r"don't exists? that user|does not exist (?:here|on this)|couldn't find (?:the )?(?:recipient|user)|cannot be found",
            r"(?:empf[äa]nger|benutzer|postfach|nutzer|adresse)[^.;]{0,40}(?:unbekannt|existiert nicht|nicht (?:gefunden|"
            r"bekannt|vorhanden))|unbekannte[rs]? (?:empf[äa]nger|benutzer|adresse)",
            r"(?:utilisateur|destinataire|adresse|bo[iî]te|compte)[^.;]{0,40}(?:inconnue?|invalide|n'existe pas|"
            r"inexistante?|introuvable)",
            r"(?:usuario|destinatario|direcci[oó]n|buz[oó]n|cuenta|casilla)[^.;]{0,40}(?:desconocid[oa]|no existe|inexistente"
            r"|inv[aá]lid[oa]|no encontrad[oa])|no existe (?:dicha|ese|el|la) ",
            r"(?:utente|destinatario|indirizzo|casella)[^.;]{0,40}(?:sconosciut[oa]|inesistente|non (?:esiste|trovat))",
            r"(?:usu[aá]rio|destinat[aá]rio|endere[cç]o|caixa|conta)[^.;]{0,40}(?:desconhecid|n[aã]o existe|inexistente)",
            r"nie ma takiego|nie istnieje|bestaat niet|onbekende? (?:gebruiker|ontvanger)|не существует|не найден|"
            r"нет такого|неизвестный (?:получатель|адрес)",
            r"(?:用户|用戶|收件人|邮箱|郵箱|帐号|账号|地址)[^,。;]{0,8}(?:不存在|未开通|无效|錯誤)|无此用户|没有此用户|查无此",
            r"存在しません|存在しない|見つかりません|宛先(?:が)?不明|ユーザー?(?:が|は)?不明|존재하지 않|없는 사용자",
        ),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "the mailbox is closed",
        Concern.RECIPIENT,
        True,
        "RFC 3463 x.2.1; Gmail DisabledUser; Yahoo 554.30; QQ; Hot.ee; Comcast; Zoho",
        _any(
            rf"{_OWNER}\b[^.;]{{0,60}}\b(?:disabled|inactive|inactivated|deactivated|closed|deleted|terminated|discontinued|"
            r"not active|not activated|no longer (?:active|available|in use|accepts?|on server|with us)|expired)\b",
            rf"\b(?:disabled|inactive|deactivated|closed|expired|deleted) {_OWNER}|disableduser|accountdisabled",
            r"deaktiviert|d[ée]sactiv[ée]e?|desactivad[oa]|停用|已注销|禁用|отключен|заблокирован",
        ),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "mailbox unavailable",
        Concern.RECIPIENT,
        True,
        "Outlook.com 550 5.5.0; IONOS and Strato 550; RFC 5321 section 4.2.3 allows other causes: see the next row",
        _any(r"mail ?box (?:is |currently )?(?:unavailable|not available)"),
        enhanced=("5.0", "1.1", "2.1"),
        stages=_OF_A_RECIPIENT,
    ),
    Rule(
        "mailbox unavailable at RCPT",
        Concern.RECIPIENT,
        True,
        "RFC 5321 section 4.2.3 (550), in answer to RCPT",
        _any(r"mail ?box (?:is |currently )?(?:unavailable|not available)"),
        codes=("550",),
        stages=frozenset({Stage.RCPT}),
    ),
)

# --- 5. enhanced status codes ----------------------------------------------------------------------------------------

_RFC: Final = "RFC 3463 section 3, RFC 5248 and the IANA registry of enhanced status codes"

_ENHANCED: Final = (
    Rule("5.1.90", Concern.SENDER, False, "Exchange Online NDRs: daily limit for recipients", enhanced=("1.90",)),
    Rule("no such address", Concern.RECIPIENT, True, _RFC, enhanced=("1.1", "1.2", "1.3", "1.6", "1.10", "2.1")),
    Rule("address, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("1.",)),
    Rule("mailbox", Concern.RECIPIENT, False, _RFC, enhanced=("2.2", "2.4")),
    Rule("mailbox, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("2.",)),
    Rule("message too big for the server", Concern.MESSAGE, True, _RFC, enhanced=("3.4",)),
    Rule("mail system", Concern.SERVER, False, _RFC, enhanced=("3.1", "3.2", "3.5")),
    Rule("mail system, for now", Concern.SERVER, False, _RFC, codes=("4",), enhanced=("3.",)),
    Rule("mail system, otherwise", Concern.UNKNOWN, False, _RFC, enhanced=("3.",)),
    Rule("5.4.5", Concern.SENDER, False, "Gmail 550 5.4.5; RFC 3463 section 3.5: congestion", enhanced=("4.5",)),
    Rule("network", Concern.MOMENT, False, _RFC, enhanced=("4.",)),
    Rule("too many recipients", Concern.SENDER, False, _RFC, enhanced=("5.3",)),
    Rule("content", Concern.MESSAGE, False, _RFC, enhanced=("6.",)),
    Rule(
        "login", Concern.SENDER, True, "RFC 4954 section 6, RFC 5248", enhanced=("7.8", "7.9", "7.11", "7.13", "7.57")
    ),
    Rule(
        "login needed", Concern.SENDER, True, "RFC 4954 section 6: 530 5.7.0", codes=("530", "535"), enhanced=("7.0",)
    ),
    Rule("policy at MAIL", Concern.SENDER, True, _RFC, codes=("5",), enhanced=("7.",), stages=frozenset({Stage.MAIL})),
    Rule("policy", Concern.SENDER, False, _RFC, enhanced=("7.",)),
)

# --- 6. reply codes alone --------------------------------------------------------------------------------------------

_CODES: Final = (
    Rule("login", Concern.SENDER, True, "RFC 4954 section 6", codes=("523", "524", "525", "530", "534", "535", "538")),
    Rule("SIZE", Concern.MESSAGE, True, "RFC 1870 section 6", codes=("552",), stages=frozenset({Stage.MAIL})),
    Rule(
        "552 about a mailbox",
        Concern.RECIPIENT,
        False,
        "RFC 5321 section 4.2.3: exceeded storage allocation",
        codes=("552",),
        stages=_OF_A_RECIPIENT,
    ),
    Rule("421", Concern.SERVER, False, "RFC 5321 section 3.8", codes=("421",)),
    Rule("451 or 452", Concern.SERVER, False, "RFC 5321 section 4.2.3", codes=("451", "452")),
    Rule("refused login", Concern.SENDER, True, "RFC 4954 section 4", codes=("5",), stages=frozenset({Stage.LOGIN})),
    Rule("refused sender", Concern.SENDER, True, "RFC 5321 section 3.3", codes=("5",), stages=frozenset({Stage.MAIL})),
    Rule("refused connection", Concern.SERVER, False, "RFC 5321 section 3.1", stages=frozenset({Stage.CONNECT})),
)

RULES: Final = (*_MISTAKEN, *_QUOTAS, *_SENDER, *_REPORTS, *_OTHERS, *_RECIPIENT, *_ENHANCED, *_CODES)
