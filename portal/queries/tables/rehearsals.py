"""The list of documents that differ in a rehearsal."""

from collections.abc import Collection
from uuid import UUID

from portal.domain.payers import PayerKind
from portal.domain.rehearsals import RehearsalChange
from portal.domain.users import Permission
from portal.queries.invoices import document_number
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Range,
    Table,
    options_of,
)

_DIFFERENCES = "SELECT *, invoice_id AS id FROM rehearsal_differences"

DIFFERENCE_TABLE = Table(
    noun="invoice",
    words="Differences",
    permission=Permission.VIEW_RULES,
    source=f"({_DIFFERENCES})",
    alias="d",
    joins=(
        "JOIN invoices i ON (i.organisation_id, i.id) = (d.organisation_id, d.invoice_id)"
        " JOIN payers p ON (p.organisation_id, p.id) = (i.organisation_id, i.payer_id)"
    ),
    columns=(
        Column("invoice_id", "Invoice id", Kind.ID, "d.invoice_id", noun="invoice", is_shown=False),
        Column("payer_id", "Payer id", Kind.ID, "p.id", noun="payer", is_shown=False),
        Column(
            "document",
            "Document",
            Kind.TEXT,
            f"COALESCE({document_number('i')}, i.external_ref, 'Draft')",
            keys=(Key("d.invoice_id", "uuid"),),
            noun="invoice",
        ),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column("change", "Change", Kind.STATE, "d.change", states=RehearsalChange),
        Column("before", "Before", Kind.MONEY, "d.total_before_minor"),
        Column("after", "After", Kind.MONEY, "d.total_after_minor"),
        Column("fees_before", "Fees before", Kind.MONEY, "d.charges_before_minor"),
        Column("fees_after", "Fees after", Kind.MONEY, "d.charges_after_minor"),
        Column(
            "difference",
            "Difference",
            Kind.MONEY,
            "d.difference_minor",
            keys=(Key("d.difference_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("due_before", "Due before", Kind.DAY, "d.due_before_on"),
        Column("due_after", "Due after", Kind.DAY, "d.due_after_on"),
        Column("clauses", "By", Kind.TEXT, "array_to_string(d.clauses, ', ')"),
        Column("currency", "Currency", Kind.TEXT, "d.currency", is_shown=False),
    ),
    filters=(
        Choice("change", "Change", options_of(RehearsalChange), sql="d.change", is_facet=True),
        Choice("payer_kind", "Payer", options_of(PayerKind), sql="d.payer_kind", is_facet=True),
        Range("difference", "Difference", Kind.MONEY, "d.difference_minor"),
    ),
    default_sort="-difference",
    sums=("difference",),
    hint="What the version treats as before is not in this list.",
)


def differences_of_rehearsal(
    rehearsal_id: UUID, *, clauses: Collection[str], findings: Collection[str]
) -> Table:
    """Return the list of one rehearsal, which can be narrowed to what is named."""
    further = tuple(
        Choice(name, words, tuple(Option(each, each, sql=_has(each, name)) for each in codes))
        for name, words, codes in (
            ("clauses", "By clause", clauses),
            ("appeared", "Found anew", findings),
            ("vanished", "No longer found", findings),
        )
        if codes
    )
    return DIFFERENCE_TABLE._replace(
        source=f"({_DIFFERENCES} WHERE run_id = '{rehearsal_id}')",
        filters=(*DIFFERENCE_TABLE.filters, *further),
    )


def _has(code: str, column: str) -> str:
    assert code.replace("_", "").isalnum(), "codes are those of clauses"
    return f"'{code}' = ANY(d.{column})"
