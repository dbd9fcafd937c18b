"""Columns, joins and filters that the lists of payments and of all that belongs to one share."""

from portal.queries.invoices import document_number
from portal.queries.tables._shape import Column, Key, Kind, Reference, Words

ABOUT_COLUMNS = (
    Column("payer_id", "Payer id", Kind.ID, "y.payer_id", noun="payer", is_shown=False),
    Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
    Column("invoice_id", "Invoice id", Kind.ID, "y.invoice_id", noun="invoice", is_shown=False),
    Column("invoice", "Invoice", Kind.TEXT, document_number("i"), noun="invoice"),
)
ABOUT_JOINS = (
    "JOIN payers p ON (p.organisation_id, p.id) = (y.organisation_id, y.payer_id)"
    " LEFT JOIN invoices i ON (i.organisation_id, i.id) = (y.organisation_id, y.invoice_id)"
)
OF_PAYMENT_COLUMNS = (
    Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
    *ABOUT_COLUMNS,
)


def own_id(noun: str, alias: str) -> Column:
    """Make the column that the pages of the rows are opened by."""
    return Column("id", "Id", Kind.ID, f"{alias}.id", noun=noun, is_shown=False)


def first_day(name: str, words: str, sql: str, *, noun: str) -> Column:
    """Make the day by which a list is read, the newest first, which opens the page of the row."""
    return Column(
        name,
        words,
        Kind.DAY,
        sql,
        keys=(Key(sql, "date"),),
        noun=noun,
        is_descending_first=True,
    )


def amount(alias: str) -> Column:
    """Make the amount of each row, which rows can be ordered by."""
    sql = f"{alias}.amount_minor"
    return Column(
        "amount",
        "Amount",
        Kind.MONEY,
        sql,
        keys=(Key(sql, "bigint"),),
        is_descending_first=True,
    )


def currency(alias: str) -> Column:
    """Make the currency that the amounts of a row are in."""
    return Column("currency", "Currency", Kind.TEXT, f"{alias}.currency", is_shown=False)


def version(alias: str) -> Column:
    """Make the version that a change names."""
    return Column("version", "Version", Kind.COUNT, f"{alias}.version", is_shown=False)


def of_payment_joins(alias: str) -> str:
    """Join the payment that a row belongs to, with its payer and its invoice."""
    return (
        f"JOIN payments y ON (y.organisation_id, y.id) = ({alias}.organisation_id,"
        f" {alias}.payment_id) {ABOUT_JOINS}"
    )


def by_payment(alias: str) -> Reference:
    """Make the filter by the payment that rows belong to."""
    return Reference(
        "payment",
        "Payment",
        "payment",
        f"{alias}.payment_id = %(value)s",
        "SELECT 'of ' || started_on FROM payments WHERE id = %(value)s",
    )


def by_payer_name(alias: str, column: str = "payment_id") -> Words:
    """Make the search among payments and what belongs to them, by the payer's name."""
    return Words(
        "text",
        "Search",
        "the beginning of a payer's name",
        f"{alias}.{column} IN (SELECT n.id FROM payers p JOIN payments n"
        " ON (n.organisation_id, n.payer_id) = (p.organisation_id, p.id)"
        " WHERE p.name_sort >= %(least)s AND p.name_sort < %(end)s)",
    )
