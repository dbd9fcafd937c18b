"""Lines of a file turned into staged lines: fields in a fixed order, or the reason against it.

The order of the fields is that of `_grouping` and of the writers of each kind.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from portal.domain.errors import Invalid
from portal.domain.money import check_currency
from portal.domain.payers import MandateState, PayerKind
from portal.services.files._mapping import ImportMapping, SpecialLines
from portal.services.files._source import SourceFile
from portal.services.files._values import (
    REMEMBERED_MAX,
    Malformed,
    day_reader,
    number_reader,
    read_country,
    read_email,
    read_reference,
    read_text,
    refuse,
)
from rules.ruleset import CompiledRuleSet

# COPY reads a backslash once, and the array inside it once more.
_ESCAPED_IN_ARRAY: Final = str.maketrans(
    {"\\": "\\\\\\\\", '"': '\\\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}
)
_SIGNS_ESCAPED: Final = frozenset('\\"\t\n\r')


class ReadLine(NamedTuple):
    """A line of a file: the document it belongs to and its fields, or why it cannot be read.

    Shape: the fields are elements of an array, written for COPY; parts that the lines of a ledger
    repeat are written once and remembered.
    """

    document_ref: str
    fields: str
    error: str | None


# What few files say of a document; the three texts come before the two days.
FURTHER: Final = (
    "buyer_reference",
    "cost_centre",
    "payment_reference",
    "period_from",
    "period_to",
)

LineReader = Callable[[Sequence[str]], ReadLine]
Take = Callable[[Sequence[str]], str]


def line_reader(
    source: SourceFile, mapping: ImportMapping, *, currency: str, rule_set: CompiledRuleSet
) -> LineReader:
    """Make the function that reads the lines of one file.

    Shape: the reference is empty when the line names no document.
    """
    if mapping.kind == "invoices":
        return _invoice_reader(source, mapping, currency, rule_set)
    if mapping.kind == "payers":
        return _payer_reader(source, mapping)
    return _mandate_reader(source, mapping, currency)


def quoted(*fields: str | None) -> str:
    """Write fields as elements of an array for COPY."""
    return ",".join(
        "NULL" if field is None
        else f'"{field}"' if _SIGNS_ESCAPED.isdisjoint(field)
        else f'"{field.translate(_ESCAPED_IN_ARRAY)}"'
        for field in fields
    )  # fmt: skip


def net_reader(mapping: ImportMapping, rule_set: CompiledRuleSet) -> Callable[[str, str, str], str]:
    """Make the function that turns quantity, price and currency into numbers and a net amount.

    Shape: as fields: quantity and price in plain digits, the amount in whole minor units, rounded
    as agreed.
    """
    read_number = number_reader(mapping)

    @lru_cache(maxsize=REMEMBERED_MAX)
    def read(quantity_text: str, price_text: str, currency: str) -> str:
        quantity = read_number(quantity_text, "quantity")
        price = read_number(price_text, "unit price")
        try:
            net_minor = rule_set.line_net_minor(Decimal(quantity), Decimal(price), currency)
        except Invalid as cause:
            raise Malformed("the amount is larger than can be booked") from cause
        return f"{quantity},{price},{net_minor}"

    return read


def _take(source: SourceFile, mapping: ImportMapping, name: str) -> Take | None:
    """Make the function that takes a mapped column from a record; None when it is not mapped."""
    header = mapping.columns.get(name)
    if header is None:
        return None
    index = source.header.index(header)
    return lambda record: record[index]


def _always(value: str) -> Take:
    return lambda _record: value


def _code_reader(source: SourceFile, mapping: ImportMapping) -> Take:
    """Make the function that finds the revenue and tax code of a record, as fields."""
    take_revenue = _take(source, mapping, "revenue_code")
    take_tax = _take(source, mapping, "tax_code")
    revenue_code, tax_code = mapping.revenue_code or "", mapping.tax_code or ""
    special: dict[tuple[int, str], SpecialLines] = {}
    for entry in reversed(mapping.special):
        index = source.header.index(entry.column)
        special |= {(index, value): entry for value in entry.values}
    indexes = sorted({index for index, _ in special})

    @lru_cache(maxsize=REMEMBERED_MAX)
    def write(revenue: str, tax: str) -> str:
        if not revenue or not tax:
            refuse("the line has no revenue code or no tax code")
        return quoted(revenue, tax)

    def read(record: Sequence[str]) -> str:
        revenue = take_revenue(record) if take_revenue else ""
        revenue = read_reference(revenue, "revenue code") or revenue_code
        tax = take_tax(record) if take_tax else ""
        tax = read_reference(tax, "tax code") or tax_code
        for index in indexes:
            entry = special.get((index, record[index].strip()))
            if entry is not None:
                return write(entry.revenue_code or revenue, entry.tax_code or tax)
        return write(revenue, tax)

    return read


def _description_reader(source: SourceFile, mapping: ImportMapping) -> Take:
    """Make the function that writes the description: the item, then what is said about it."""
    take_item = _take(source, mapping, "item") or _always("")
    take_text = _take(source, mapping, "description") or _always("")

    @lru_cache(maxsize=REMEMBERED_MAX)
    def write(item: str, text: str) -> str:
        description = read_text(f"{item.strip()} {text.strip()}", "description")
        if not description:
            refuse("the line says nothing of what is billed")
        return quoted(description)

    return lambda record: write(take_item(record), take_text(record))


def _head_reader(
    source: SourceFile, mapping: ImportMapping, currency: str
) -> Callable[[Sequence[str]], tuple[str, str, str]]:
    """Make the function that reads what the lines of one document repeat.

    Shape: the currency, then the fields before the numbers and those after them; those that few
    files have stand last of all, see `_further_reader`.
    """
    names = (
        "payer", "date", "currency", "reference", "purchase_order", "due_on", "country",
        "payer_name",
    )  # fmt: skip
    headers = [mapping.columns.get(name) for name in names]
    # One blank value stands behind each record, for the columns that the file has not.
    indexes = [source.header.index(header) if header else -1 for header in headers]
    take = itemgetter(*indexes)
    read_day = day_reader(mapping)
    suffix = mapping.payer_strip_suffix

    @lru_cache(maxsize=REMEMBERED_MAX)
    def read(texts: tuple[str, ...]) -> tuple[str, str, str]:
        payer, day, money, reference, order, due, country, name = texts
        money = check_currency(money) if money else currency
        before = quoted(
            read_reference(payer.strip().removesuffix(suffix), "payer") or None,
            read_day(day, "date") if day else None,
            money,
        )
        after = quoted(
            read_reference(reference, "reference") or None,
            read_reference(order, "purchase order") or None,
            read_day(due, "due date") if due else None,
            read_reference(country, "country") or None,
            read_text(name, "name of the payer") or None,
        )
        return money, before, after

    return lambda record: read(take((*record, "")))


def _further_reader(source: SourceFile, mapping: ImportMapping) -> Take:
    """Make the function that reads references and the period, which end a line that has them.

    Shape: nothing at all when the mapping names no such column, so that lines stay short.
    """
    headers = [mapping.columns.get(name) for name in FURTHER]
    if not any(headers):
        return _always("")
    indexes = [source.header.index(header) if header else -1 for header in headers]
    take = itemgetter(*indexes)
    read_day = day_reader(mapping)

    @lru_cache(maxsize=REMEMBERED_MAX)
    def read(texts: tuple[str, ...]) -> str:
        pairs = list(zip(FURTHER, texts, strict=True))
        references = [read_reference(text, name.replace("_", " ")) for name, text in pairs[:3]]
        days = [
            read_day(text, name.replace("_", " ")) if text else None for name, text in pairs[3:]
        ]
        if days[0] and days[1] and days[1] < days[0]:
            refuse("the period ends before it begins")
        return "," + quoted(*(each or None for each in references), *days)

    return lambda record: read(take((*record, "")))


def _invoice_reader(
    source: SourceFile, mapping: ImportMapping, currency: str, rule_set: CompiledRuleSet
) -> LineReader:
    take_document = _take(source, mapping, "document") or _always("")
    take_quantity = _take(source, mapping, "quantity") or _always("1")
    take_price = _take(source, mapping, "unit_price") or _always("")
    read_head = _head_reader(source, mapping, currency)
    read_codes = _code_reader(source, mapping)
    read_description = _description_reader(source, mapping)
    read_net = net_reader(mapping, rule_set)
    read_further = _further_reader(source, mapping)

    def read(record: Sequence[str]) -> ReadLine:
        document_ref = ""
        try:
            document_ref = read_reference(take_document(record), "document number")
            money, before, after = read_head(record)
            numbers = read_net(take_quantity(record), take_price(record), money)
            codes = read_codes(record)
            description = read_description(record) + read_further(record)
        except Malformed as cause:
            return ReadLine(document_ref, "", str(cause))
        except Invalid as cause:
            return ReadLine(document_ref, "", cause.message.split(". ")[0])
        if not document_ref:
            return ReadLine("", "", "the document number is missing")
        return ReadLine(document_ref, f"{before},{numbers},{after},{codes},{description}", None)

    return read


def _payer_reader(source: SourceFile, mapping: ImportMapping) -> LineReader:
    def column(name: str) -> Take:
        return _take(source, mapping, name) or _always("")

    take_reference, take_name, take_kind = column("reference"), column("name"), column("kind")
    take_email, take_country = column("email"), column("country")
    take_vat = column("vat_number")
    kinds = {kind.value for kind in PayerKind}

    def read(record: Sequence[str]) -> ReadLine:
        document_ref = ""
        try:
            document_ref = read_reference(
                take_reference(record).removesuffix(mapping.payer_strip_suffix), "reference"
            )
            name = read_text(take_name(record), "name")
            kind = take_kind(record).strip() or mapping.payer_kind
            email = read_email(take_email(record))
            vat_id = read_reference(take_vat(record), "VAT number") or None
            if not name:
                refuse("the name is missing")
            if kind not in kinds:
                refuse(f"the kind “{kind[:40]}” is none of {', '.join(sorted(kinds))}")
        except Malformed as cause:
            return ReadLine(document_ref, "", str(cause))
        if not document_ref:
            return ReadLine("", "", "the reference is missing")
        country = read_country(take_country(record), mapping.countries)
        return ReadLine(
            document_ref, quoted(name, kind, email, None, None, None, None, country, vat_id), None
        )

    return read


def _mandate_reader(source: SourceFile, mapping: ImportMapping, currency: str) -> LineReader:
    def column(name: str) -> Take:
        return _take(source, mapping, name) or _always("")

    take_reference, take_payer, take_token = column("reference"), column("payer"), column("token")
    take_signed, take_state = column("signed_on"), column("state")
    take_currency = column("currency")
    read_day = day_reader(mapping)
    states = {state.value for state in MandateState}

    def read(record: Sequence[str]) -> ReadLine:
        document_ref = ""
        try:
            document_ref = read_reference(take_reference(record), "reference")
            payer = read_reference(
                take_payer(record).removesuffix(mapping.payer_strip_suffix), "payer"
            )
            token = read_reference(take_token(record), "token")
            signed = read_day(take_signed(record), "date of signature")
            state = take_state(record).strip() or mapping.mandate_state
            money = check_currency(take_currency(record).strip() or currency)
            if state not in states:
                refuse(f"the state “{state[:40]}” is none of {', '.join(sorted(states))}")
            if not payer or not token:
                refuse("the payer or the token is missing")
        except Malformed as cause:
            return ReadLine(document_ref, "", str(cause))
        except Invalid as cause:
            return ReadLine(document_ref, "", cause.message.split(". ")[0])
        if not document_ref:
            return ReadLine("", "", "the reference is missing")
        return ReadLine(
            document_ref,
            quoted(payer, token, money, None, None, None, None, signed, state),
            None,
        )

    return read
