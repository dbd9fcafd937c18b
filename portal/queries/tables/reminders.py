"""The list of reminders: what payers were told of overdue invoices."""

from portal.domain.messages import NoticeState
from portal.domain.users import Permission
from portal.queries.invoices import document_number
from portal.queries.reminders import NOTICE_JOIN
from portal.queries.tables._about import currency, first_day, own_id
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Range,
    Reference,
    Table,
    Text,
    Words,
)

# Rows are found before anything is joined to them.
_NOTICE = (
    "(SELECT m.state FROM messages m WHERE m.organisation_id = n.organisation_id"
    " AND m.aggregate_id = n.id AND m.sequence = 1)"
)
_NOTICES = (
    *(Option(one.value, one.label, sql=f"{_NOTICE} = '{one.value}'") for one in NoticeState),
    Option("none", "None was sent", sql=f"{_NOTICE} IS NULL"),
)

REMINDER_TABLE = Table(
    noun="reminder",
    words="Reminders",
    permission=Permission.VIEW_INVOICES,
    source="reminders",
    alias="n",
    joins=(
        "JOIN payers p ON (p.organisation_id, p.id) = (n.organisation_id, n.payer_id)"
        " JOIN invoices i ON (i.organisation_id, i.id) = (n.organisation_id, n.invoice_id)"
        " LEFT JOIN invoices c"
        f" ON (c.organisation_id, c.id) = (n.organisation_id, n.charge_invoice_id){NOTICE_JOIN}"
    ),
    columns=(
        own_id("reminder", "n"),
        first_day("day", "Day", "n.reminded_on", noun="reminder"),
        Column("level", "Level", Kind.COUNT, "n.level", keys=(Key("n.level", "smallint"),)),
        Column("payer_id", "Payer id", Kind.ID, "n.payer_id", noun="payer", is_shown=False),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column("invoice_id", "Invoice id", Kind.ID, "n.invoice_id", noun="invoice", is_shown=False),
        Column("invoice", "Invoice", Kind.TEXT, document_number("i"), noun="invoice"),
        Column(
            "charge_id", "Charge id", Kind.ID, "n.charge_invoice_id", noun="invoice", is_shown=False
        ),
        Column(
            "charge",
            "Charged by",
            Kind.TEXT,
            document_number("c"),
            noun="invoice",
            id_column="charge_id",
        ),
        Column("fee", "Fee", Kind.MONEY, "n.fee_minor"),
        Column("interest", "Interest", Kind.MONEY, "n.interest_minor"),
        Column(
            "open",
            "Open then",
            Kind.MONEY,
            "n.open_minor",
            keys=(Key("n.open_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("notice", "Notice", Kind.STATE, "m.state", states=NoticeState),
        currency("n"),
        Column("rules", "Version of the rules", Kind.COUNT, "n.rule_set_version", is_shown=False),
    ),
    filters=(
        Range("day", "Day", Kind.DAY, "n.reminded_on"),
        Choice("notice", "Notice", _NOTICES),
        Range("level", "Level", Kind.COUNT, "n.level"),
        Range("open", "Open then", Kind.MONEY, "n.open_minor"),
        Text("currency", "Currency", "three letters", "n.currency"),
        Reference(
            "payer",
            "Payer",
            "payer",
            "n.payer_id = %(value)s",
            "SELECT name FROM payers WHERE id = %(value)s",
        ),
        Reference(
            "invoice",
            "Invoice",
            "invoice",
            "n.invoice_id = %(value)s",
            f"SELECT {document_number('i')} FROM invoices i WHERE id = %(value)s",
        ),
        Words(
            "text",
            "Search",
            "the beginning of a payer's name",
            "n.payer_id IN (SELECT id FROM payers"
            " WHERE name_sort >= %(least)s AND name_sort < %(end)s)",
        ),
    ),
    default_sort="-day",
    sums=("open",),
)
