"""Lists, each declared once: columns, filters, orders, words, permission.

Its page, its part for HTMX, its JSON and its CSV are made from the declaration. A new list is a
file here; a new filter is a line in one.
"""

from portal.queries.tables._read import (
    COUNT_MAX,
    Facet,
    Page,
    Sums,
    Totals,
    read_facet,
    read_page,
    read_totals,
    stream_rows,
    totals_of,
)
from portal.queries.tables._request import (
    ROWS_DEFAULT,
    ROWS_MAX,
    ArgumentRefused,
    Reading,
    TableRequest,
    Term,
    ThingMissing,
    parse_request,
    read_request,
)
from portal.queries.tables._shape import (
    Choice,
    Column,
    Filter,
    Kind,
    Option,
    Range,
    Reference,
    Table,
    Text,
    Words,
)
from portal.queries.tables._text import read_text, write_text
from portal.queries.tables._values import SPANS
from portal.queries.tables.attempts import ATTEMPT_TABLE
from portal.queries.tables.cases import CASE_TABLE
from portal.queries.tables.disputes import DISPUTE_TABLE
from portal.queries.tables.events import EVENT_TABLE
from portal.queries.tables.invoices import INVOICE_TABLE
from portal.queries.tables.items import ITEM_TABLE, items_of_run
from portal.queries.tables.messages import (
    INBOX_TABLE,
    MACHINE_MESSAGE_TABLE,
    MESSAGE_TABLE,
)
from portal.queries.tables.payers import PAYER_TABLE
from portal.queries.tables.payments import (
    PAYMENT_TABLE,
    REASON_CLASS_SQL,
    REASON_CLASSES,
    WORKLISTS,
)
from portal.queries.tables.payouts import PAYOUT_ITEM_TABLE, PAYOUT_TABLE, items_of_payout
from portal.queries.tables.refunds import REFUND_TABLE
from portal.queries.tables.rehearsals import DIFFERENCE_TABLE, differences_of_rehearsal
from portal.queries.tables.reminders import REMINDER_TABLE
from portal.queries.tables.runs import RUN_TABLE
from portal.queries.tables.schedules import SCHEDULE_TABLE
from portal.queries.tables.sequences import SEQUENCE_TABLE

TABLES = (
    INVOICE_TABLE,
    PAYMENT_TABLE,
    ATTEMPT_TABLE,
    REFUND_TABLE,
    DISPUTE_TABLE,
    REMINDER_TABLE,
    PAYOUT_TABLE,
    PAYER_TABLE,
    RUN_TABLE,
    MESSAGE_TABLE,
    INBOX_TABLE,
    CASE_TABLE,
    EVENT_TABLE,
)

__all__ = [
    "ATTEMPT_TABLE",
    "CASE_TABLE",
    "COUNT_MAX",
    "DIFFERENCE_TABLE",
    "DISPUTE_TABLE",
    "EVENT_TABLE",
    "INBOX_TABLE",
    "INVOICE_TABLE",
    "ITEM_TABLE",
    "MACHINE_MESSAGE_TABLE",
    "MESSAGE_TABLE",
    "PAYER_TABLE",
    "PAYMENT_TABLE",
    "PAYOUT_ITEM_TABLE",
    "PAYOUT_TABLE",
    "REASON_CLASSES",
    "REASON_CLASS_SQL",
    "REFUND_TABLE",
    "REMINDER_TABLE",
    "ROWS_DEFAULT",
    "ROWS_MAX",
    "RUN_TABLE",
    "SCHEDULE_TABLE",
    "SEQUENCE_TABLE",
    "SPANS",
    "TABLES",
    "WORKLISTS",
    "ArgumentRefused",
    "Choice",
    "Column",
    "Facet",
    "Filter",
    "Kind",
    "Option",
    "Page",
    "Range",
    "Reading",
    "Reference",
    "Sums",
    "Table",
    "TableRequest",
    "Term",
    "Text",
    "ThingMissing",
    "Totals",
    "Words",
    "differences_of_rehearsal",
    "items_of_payout",
    "items_of_run",
    "parse_request",
    "read_facet",
    "read_page",
    "read_request",
    "read_text",
    "read_totals",
    "stream_rows",
    "totals_of",
    "write_text",
]
