"""Files as they come: opened, unpacked, hashed, their encoding and delimiter found out.

Nothing here knows what a column means; memory stays constant whatever the size of the file.
"""

import csv
import gzip
import hashlib
import io
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from portal.domain.errors import Invalid
from portal.services.files._mapping import ImportMapping, nearest

BLOCK_BYTES: Final = 1 << 18
# A longer line is no line of a table: the file has other line ends, or it is no text.
LINE_CHARACTERS_MAX: Final = 1_000_000
# Unpacked; protects the disk of the database from a small archive that unpacks without end.
CONTENT_BYTES_MAX: Final = 8 << 30
DELIMITERS: Final = (",", ";", "\t", "|")
HEADER_COLUMNS_MAX: Final = 500

_FOREIGN = {
    b"PK\x03\x04": "it is a ZIP archive or a workbook; save it as CSV first",
    b"\xd0\xcf\x11\xe0": "it is an old workbook; save it as CSV first",
    b"%PDF": "it is a PDF; save the table as CSV first",
    b"\xfd7zXZ": "it is packed with xz; unpack it, or pack it with gzip",
    b"BZh": "it is packed with bzip2; unpack it, or pack it with gzip",
}


class FileNotImportable(Invalid):
    """The file {file} cannot be imported: {reason}. Nothing was changed."""

    file: str
    reason: str


class SourceFile(NamedTuple):
    """What was found out about a file before a line of it is used."""

    path: Path
    is_packed: bool
    size_bytes: int
    content_hash: str
    encoding: str
    delimiter: str
    header: tuple[str, ...]

    @property
    def detected(self) -> dict[str, Any]:
        """What is told about the file and kept with it."""
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
        return {
            "packing": "gzip" if self.is_packed else "none",
            "encoding": self.encoding,
            "delimiter": names[self.delimiter],
            "columns": list(self.header),
        }


def inspect_file(path: Path, mapping: ImportMapping) -> SourceFile:
    """Read a file once to know its hash, encoding, delimiter and header.

    Raises: FileNotImportable.
    """
    file = path.name
    with saying_what_is_wrong(file):
        if not path.exists():
            raise ValueError("there is no such file")
        if not path.is_file():
            raise ValueError("it is not a regular file")
        with path.open("rb") as opened:
            magic = opened.read(8)
        is_packed = magic.startswith(b"\x1f\x8b")
        size_bytes, content_hash, encoding = _scan(path, mapping.encoding, is_packed=is_packed)
        with open_text(path, encoding, is_packed=is_packed) as text:
            sample = text.read(1 << 16)
        delimiter = mapping.delimiter or _guess_delimiter(sample, mapping)
        source = SourceFile(path, is_packed, size_bytes, content_hash, encoding, delimiter, ())
        header = next((record for _, record in read_records(source)), None)
        if header is None:
            raise ValueError("it is empty")
        names = tuple(name.strip() for name in header)
        _check_header(names, mapping)
    return source._replace(header=names)


@contextmanager
def open_text(
    path: Path, encoding: str, *, is_packed: bool, hashed: Any | None = None
) -> Iterator[io.TextIOWrapper]:
    """Open a file as unpacked text; a byte order mark is left out."""
    codec = "cp1252" if encoding == "windows-1252" else encoding
    with path.open("rb") as raw:
        unpacked: IO[bytes] = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if is_packed else raw
        reader = _HashingReader(unpacked, hashed)
        buffered = io.BufferedReader(reader, BLOCK_BYTES)
        # Line ends inside quotes belong to the value, so they are not translated.
        yield io.TextIOWrapper(buffered, encoding=codec, errors="strict", newline="")


def read_records(
    source: SourceFile, *, told: Callable[[int], None] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a file with the line each one begins on, blank ones left out.

    Shape: the header first. `told` hears now and then how many bytes have been read.
    Raises: ValueError, with a reason for people, when the file is no proper CSV or has changed.
    """
    hashed = hashlib.sha256() if told else None
    with open_text(source.path, source.encoding, is_packed=source.is_packed, hashed=hashed) as text:
        lines = _limited_lines(text)
        reader = csv.reader(lines, delimiter=source.delimiter, strict=True)
        first_line = 1
        try:
            for record in reader:
                if any(record):
                    yield first_line, record
                first_line = reader.line_num + 1
                if told and first_line % 2000 == 0:
                    told(_HashingReader.of(text).bytes_count)
        except csv.Error as cause:
            raise ValueError(_csv_reason(str(cause), first_line)) from cause
        if hashed and source.content_hash and hashed.hexdigest() != source.content_hash:
            raise ValueError("it changed while it was read; import it again once it is complete")


class _HashingReader(io.RawIOBase):
    """Bytes that are hashed and counted as they pass."""

    def __init__(self, source: IO[bytes], hashed: Any | None) -> None:
        self._source = source
        self._hashed = hashed
        self.bytes_count = 0

    @staticmethod
    def of(text: io.TextIOWrapper) -> "_HashingReader":
        """Return the reader at the bottom of a text stream."""
        return cast("_HashingReader", cast("io.BufferedReader", text.buffer).raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._source.read(len(buffer))
        buffer[: len(block)] = block
        self.bytes_count += len(block)
        if self._hashed is not None:
            self._hashed.update(block)
        return len(block)


@contextmanager
def saying_what_is_wrong(file: str) -> Iterator[None]:
    """Turn whatever is wrong with a file into one sentence."""
    try:
        yield
    except OSError as cause:
        reason = "it is no proper gzip file" if isinstance(cause, gzip.BadGzipFile) else (
            f"it cannot be read ({(cause.strerror or str(cause)).lower()})"
        )  # fmt: skip
        raise FileNotImportable(file=file, reason=reason) from cause
    except (EOFError, zlib.error) as cause:
        reason = "its gzip packing is damaged or ends too early"
        raise FileNotImportable(file=file, reason=reason) from cause
    except UnicodeError as cause:
        reason = "it holds bytes that are not in the encoding of the mapping"
        raise FileNotImportable(file=file, reason=reason) from cause
    except ValueError as cause:
        raise FileNotImportable(file=file, reason=str(cause)) from cause


def _limited_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines, none longer than a line can be."""
    number = 0
    while line := text.readline(LINE_CHARACTERS_MAX):
        number += 1
        if number == 1:
            line = line.removeprefix("\ufeff")
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL character, so it is not a text file")
        if len(line) >= LINE_CHARACTERS_MAX:
            raise ValueError(f"line {number} has more than {LINE_CHARACTERS_MAX:,} characters")
        yield line


def _scan(path: Path, said_encoding: str | None, *, is_packed: bool) -> tuple[int, str, str]:
    """Read all bytes once: how many, their hash, and the encoding they can be in."""
    hashed = hashlib.sha256()
    size_bytes = 0
    encoding = said_encoding
    utf8 = getincrementaldecoder("utf-8")()
    is_utf8, has_nul, seen_undefined = True, False, False
    with path.open("rb") as raw:
        unpacked: IO[bytes] = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if is_packed else raw
        while block := unpacked.read(BLOCK_BYTES):
            if not size_bytes:
                _refuse_foreign(block)
                encoding = said_encoding or _encoding_by_mark(block)
            size_bytes += len(block)
            if size_bytes > CONTENT_BYTES_MAX:
                raise ValueError(f"it has more than {CONTENT_BYTES_MAX >> 30} GiB; split it")
            hashed.update(block)
            has_nul = has_nul or b"\0" in block
            seen_undefined = seen_undefined or _has_undefined(block)
            if is_utf8:
                is_utf8 = _decodes(utf8, block)
    if not size_bytes:
        raise ValueError("it is empty")
    is_utf8 = is_utf8 and _decodes(utf8, b"", final=True)
    if has_nul and not (encoding or "").startswith("utf-16"):
        raise ValueError("it holds NUL bytes, so it is not a text file")
    found = encoding or ("utf-8" if is_utf8 else "latin-1" if seen_undefined else "windows-1252")
    return size_bytes, hashed.hexdigest(), found


def _refuse_foreign(block: bytes) -> None:
    for magic, reason in _FOREIGN.items():
        if block.startswith(magic):
            raise ValueError(reason)
    if block.startswith(b"\x1f\x8b"):
        raise ValueError("it is packed twice; unpack it once")


def _encoding_by_mark(block: bytes) -> str | None:
    """Tell the encoding by its byte order mark, or by where the NULs of UTF-16 are."""
    marks = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
    for mark, encoding in marks.items():
        if block.startswith(mark):
            return encoding
    even, odd = block[0:4000:2].count(0), block[1:4000:2].count(0)
    most = min(len(block), 4000) // 2 * 0.6
    if odd > most and not even:
        return "utf-16-le"
    return "utf-16-be" if even > most and not odd else None


def _has_undefined(block: bytes) -> bool:
    # The five bytes that Windows-1252 leaves undefined.
    return any(byte in block for byte in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))


def _decodes(decoder: Any, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _guess_delimiter(sample: str, mapping: ImportMapping) -> str:
    """Take the delimiter under which the header names most of the mapped columns."""
    first = sample.lstrip("\ufeff\r\n").splitlines()[:1]
    wanted = set(mapping.columns.values())

    def hits(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader(first, delimiter=delimiter), [])
        except csv.Error:
            names = []
        return len(wanted & {name.strip() for name in names}), len(names)

    return max(DELIMITERS, key=hits)


def _check_header(names: Sequence[str], mapping: ImportMapping) -> None:
    if len(names) > HEADER_COLUMNS_MAX:
        raise ValueError(f"its header has more than {HEADER_COLUMNS_MAX} columns")
    doubled = next((name for name in names if name and names.count(name) > 1), None)
    if doubled:
        raise ValueError(f"its header names the column “{doubled[:60]}” twice")
    wanted = [*mapping.columns.values(), *(each.column for each in mapping.special)]
    for column in wanted:
        if column not in names:
            shown = [name for name in names if name]
            hint = nearest(column, shown) or f"; it has {', '.join(shown[:12])[:300]}"
            raise ValueError(f"it has no column “{column}”, which {mapping.name} names{hint}")


def _csv_reason(said: str, first_line: int) -> str:
    if "field larger" in said or "unexpected end" in said:
        return f"a quote that is opened on line {first_line} is never closed"
    if "expected after" in said:
        return f"a quote in the record on line {first_line} ends in the middle of a value"
    return f"the record on line {first_line} is no proper CSV ({said})"
