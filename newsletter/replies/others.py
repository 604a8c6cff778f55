"""Rows about the message, the network, the server and the recipient."""

from __future__ import annotations

from typing import Final

from newsletter.replies.patterns import OF_A_RECIPIENT, OWNER, any_of
from newsletter.replies.values import Concern, Rule, Stage

OTHERS: Final = (
    Rule(
        "the message is not well formed",
        Concern.MESSAGE,
        False,
        "RFC 5322; Gmail 5.7.1 and 5.6.0; Exchange 5.6.11; RFC 3463 section 3.7",
        any_of(
            r"bare (?:lf|cr|line ?feed)|rfc ?5322|rfc ?2822|malformed|line (?:is )?too long|header|message-id|"
            r"duplicate"
        ),
        loose=True,
    ),
    Rule(
        "no such domain",
        Concern.RECIPIENT,
        True,
        "RFC 3463 section 3.2 (x.1.2); RFC 7505 (null MX); Postfix 5.4.4; Exchange 5.4.310; Forward Email",
        any_of(
            r"nxdomain|null ?mx|domain[^.;]{0,80}does(?: not|n't) exist|no such domain|(?:unknown|"
            r"non-?existent) domain",
            r"host or domain name not found\. name service error for name=\S+ type=\S+: "
            r"host not found(?!, try again)",
            r"(?:recipient|destination)[^.;]{0,30}domain[^.;]{0,30}not (?:found|exist)|domain does not accept mail",
        ),
        stages=frozenset({Stage.RCPT, Stage.REPORT}),
    ),
    Rule(
        "the mailbox is closed for now",
        Concern.RECIPIENT,
        False,
        "RFC 3463 x.2.1; Gmail 450 4.2.1; Yahoo; Orange 420 and 426; 163.com; vpopmail",
        any_of(
            rf"{OWNER}[^.;]{{0,40}}\btemporar(?:y|il?y)\b|temporar(?:y|il?y) (?:\w+ )?{OWNER}",
            rf"{OWNER}[^.;]{{0,40}}\b(?:suspend(?:ed)?|locked|blocked|isblocked|frozen|archived|busy|in use)\b",
            r"destinataire (?:est )?(?:bloqu|archiv)|用户被锁|暂停",
        ),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "the network, or too late",
        Concern.MOMENT,
        False,
        "RFC 3463 section 3.5 (x.4.x); RFC 5321 section 4.5.4.1; Postfix, Exim, OpenSMTPD, Exchange 4.4.7",
        any_of(
            r"timed? ?-?out|connection (?:refused|reset|lost|dropped|closed|failed)|no route|unreachable|"
            r"lost connection",
            r"(?:could|can) ?n[o']t connect|cannot connect|unable to connect|failed to connect|no answer from",
            r"(?:name ?server|dns|mx)\b[^.;]{0,30}(?:error|fail|lookup|problem|server)|name service error|"
            r"host not found",
            r"(?:envelope|message|delivery|queue|retry)[^.;]{0,25}expired|too old|retry time|delivery time",
            r"(?:mail|routing|forwarding)?[- ]?loop\b|too many hops|maximum hop|delayed|still (?:trying|being)|"
            r"not yet been",
            r"unable to deliver this message after|too long in (?:the )?queue|unrouteable|no hosts? found",
            r"期限切れ|超时",
        ),
    ),
    Rule(
        "the server has trouble",
        Concern.SERVER,
        False,
        "RFC 5321 section 4.2.3 (421, 451); RFC 3463 section 3.4; Gmail 451 4.3.0; Yandex 451 4.7.1; "
        "Exchange 4.3.2; Orange",
        any_of(
            r"service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)|service refus",
            r"system not accepting|local (?:error|problem)|internal (?:server |system )?error|(?:server|"
            r"system) (?:is )?"
            r"(?:too )?(?:busy|error|problem|configuration|overload|down)|queue file write|resources? (?:temporarily|"
            r"unavailable)|overload|maintenance|blame it on the weather|database|configuration error",
            r"temporar(?:y|ily) (?:\w+ )?(?:error|problem|failure|unavailable|unable|reject|defer|lookup)",
            r"try (?:again|it again|sending)[^.;]{0,20}(?:later|soon|in \d)|(?:re)?try later|essayer plus tard|"
            r"wieder versuchen",
            r"temporairement|vor[üu]bergehend|temporalmente|稍后|しばらく",
        ),
    ),
)


UNKNOWN: Final = (
    r"(?:unknown|unrecogni[sz]ed|not (?:known|found|recogni[sz]ed|listed|exist)|no longer (?:exists?|valid|here))"
)

RECIPIENT: Final = (
    Rule(
        "no such address",
        Concern.RECIPIENT,
        True,
        "RFC 3463 x.1.1; RFC 5321 section 4.2.3 (550); Gmail NoSuchUser; "
        "Postfix, Exim, Sendmail, qmail, Courier, Domino, "
        "Exchange; GMX; Yahoo; Orange 416; QQ 169; Coremail; Sisimai's and flufl's collections",
        any_of(
            rf"{OWNER}\b[^.;]{{0,60}}\b{UNKNOWN}\b|\b(?:unknown|no such|non-?existent) (?:local )?[- \w]{{0,12}}"
            rf"(?:{OWNER}|part|id\b|mail)(?! error)",  # Cisco puts "Unknown address error" before any reply
            rf"{OWNER}\b[^.;]{{0,80}}\b(?:does(?: not|n't)|do not|did not|don't) (?:currently )?exists?\b",
            rf"\b(?:invalid|bad|illegal|wrong|"
            rf"undeliverable) (?:or unknown )?(?:destination )?(?:virtual )?{OWNER}(?! syntax)",
            rf"\b{OWNER} (?:is )?(?:invalid|wrong|unlisted|nonexistent)|not a (?:known|valid|local) {OWNER}|"
            rf"is not (?:a |an )(?:valid|active) {OWNER}",
            rf"\bno (?:valid )?(?:{OWNER}|one|account|person)s? (?:here|by that name|with that|at this|available|"
            rf"found|bye)",
            r"no mailbox|no mail[- ]?box here|not our customer|unknown or illegal|does(?:n't|"
            r" not) have an? [^.;]{0,30}"
            r"(?:account|mailbox)|not have an account|unknown to (?:this|us)|badrcptto|sorry, user unknown",
            r"nosuchuser|recip(?:ient)?notfound|nosuchrecipient|rcpt unknown|addressee unknown|not listed in",
            r"don't exists? that user|does not exist (?:here|on this)|couldn't find (?:the )?(?:recipient|user)|"
            r"cannot be found",
            r"(?:empf[äa]nger|benutzer|postfach|nutzer|adresse)[^.;]{0,40}(?:unbekannt|existiert nicht|"
            r"nicht (?:gefunden|"
            r"bekannt|vorhanden))|unbekannte[rs]? (?:empf[äa]nger|benutzer|adresse)",
            r"(?:utilisateur|destinataire|adresse|bo[iî]te|compte)[^.;]{0,40}(?:inconnue?|invalide|n'existe pas|"
            r"inexistante?|introuvable)",
            r"(?:usuario|destinatario|direcci[oó]n|buz[oó]n|cuenta|casilla)[^.;]{0,40}(?:desconocid[oa]|no existe|"
            r"inexistente"
            r"|inv[aá]lid[oa]|no encontrad[oa])|no existe (?:dicha|ese|el|la) ",
            r"(?:utente|destinatario|indirizzo|casella)[^.;]{0,40}(?:sconosciut[oa]|inesistente|non (?:esiste|"
            r"trovat))",
            r"(?:usu[aá]rio|destinat[aá]rio|endere[cç]o|caixa|conta)[^.;]{0,40}(?:desconhecid|n[aã]o existe|"
            r"inexistente)",
            r"nie ma takiego|nie istnieje|bestaat niet|onbekende? (?:gebruiker|ontvanger)|не существует|не найден|"
            r"нет такого|неизвестный (?:получатель|адрес)",
            r"(?:用户|用戶|收件人|邮箱|郵箱|帐号|账号|地址)[^,。;]{0,8}(?:不存在|未开通|无效|錯誤)|无此用户|没有此用户|查无此",
            r"存在しません|存在しない|見つかりません|宛先(?:が)?不明|ユーザー?(?:が|は)?不明|존재하지 않|없는 사용자",
        ),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "the mailbox is closed",
        Concern.RECIPIENT,
        True,
        "RFC 3463 x.2.1; Gmail DisabledUser; Yahoo 554.30; QQ; Hot.ee; Comcast; Zoho",
        any_of(
            rf"{OWNER}\b[^.;]{{0,60}}\b(?:disabled|inactive|inactivated|deactivated|closed|deleted|terminated|"
            rf"discontinued|"
            r"not active|not activated|no longer (?:active|available|in use|accepts?|on server|with us)|expired)\b",
            rf"\b(?:disabled|inactive|deactivated|closed|expired|deleted) {OWNER}|disableduser|accountdisabled",
            r"deaktiviert|d[ée]sactiv[ée]e?|desactivad[oa]|停用|已注销|禁用|отключен|заблокирован",
        ),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "mailbox unavailable",
        Concern.RECIPIENT,
        True,
        "Outlook.com 550 5.5.0; IONOS and Strato 550; RFC 5321 section 4.2.3 allows other causes: see the next row",
        any_of(r"mail ?box (?:is |currently )?(?:unavailable|not available)"),
        enhanced=("5.0", "1.1", "2.1"),
        stages=OF_A_RECIPIENT,
    ),
    Rule(
        "mailbox unavailable at RCPT",
        Concern.RECIPIENT,
        True,
        "RFC 5321 section 4.2.3 (550), in answer to RCPT",
        any_of(r"mail ?box (?:is |currently )?(?:unavailable|not available)"),
        codes=("550",),
        stages=frozenset({Stage.RCPT}),
    ),
)
