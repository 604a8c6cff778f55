"""Rows about the sender: proof, login, address, reputation, relaying, content."""

from __future__ import annotations

from typing import Final

from newsletter.replies.patterns import SESSION, any_of
from newsletter.replies.values import Concern, Rule

SENDER: Final = (
    Rule(
        "this mailbox takes mail from some senders only",
        Concern.SENDER,
        False,
        "Exchange Online NDRs 5.7.12, 5.7.124, 5.7.133 to 5.7.136; QQ help 92; Zoho; RFC 3463 x.7.1, x.7.2",
        any_of(
            r"not authenticated (?:for|by) (?:the )?(?:group|mailbox|public folder|organi)|allowed-senders list",
            r"only accepts? (?:e?-?mail|messages) from|restricted to (?:members|authenticated)|"
            r"delivery not authori[sz]ed",
            r"permission to (?:send|post) to (?:this|the) (?:recipient|group|list|address)|"
            r"rejected by (?:the )?recipient",
            r"not authori[sz]ed to send to|resolver.rst|authrequired|blacklisted by recipient",
        ),
        loose=True,
    ),
    Rule(
        "the message does not prove its sender",
        Concern.SENDER,
        False,
        "RFC 7208, RFC 6376, RFC 7489; Gmail 5.7.25, 5.7.26; Exchange Online 5.7.23, 5.7.509, 5.7.515; Yahoo; "
        "Orange; QQ 72",
        any_of(
            r"\bspf\b|\bdkim\b|\bdmarc\b|sender policy framework|unauthenticated (?:e?mail|sender)",
            r"\bptr\b|\brdns\b|reverse[- ]?(?:dns|lookup|hostname|record|name|address)|\bhelo\b|\behlo\b|fcrdns",
            r"(?:does|do|did) not (?:pass|meet)[^.;]{0,40}authentication|ipv6 sending guidelines",
        ),
    ),
    Rule(
        "a login is needed",
        Concern.SENDER,
        True,
        "RFC 4954 sections 4 and 6 (530, 534, 535); Exchange Online 5.7.57, 5.7.139; Gmail 5.5.1, 5.7.8, 5.7.9; "
        "Zoho; Orange",
        any_of(
            r"(?:authentication|authentification|authenti[sz]ierung|auth|login|log-?in|anmeldung) (?:is )?"
            r"(?:required|requise|erforderlich|necess)",
            r"(?:must|please|need to|have to) (?:first )?(?:authenticate|log ?in|be authenticated|issue a starttls)",
            r"\blog ?in first|authenticate first|requires authentication|turn on smtp auth|not logged in",
            r"client was not authenticated|smtpclientauthentication|basic authentication is disabled",
            r"user ?name and password not accepted|application-specific password",
            r"authentication (?:unsuccessful|credentials invalid)|(?:incorrect|invalid|wrong|bad) (?:login|"
            r"credentials|"
            r"password|authentication|user ?name or password)|code d'authentification invalide",
        ),
        stages=SESSION,
    ),
    Rule(
        "not an address that this login may send from",
        Concern.SENDER,
        True,
        "Postfix reject_sender_login_mismatch (5.7.1); Exchange 5.7.60, SendAsDenied; Amazon SES 554; "
        "SendGrid 550; Zoho 553; "
        "Postmark; Mailgun; Orange 421",
        any_of(
            r"not owned by (?:auth )?user|sendasdenied|permissions? to send as|not allowed to send (?:as|from)",
            r"relay(?:ing)? (?:is )?disallowed as|e-?mail address is not verified|(?:does|do) not match (?:a |the )?"
            r"(?:verified|authenticated|logged)|sender identity|sender signature|unverified (?:sender|domain)",
            r"(?:sender|from|domain)[^.;]{0,40} (?:is |was )?not (?:a )?(?:verified|authori[sz]ed|registered|"
            r"activated)",
            r"(?:must|should) (?:match|be the same as) (?:the |your )?(?:authenticated|login|smtp)",
            r"from unregistered domains|absender-?adresse (?:ist )?(?:nicht|ung[üu]ltig)|does not belong to|"
            r"unauthori[sz]ed sender|"
            r"not authori[sz]ed to send (?:from|as)|from address[^.;]{0,30}not (?:allowed|permitted)|"
            r"sender is unvalidated",
            r"emetteur invalide|(?:domain of )?sender (?:address |domain )?(?:\S+ )?(?:does not exist|not found|"
            r"must exist|has no (?:a|mx|dns))|sender address rejected: (?:domain|user unknown|undeliverable|"
            r"unverified)",
        ),
        stages=SESSION,
    ),
    Rule(
        "blocked by reputation",
        Concern.SENDER,
        False,
        "Spamhaus, SORBS, Barracuda, Cloudmark, UCEPROTECT; Exchange S3150, 5.7.511, 5.7.606; Yahoo BL21; AOL RTR; "
        "Cisco; "
        "Mimecast; Proofpoint; Comcast; T-Online; GMX; zone-mta's collection",
        any_of(
            r"\b(?:black|block|deny)[- ]?(?:ed )?list|\bdnsbl|\brbl\b|\bxbl\b|\bsbl\b|spamhaus|spamcop|"
            r"barracuda(?:central|"
            r"network)|sorbs|uceprotect|abuseat|cloudmark|mail-abuse|sender ?(?:score|base)|spamrl|blocklisted",
            r"reputation|(?<!not )\blisted (?:at|in|on|by)\b|\bban(?:ned)? (?:send|ip|by)|access denied, (?:banned|"
            r"spam)",
            r"\b(?:ip|ip address|client host|client address|(?:your|sending) (?:server|host|network|mta)|"
            r"adresse ip|mta)\b"
            r"[^.;:]{0,60}\b(?:blocked|banned|rejected|refused|denied|not (?:allowed|accepted|welcome)|bloqu[ée]e?|"
            r"gesperrt|"
            r"bloquead[oa])\b|connections? (?:will )?(?:not (?:be )?accepted|denied|from \S+ (?:rejected|refused|"
            r"blocked))",
            r"\b(?:blocked|refused|rejected|denied)\b[^.;]{0,30}\b(?:your|sending|source|client) (?:ip|server|host|"
            r"network)",
            r"blocked (?:using|by)\b|deferred due to|permanently deferred|user complaints|complaint rate|black ip|"
            r"rbl deny",
            r"poor (?:sender|domain)|\bHL:(?:IPB|REP|MEP|IHU)|\bDT:(?:SPM|RBL)|\bWM:BL|not allowed to connect|"
            r"bad outbound sender|sending[^.;]{0,20}(?:suspended|disabled|"
            r"paused|blocked|restricted)|e?mail outgoing blocked|client host rejected",
        ),
        stages=SESSION,
    ),
    Rule(
        "relaying is denied",
        Concern.SENDER,
        False,
        "RFC 3463 x.7.1; Postfix, Sendmail, Exim, qmail rcpthosts, Exchange 5.7.54 and 5.7.64",
        any_of(
            r"relay(?:ing)?(?: access| to| from| mail| is| not)*[^.;]{0,40}(?:denied|disallowed|prohibited|"
            r"not permitted|"
            r"not allowed|not supported|refused|forbidden)",
            r"(?:unable|not (?:permitted|allowed|authori[sz]ed)|refuse|cannot|can't) to relay|rcpthosts",
            r"we do not relay|no relay|not (?:a |an )?open relay|relaying",
        ),
        stages=SESSION,
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
        any_of(
            r"sender (?:address )?(?:is |was |has been )?(?:rejected|denied|refused|blocked|invalid|unknown|"
            r"not allowed)",
            r"(?:invalid|unknown|bad|denies the|suspected spam) sender|mail ?from[^.;]{0,60}(?:rejected|refused|"
            r"denied|invalid"
            r"|not allowed)|envelope sender|(?:your|this) (?:account|domain)[^.;]{0,40}(?:suspended|blocked|"
            r"disabled|locked|restricted)[^.;]{0,20}(?:send|outgoing|spam)|absender",
        ),
        stages=SESSION,
    ),
    Rule(
        "content",
        Concern.MESSAGE,
        False,
        "RFC 3463 section 3.7",
        enhanced=("6.",),
    ),
    Rule(
        "it looks like spam",
        Concern.SENDER,
        False,
        "Gmail 5.7.1; Mail.ru; QQ 59 and 171; 163.com; GMX and web.de; iCloud; Yahoo 5.7.9; RFC 3463 x.7.1",
        any_of(
            r"spam|junk ?mail|unsolicited|\bbulk mail|phish|virus|malware|trojan|potential security issue",
            r"suspicious|content (?:rejected|denied|filter|policy|restriction)|mail content|message content|"
            r"prohibited",
            r"polic(?:y|ies)|security reasons|abuse|objectionable|垃圾|反垃圾|мал?спам|спам",
        ),
        loose=True,
    ),
)
