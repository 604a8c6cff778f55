"""Exports of list services: who gets mail there is active here, and nobody else is.

The files are made by hand after the columns and words that docs/importing.md names, with its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter import subscriber_csv
from newsletter.model import NewSubscriber, SubscriberStatus

ACTIVE, UNSUBSCRIBED = SubscriberStatus.ACTIVE, SubscriberStatus.UNSUBSCRIBED
SUPPRESSED, PENDING = SubscriberStatus.SUPPRESSED, SubscriberStatus.PENDING


@dataclass(frozen=True)
class Export:
    """A service's header, and rows of which each begins the address with what is expected of it."""

    service: str
    header: str
    rows: str


EXPORTS = [
    Export(
        "Mailchimp, unsubscribed",
        "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON,LEID",
        "unsubscribed@x.org,A,2,2020-01-01 10:00:00,2023-01-01 10:00:00,June,NORMAL,1\n"
        "unsubscribed2@x.org,B,2,,2023-01-01 10:00:00,,,2\n",
    ),
    Export(
        "Mailchimp, cleaned",
        "Email Address,First Name,OPTIN_TIME,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,LEID",
        "suppressed@x.org,A,2020-01-01 10:00:00,2023-01-01 10:00:00,June,ab12,1\n",
    ),
    Export(
        "Mailchimp, all in one",
        "Email Address,EMAIL_TYPE,MEMBER_RATING,OPTIN_TIME,GMTOFF,DSTOFF,UNSUB_TIME,UNSUB_REASON,CLEAN_TIME,TAGS",
        "active@x.org,html,0,2020-01-01 10:00:00,0,1,,,,\n"
        "unsubscribed@x.org,html,1,2020-01-01 10:00:00,1,0,2021-01-01 10:00:00,NORMAL,,\n"
        'suppressed@x.org,html,1,2020-01-01 10:00:00,1,0,,,2021-01-01 10:00:00,"""vip"""\n',
    ),
    Export(
        "Mailchimp, status of the API",
        "email_address,status,timestamp_opt,vip_since",
        "active@x.org,subscribed,2020-01-01,\nunsubscribed@x.org,unsubscribed,,\nsuppressed@x.org,cleaned,,\n"
        "pending@x.org,pending,,\npending2@x.org,transactional,,\nunsubscribed2@x.org,archived,,\n",
    ),
    Export(
        "Ghost",
        "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers",
        "1,active@x.org,A,,true,false,,2024-03-01T09:30:00.000Z,,,\n"
        "2,active2@x.org,A,wrote,true,true,cus_1,2024-03-01T09:30:00.000Z,,vip,gold\n"
        "3,unsubscribed@x.org,B,,false,false,,2024-03-01T09:30:00.000Z,,,\n"
        "4,unsubscribed2@x.org,B,,true,false,,2024-03-01T09:30:00.000Z,2024-05-01T09:30:00.000Z,,\n",
    ),
    Export(
        "Substack",
        "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at",
        "active@x.org,false,,other,false,2025-01-01T00:00:00.000Z,\n"
        "active2@x.org,true,2027-01-01,yearly,false,2025-01-01T00:00:00.000Z,2025-06-01\n"
        "unsubscribed@x.org,true,2027-01-01,yearly,true,2025-01-01T00:00:00.000Z,2025-06-01\n"
        "unsubscribed2@x.org,false,,other,true,2025-01-01T00:00:00.000Z,\n",
    ),
    Export(
        "Substack, with types",
        "Email,Name,Type,Stripe plan,Start date,Activity,Revenue",
        "active@x.org,A,free,,2024-01-01,5,0\nactive2@x.org,B,paid,annual,2024-01-01,5,80\n"
        "active3@x.org,C,comp,,2024-01-01,0,0\nactive4@x.org,D,gift,,2024-01-01,1,0\n",
    ),
    Export(
        "Buttondown",
        "email,notes,tags,subscriber_type,source,creation_date",
        "active@x.org,,,regular,form,2024-01-01T10:00:00Z\nactive2@x.org,,,premium,form,2024-01-01T10:00:00Z\n"
        "active3@x.org,,,churning,form,2024-01-01T10:00:00Z\npending@x.org,,,unactivated,form,2024-01-01T10:00:00Z\n"
        "unsubscribed@x.org,,,unsubscribed,form,2024-01-01T10:00:00Z\n"
        "unsubscribed2@x.org,,,removed,form,2024-01-01T10:00:00Z\n"
        "suppressed@x.org,,,undeliverable,form,2024-01-01T10:00:00Z\n"
        "suppressed2@x.org,,,spammy,form,2024-01-01T10:00:00Z\nsuppressed3@x.org,,,blocked,,2024-01-01T10:00:00Z\n",
    ),
    Export(
        "Buttondown, dates",
        "Email,Status,Subscription date,Unsubscription date,Undeliverability date,Upgrade date,Churn date,IP address",
        "active@x.org,Regular,2024-01-01,,,,,10.1.2.3\nactive2@x.org,Paid,2024-01-01,,,2024-02-01,2024-03-01,\n"
        "unsubscribed@x.org,Regular,2024-01-01,2024-05-01,,,,\nsuppressed@x.org,Regular,2024-01-01,,2024-05-01,,,\n"
        "pending@x.org,Unactivated,2024-01-01,,,,,\n",
    ),
    Export(
        "listmonk",
        "uuid,email,name,status,attributes,created_at,updated_at",
        'u1,active@x.org,A,enabled,"{""city"": ""Bonn""}",2024-01-01 10:00:00.123456 +0000 UTC,2024-01-01\n'
        "u2,suppressed@x.org,B,blocklisted,{},2024-01-01,2024-01-01\n"
        "u3,unsubscribed@x.org,C,disabled,{},2024-01-01,2024-01-01\n",
    ),
    Export(
        "listmonk, with the subscription",
        "email,status,subscription_status",
        "active@x.org,enabled,confirmed\npending@x.org,enabled,unconfirmed\nunsubscribed@x.org,enabled,unsubscribed\n"
        "suppressed@x.org,blocklisted,confirmed\n",
    ),
    Export(
        "Keila",
        "Email,First name,Last name,Data,Status",
        "active@x.org,A,B,{},active\nunsubscribed@x.org,A,B,{},unsubscribed\nsuppressed@x.org,A,B,{},unreachable\n",
    ),
    Export(
        "phpList, export",
        "Email\tIs this subscriber confirmed\tIs this subscriber blacklisted\tDid this subscriber manually confirm\t"
        "Number of bounces\tEntered\tLast Modified\tSend this subscriber HTML emails\tIs this account disabled?\t"
        "List Membership",
        "active@x.org\t1\t0\t1\t3\t2020-01-01 10:00:00\t2021-01-01 00:00:00\t1\t0\tnews \n"
        "suppressed@x.org\t1\t1\t1\t0\t2020-01-01 10:00:00\t2021-01-01 00:00:00\t0\t0\tnews \n"
        "pending@x.org\t0\t0\t0\t0\t2020-01-01 10:00:00\t2021-01-01 00:00:00\t1\t0\tNo Lists\n"
        "unsubscribed@x.org\t1\t0\t1\t0\t2020-01-01 10:00:00\t2021-01-01 00:00:00\t1\t1\tNo Lists\n",
    ),
    Export(
        "phpList, table",
        "id,email,confirmed,blacklisted,optedin,bouncecount,entered,modified,uniqid,htmlemail,disabled",
        "1,active@x.org,1,0,1,0,2020-01-01 10:00:00,2021-01-01,abc,1,0\n"
        "2,suppressed@x.org,1,1,1,0,2020-01-01 10:00:00,2021-01-01,abc,0,0\n"
        "3,pending@x.org,0,0,0,1,2020-01-01 10:00:00,2021-01-01,abc,1,0\n"
        "4,unsubscribed@x.org,1,0,1,0,2020-01-01 10:00:00,2021-01-01,abc,1,1\n",
    ),
    Export("Mailman", "active@x.org", 'Ann <active2@x.org>\n"Doe, Bob" <active3@x.org>\n'),
    Export(
        "Kit",
        "id,first_name,email,state,created_at",
        "1,A,active@x.org,active,2024-01-01\n2,B,unsubscribed@x.org,cancelled,2024-01-01\n"
        "3,C,suppressed@x.org,bounced,2024-01-01\n4,D,unsubscribed2@x.org,inactive,2024-01-01\n"
        "5,E,suppressed2@x.org,complained,2024-01-01\n",
    ),
    Export(
        "MailerLite",
        "Email,Name,Subscribed,Unsubscribed,Status,Opt-in IP,Opens,Clicks",
        "active@x.org,A,2021-01-02 10:00:00,,active,10.1.2.3,5,0\n"
        "unsubscribed@x.org,A,2021-01-02 10:00:00,2022-01-01 00:00:00,unsubscribed,,2,1\n"
        "pending@x.org,A,,,unconfirmed,,0,0\nsuppressed@x.org,A,2021-01-02 10:00:00,,bounced,,0,0\n"
        "suppressed2@x.org,A,2021-01-02 10:00:00,,junk,,0,0\n",
    ),
    Export(
        "Brevo",
        "CONTACT ID,EMAIL,FIRSTNAME,SMS,BLACKLISTED_EMAIL,BLACKLISTED_SMS,OPT_IN,ADDED_TIME",
        "1,active@x.org,A,,false,true,true,01-02-2024\n2,suppressed@x.org,A,,true,false,true,01-02-2024\n"
        "3,pending@x.org,A,,false,false,false,01-02-2024\n",
    ),
    Export(
        "CleverReach",
        "email;registered;activated;deactivated;bounced;source",
        "active@x.org;1500000000;1500000001;0;0;form\nunsubscribed@x.org;1500000000;1500000001;1600000000;0;form\n"
        "pending@x.org;1500000000;0;0;0;form\nsuppressed@x.org;1500000000;1500000001;0;1600000000;form\n",
    ),
    Export(
        "AcyMailing",
        '"name";"email";"active";"confirmed";"creation_date"',
        '"A";"active@x.org";"1";"1";"2020-01-01 00:00:00"\n"B";"unsubscribed@x.org";"0";"1";"2020-01-01 00:00:00"\n'
        '"C";"pending@x.org";"1";"0";"2020-01-01 00:00:00"\n',
    ),
    Export(
        "Sendy",
        "Name,Email,Last activity,Status",
        "A,active@x.org,1 Jan 2024,Subscribed\nB,unsubscribed@x.org,,Unsubscribed\nC,suppressed@x.org,,Marked as spam\n"
        "D,pending@x.org,,Unconfirmed\nE,suppressed2@x.org,,Bounced\n",
    ),
    Export(
        "beehiiv",
        "Email,Status,Created At,UTM Source,Tier",
        "active@x.org,active,2024-01-01,x,free\nunsubscribed@x.org,inactive,2024-01-01,x,free\n"
        "pending@x.org,pending,2024-01-01,x,free\npending2@x.org,needs_approval,2024-01-01,x,free\n",
    ),
    Export(
        "HubSpot, unsubscribes and bounces",
        "Email,Portal Bounce,Portal Unsubscribe,Portal Spam Report,Global Bounce",
        "active@x.org,,FALSE,FALSE,\nunsubscribed@x.org,,TRUE,FALSE,\nsuppressed@x.org,mailbox gone,FALSE,FALSE,\n"
        "suppressed2@x.org,,FALSE,TRUE,\nsuppressed3@x.org,,FALSE,FALSE,TRUE\n",
    ),
    Export(
        "Salesforce",
        "Email Address;Subscriber Key;Status;Date Joined;Date Unsubscribed",
        "active@x.org;1;Active;1/2/2020 3:04:05 AM;\nunsubscribed@x.org;2;Unsubscribed;1/2/2020;1/2/2021\n"
        "suppressed@x.org;3;Held;1/2/2020;\nsuppressed2@x.org;4;Bounced;1/2/2020;\nunsubscribed2@x.org;5;Deleted;;\n",
    ),
    Export(
        "accepts marketing",
        "First Name,Email,Accepts Email Marketing,Accepts SMS Marketing,Tags,Note",
        "A,active@x.org,yes,no,,\nB,unsubscribed@x.org,no,yes,,\n",
    ),
    Export(
        "status and why it ended",
        "Email,Name,Status,Subscription Method,Subscribed,Unsubscribed,Stop Status,Ad Tracking",
        "active@x.org,A,subscribed,Web Form,2020-01-01 10:00:00,,,\n"
        "unsubscribed@x.org,B,unsubscribed,Web Form,2020-01-01 10:00:00,2021-01-01 10:00:00,Unsubscribed by reader,\n"
        "pending@x.org,C,unconfirmed,,2020-01-01 10:00:00,,,\n",
    ),
    Export(
        "a CRM",
        "Email,HasOptedOutOfEmail,IsEmailBounced,Do Not Email,On Hold",
        "active@x.org,false,false,No,No\nunsubscribed@x.org,true,false,No,No\nsuppressed@x.org,false,true,No,No\n"
        "unsubscribed2@x.org,false,false,Yes,No\nsuppressed2@x.org,false,false,No,Yes\n",
    ),
    Export(
        "Constant Contact",
        "First name,Email address,Email status,Email permission status,Created At",
        "A,active@x.org,Active,Express,2024-01-01\nB,unsubscribed@x.org,Unsubscribed,Express,2024-01-01\n"
        "C,pending@x.org,Awaiting Confirmation,Express,2024-01-01\nD,pending2@x.org,No Permissions Set,,2024-01-01\n"
        "E,pending3@x.org,,,2024-01-01\n",
    ),
    Export(
        "Constant Contact, Lead Gen & CRM",
        "First Name,Email Address,Is Unsubscribed",
        "A,active@x.org,0\nB,unsubscribed@x.org,1\n",
    ),
    Export(
        "rasa.io",
        "ID,First Name,Email,Subscribed,Unsubscribe Reason,Created,Updated,Source",
        "1,A,active@x.org,1,,2024-01-01,2024-01-01,UI\n2,B,unsubscribed@x.org,0,Unsubscribed,2024-01-01,2024-01-02,UI\n"
        "3,C,suppressed@x.org,0,Bounce,2024-01-01,2024-01-02,UI\n4,D,unsubscribed2@x.org,0,,2024-01-01,2024-01-02,UI\n",
    ),
    Export(
        "Moosend",
        "ID,Name,Email,CreatedOn,UnsubscribedOn",
        "1,A,active@x.org,2024-01-01 00:00:00,\n2,B,unsubscribed@x.org,2024-01-01 00:00:00,2024-02-01 00:00:00\n",
    ),
    Export(
        "Cordial",
        "channels.email.address,channels.email.subscribeStatus",
        "active@x.org,subscribed\nunsubscribed@x.org,unsubscribed\n",
    ),
    Export("Voyado", "E-mail;acceptsEmail", "active@x.org;true\nunsubscribed@x.org;false\n"),
    Export("BranchUp", "Email,OptOut,OptOutDate", "active@x.org,F,\nunsubscribed@x.org,T,2024-01-02 03:04\n"),
    Export(
        "MailUp, unsubscribed",
        "Email;idList;OptOut_Date;optout_nl;optout_type",
        "unsubscribed@x.org;1;20110122T111244;161;0\n",
    ),
    Export(
        "German",
        "E-Mail-Adresse;Vorname;Status;Anmeldedatum;Abgemeldet am",
        "active@x.org;A;aktiv;01.02.2024;\nunsubscribed@x.org;B;aktiv;01.02.2024;03.02.2024\n"
        "unsubscribed2@x.org;B;abgemeldet;01.02.2024;\nsuppressed@x.org;C;gesperrt;;\n"
        "pending@x.org;D;nicht bestätigt;;\nsuppressed2@x.org;E;Unzustellbar (hart);;\n",
    ),
    Export(
        "German, ja and nein",
        "E-Mail;Newsletter;Gesperrt;Bestätigt",
        "active@x.org;ja;nein;ja\nunsubscribed@x.org;nein;nein;ja\nsuppressed@x.org;ja;ja;ja\n"
        "pending@x.org;ja;nein;nein\n",
    ),
    Export(
        "French",
        "Courriel;Prénom;Désabonné;Confirmé;Date d'inscription",
        "active@x.org;A;non;oui;01/02/2024\nunsubscribed@x.org;B;oui;oui;01/02/2024\npending@x.org;C;non;non;01/02/2024\n",
    ),
    Export(
        "Spanish",
        "Correo electrónico,Nombre,Estado,Fecha de alta,Fecha de baja",
        "active@x.org,A,activo,2024-01-02,\nunsubscribed@x.org,B,dado de baja,2024-01-02,\n"
        "unsubscribed2@x.org,B,activo,2024-01-02,2024-02-03\nsuppressed@x.org,C,rebotado,2024-01-02,\n"
        "pending@x.org,D,no confirmado,2024-01-02,\n",
    ),
    Export("Spanish, suscrito", "Correo,Suscrito", "active@x.org,sí\nunsubscribed@x.org,no\n"),
    Export("Chinese", "姓名,电子邮件,状态", "安,active@x.org,已订阅\n博,unsubscribed@x.org,已退订\n"),
    Export("Japanese", "名前,メールアドレス,ステータス", "安,active@x.org,有効\n博,unsubscribed@x.org,配信停止\n"),
    Export(
        "no header", "active@x.org,Ann,subscribed", "unsubscribed@x.org,Bob,unsubscribed\nsuppressed@x.org,Cy,bounced\n"
    ),
]


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.service)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_who_gets_mail_there_is_active_here_and_nobody_else(export: Export, encoding: str) -> None:
    content = f"{export.header}\r\n{export.rows}".encode(encoding)
    readers = [row.reader for row in subscriber_csv.read(content)]
    assert readers
    assert None not in readers
    found = {reader.address: reader.status for reader in readers if reader}
    assert found == {address: SubscriberStatus(address.partition("@")[0].rstrip("23456789")) for address in found}


def test_what_a_service_knows_of_somebody_who_left_is_kept() -> None:
    (row,) = subscriber_csv.read(f"{EXPORTS[0].header}\n{EXPORTS[0].rows.splitlines()[0]}\n".encode())
    left = datetime(2023, 1, 1, 10, tzinfo=UTC)
    assert row.reader == NewSubscriber(
        "unsubscribed@x.org",
        UNSUBSCRIBED,
        "OPTIN_TIME 2020-01-01 10:00:00",
        "UNSUB_TIME 2023-01-01 10:00:00, UNSUB_CAMPAIGN_TITLE June, UNSUB_REASON NORMAL",
        status_at=left,
    )


# --- the cases of the shared data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("de.csv", {"ann": ACTIVE}),
        ("goog.csv", {"ann": ACTIVE}),
        ("semi.csv", {"ann": ACTIVE, "bob": ACTIVE}),
        ("sep.csv", {"ann": ACTIVE}),
        ("tab.csv", {"ann": ACTIVE}),
        ("left_buttondown.csv", {"ann": ACTIVE, "left": UNSUBSCRIBED, "bounced": SUPPRESSED}),
        ("left_keila.csv", {"ann": ACTIVE, "left": UNSUBSCRIBED, "un": SUPPRESSED}),
        ("left_listmonk.csv", {"ann": ACTIVE, "bob": SUPPRESSED}),
        ("left_mailchimp_unsub.csv", {"left": UNSUBSCRIBED}),
        ("mailchimp_subscribed.csv", {f"mcs{number}": ACTIVE for number in range(12) if number != 6}),
    ],
)
def test_the_shared_cases(shared_data: Path, file: str, expected: dict[str, SubscriberStatus]) -> None:
    path = shared_data / "cases" / "csv" / file
    readers = [row.reader for row in subscriber_csv.read(path.read_bytes(), source=file) if row.reader]
    assert {reader.address.partition("@")[0]: reader.status for reader in readers} == expected
    if file == "mailchimp_subscribed.csv":
        assert {reader.consent for reader in readers} == {
            "OPTIN_TIME 2023-01-02 03:04:05, OPTIN_IP 10.1.2.3, CONFIRM_TIME 2023-01-02 03:05:00, CONFIRM_IP 10.1.2.3"
        }
