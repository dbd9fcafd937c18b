"""The list of payments."""

from portal.domain.payments import (
    OPEN_PAYMENT_STATES,
    STOPPED_REASON,
    PaymentMethod,
    PaymentState,
)
from portal.domain.users import Permission
from portal.queries.invoices import document_number
from portal.queries.tables._about import (
    ABOUT_COLUMNS,
    ABOUT_JOINS,
    amount,
    by_payer_name,
    currency,
    first_day,
    own_id,
    version,
)
from portal.queries.tables._shape import (
    Choice,
    Column,
    Kind,
    Option,
    Parts,
    Range,
    Reference,
    Table,
    Text,
    options_of,
)
from rules.reasons import REASONS, ReasonClass

# Why payments wait for a person, in the words of every page.
WORKLISTS = {
    "needs_payer": "The payer must act",
    "hard_decline": "Declined for good",
    "retries_exhausted": "Retries used up",
    "gateway_trouble": "Gateway not reached",
    "outcome_unknown": "Outcome unknown for long",
    "mismatch": "Answer does not fit",
    "conflicting_outcome": "Contradicting outcomes",
    "dispute_lost": "Dispute lost",
}
_STATES = (
    Option(
        "unresolved",
        "To retry or decide",
        (PaymentState.SCHEDULED.value, PaymentState.FAILED.value),
        "y.state = 'scheduled' OR y.worklist IS NOT NULL",
    ),
    Option("open", "Under way", tuple(one.value for one in OPEN_PAYMENT_STATES)),
    *(Option(one.value, one.label, (one.value,)) for one in PaymentState),
)
_WAITING = (
    Option("any", "Any", sql="y.worklist IS NOT NULL"),
    *(Option(value, words, sql=f"y.worklist = '{value}'") for value, words in WORKLISTS.items()),
    Option("none", "On none", sql="y.worklist IS NULL"),
)


def _sentences() -> str:
    """Write what every known code means as rows to join."""
    rows = [f"('{one.code}', '{_doubled(one.sentence)}')" for one in REASONS.values()]
    return f"(VALUES {', '.join(rows)})"


def _doubled(sentence: str) -> str:
    """Double what means something to SQL or its driver."""
    return sentence.replace("'", "''").replace("%", "%%")


def _reason_classes() -> str:
    """Write an expression that says what the last reason of payment y means for another try."""
    known: dict[str, list[str]] = {}
    for one in REASONS.values():
        known.setdefault(one.reason_class.value, []).append(f"'{one.code}'")
    # Codes that nobody knows are hard, as find_reason has it.
    cases = [
        f"WHEN y.reason_code IN ({', '.join(known[each])}) THEN '{each}'"
        for each in (ReasonClass.RETRYABLE.value, ReasonClass.NEEDS_PAYER.value)
    ]
    return (
        "CASE WHEN y.reason_code IS NULL THEN 'none'"
        f" WHEN y.reason_code = '{STOPPED_REASON}' THEN '{STOPPED_REASON}'"
        f" {' '.join(cases)} ELSE '{ReasonClass.HARD.value}' END"
    )


def say_code(code: str) -> str:
    """Write the code of a reason with what it means, where that is known."""
    known = REASONS.get(code)
    return f"{known.sentence.rstrip('.')} ({code})" if known else code


# The sentences of reasons, to be joined for the rows of a page.
SENTENCES_SQL = f"{_sentences()} AS reasons (code, sentence)"

# What the last reason means for another try, in the words of every page.
REASON_CLASSES = {
    ReasonClass.RETRYABLE.value: "May succeed later",
    ReasonClass.NEEDS_PAYER.value: "The payer must act",
    ReasonClass.HARD.value: "The bank refuses",
    STOPPED_REASON: "A person stopped it",
    "none": "No reason was given",
}
REASON_CLASS_SQL = _reason_classes()

# Whose money it is and for which document, as the lists of payments and of attempts say it.
PAYMENT_TABLE = Table(
    noun="payment",
    words="Payments",
    permission=Permission.VIEW_PAYMENTS,
    source="payments",
    alias="y",
    joins=(f"{ABOUT_JOINS} LEFT JOIN {SENTENCES_SQL} ON reasons.code = y.reason_code"),
    columns=(
        own_id("payment", "y"),
        first_day("started", "Started", "y.started_on", noun="payment"),
        *ABOUT_COLUMNS,
        Column("state", "State", Kind.STATE, "y.state", states=PaymentState),
        Column("attempts", "Attempts", Kind.COUNT, "y.attempts_count"),
        Column(
            "reason",
            "Last reason",
            Kind.TEXT,
            "COALESCE(reasons.sentence, y.explanation, y.reason_code)",
        ),
        Column("next", "Next try", Kind.DAY, "y.next_attempt_on"),
        amount("y"),
        Column("refunded", "Refunded", Kind.MONEY, "y.refunded_minor", is_shown=False),
        currency("y"),
        Column("method", "Method", Kind.TEXT, "y.method", is_shown=False),
        Column("reason_code", "Reason code", Kind.TEXT, "y.reason_code", is_shown=False),
        Column("worklist", "Worklist", Kind.TEXT, "y.worklist", is_shown=False),
        version("y"),
    ),
    filters=(
        Choice("state", "State", _STATES, is_facet=True),
        Choice("worklist", "Worklist", _WAITING),
        Text("reason", "Reason", "the code of the last reason", "y.reason_code", say=say_code),
        Choice(
            "why",
            "Kind of reason",
            tuple(Option(value, words) for value, words in REASON_CLASSES.items()),
            sql=f"({REASON_CLASS_SQL})",
        ),
        Choice("method", "Method", options_of(PaymentMethod), sql="y.method"),
        Range("started", "Started", Kind.DAY, "y.started_on"),
        Range("next", "Next try", Kind.DAY, "y.next_attempt_on"),
        Range("amount", "Amount", Kind.MONEY, "y.amount_minor"),
        Text("currency", "Currency", "three letters", "y.currency"),
        Range("attempts", "Attempts", Kind.COUNT, "y.attempts_count"),
        Reference(
            "payer",
            "Payer",
            "payer",
            "y.payer_id = %(value)s",
            "SELECT name FROM payers WHERE id = %(value)s",
        ),
        Reference(
            "invoice",
            "Invoice",
            "invoice",
            "y.invoice_id = %(value)s",
            f"SELECT COALESCE({document_number('i')}, 'draft') FROM invoices i"
            " WHERE id = %(value)s",
        ),
        by_payer_name("y", "id"),
    ),
    default_sort="-started",
    sums=("amount",),
    parts=Parts("state", "y.state", tuple(one.value for one in PaymentState)),
)
