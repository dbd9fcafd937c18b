"""What an import comes to: counts, control totals, and the file of what was refused."""

import contextlib
import csv
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from portal.domain.errors import Invalid
from portal.domain.money import currency_exponent
from portal.services.files._stage import StagedDocument

REFUSALS_SHOWN_MAX: Final = 20
LINES_WRITTEN_MAX: Final = 200
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class ResultNotWritable(Invalid):
    """The list of refused documents cannot be written to {path}: {reason}. Nothing was changed;
    name another place with --result."""

    path: str
    reason: str


class Refusal(NamedTuple):
    """A document that is not imported, and why."""

    document: StagedDocument
    code: str
    message: str


class Totals:
    """Counts and exact sums, signed as in the source."""

    def __init__(self, currency: str) -> None:
        """Begin at zero."""
        self.exponent = currency_exponent(currency)
        self.documents: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.amounts = {"imported": Decimal(0), "refused": Decimal(0)}
        self.net_minor = 0
        self.already_count = 0
        self.payers_added = 0
        self.first_refusals: list[Refusal] = []

    def add_taken(self, document: StagedDocument, kind: str, *, already: bool) -> None:
        """Count a document that is imported, now or by an earlier try of the same file."""
        self.documents[kind] += 1
        self.lines["imported"] += document.lines_count
        self.amounts["imported"] += document.amount or 0
        self.net_minor += document.net_minor
        self.already_count += already

    def add_refused(self, refusal: Refusal) -> None:
        """Count a document that is refused."""
        self.documents["refused"] += 1
        self.lines["refused"] += refusal.document.lines_count
        self.amounts["refused"] += refusal.document.amount or 0
        self.reasons[refusal.code] += 1
        self.examples.setdefault(refusal.code, refusal.message)
        if len(self.first_refusals) < REFUSALS_SHOWN_MAX:
            self.first_refusals.append(refusal)

    @property
    def rounded(self) -> Decimal:
        """The sum of the imported documents as they will be booked."""
        return Decimal(self.net_minor).scaleb(-self.exponent)

    def amounts_shown(self) -> dict[str, str]:
        """Write the control totals: what was taken and what was refused make up the source."""
        taken, refused = self.amounts["imported"], self.amounts["refused"]
        shown = {
            "source": taken + refused,
            "imported": taken,
            "refused": refused,
            "imported_rounded": self.rounded,
            "rounding_difference": self.rounded - taken,
        }
        return {name: f"{_plain(amount):f}" for name, amount in shown.items()}


class ResultFile:
    """A CSV of refused documents, in place only once it is complete; none when nothing is refused.

    Raises: ResultNotWritable when opened.
    """

    def __init__(self, path: Path | None) -> None:
        """Open a file beside the final one; without a path nothing is written."""
        self.path = path
        self._opened: IO[str] | None = None
        self._count = 0
        if path is None:
            return
        self._part = path.with_name(f"{path.name}.part")
        try:
            if path.exists() and not path.is_file():
                raise IsADirectoryError(0, "it is no regular file")
            self._opened = self._part.open("w", encoding="utf-8-sig", newline="")
        except OSError as cause:
            reason = (cause.strerror or "no reason given").lower()
            raise ResultNotWritable(path=str(path), reason=reason) from cause
        self._writer = csv.writer(self._opened)
        self._writer.writerow(("document", "lines", "line_numbers", "amount", "reason", "message"))

    def add(self, refusals: Iterable[Refusal], lines: dict[str, list[int]]) -> None:
        """Write refused documents; text that a spreadsheet would run is made plain text."""
        if self._opened is None:
            return
        for document, code, message in refusals:
            numbers = lines.get(document.document_ref, [document.first_line])
            shown = " ".join(str(number) for number in numbers[:LINES_WRITTEN_MAX])
            more = " …" if len(numbers) > LINES_WRITTEN_MAX else ""
            amount = "" if document.amount is None else f"{_plain(document.amount):f}"
            self._writer.writerow(
                (
                    _harmless(document.document_ref),
                    document.lines_count,
                    shown + more,
                    amount,
                    code,
                    _harmless(message),
                )
            )
            self._count += 1

    def finish(self) -> Path | None:
        """Put the file in place and return where it is; None when there was nothing to write."""
        if self._opened is None or self.path is None:
            return None
        self._opened.close()
        self._opened = None
        if not self._count:
            self._part.unlink(missing_ok=True)
            return None
        self._part.replace(self.path)
        return self.path

    def discard(self) -> None:
        """Remove what was begun; harmless after `finish`."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)


class ImportReport(NamedTuple):
    """What an import did, from the database's and the file's own figures."""

    file: str
    kind: str
    organisation: str
    currency: str
    is_rehearsal: bool
    is_resumed: bool
    detected: dict[str, Any]
    lines_count: int
    documents_count: int
    imported: dict[str, int]
    refused_count: int
    reasons: dict[str, int]
    examples: dict[str, str]
    lines: dict[str, int]
    amounts: dict[str, str]
    payers_added: int
    already_count: int
    refusals: list[dict[str, Any]]
    result_path: str | None

    def shown(self) -> dict[str, Any]:
        """Write the report as one JSON object."""
        return self._asdict()


def shown_refusal(refusal: Refusal) -> dict[str, Any]:
    """Write one refusal for people and machines."""
    document, code, message = refusal
    return {
        "document": document.document_ref,
        "first_line": document.first_line,
        "lines": document.lines_count,
        "reason": code,
        "message": message,
    }


def _plain(amount: Decimal) -> Decimal:
    """Drop the zeros that an exact product carries along, but keep whole numbers whole."""
    short = amount.normalize()
    _, _, exponent = short.as_tuple()
    return short if isinstance(exponent, int) and exponent < 0 else amount.quantize(Decimal(1))


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
