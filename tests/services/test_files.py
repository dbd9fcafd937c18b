"""Importing files: what is taken, what is refused and why, and what a killed import leaves."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import AdminShutdown

from portal.db import acting_for, transaction
from portal.domain.errors import Conflict, Invalid
from portal.queries.files import find_file_by_hash, list_file_refusals, list_files
from portal.queries.organisations import get_organisation
from portal.queries.payers import find_default_payer, find_payer_by_ref, list_mandates
from portal.services.files import FileKind, ImportReport, _import, check_mapping, import_file
from portal.sql import execute, fetch, fetch_plain
from tests.factories import BUSINESS_ON, CLERK, NOW, make_payer

HEADER = "document,date,payer,item,description,quantity,unit_price\n"
MAPPING: dict[str, Any] = {
    "kind": "invoices",
    "columns": {
        "document": "document",
        "date": "date",
        "payer": "payer",
        "item": "item",
        "description": "description",
        "quantity": "quantity",
        "unit_price": "unit_price",
    },
    "documents": {"credit_note_prefixes": ["C"], "negative_documents": "refuse"},
    "payers": {"create": True, "strip_suffix": ".0", "default": "nobody"},
    "lines": {"revenue_code": "4000", "tax_code": "S"},
}

Import = Callable[..., ImportReport]


@pytest.fixture
def run(organisation: UUID, tmp_path: Path) -> Import:
    """Import a text as a file: `run("1,2026-03-01,p1,a,Thing,1,2.00")`."""

    def run(
        content: str | bytes,
        *,
        mapping: dict[str, Any] | None = None,
        name: str = "ledger.csv",
        kind: FileKind = "invoices",
        **over: Any,
    ) -> ImportReport:
        path = tmp_path / name
        body = HEADER + content + "\n" if isinstance(content, str) else content
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        definition = {"kind": kind, **(mapping or MAPPING)}
        with acting_for(organisation):
            wanted: dict[str, Any] = {
                "path": path,
                "mapping": check_mapping(definition, name="test.toml", kind=kind),
                "organisation": get_organisation(organisation),
                "actor": CLERK,
                "now": NOW,
                "business_on": BUSINESS_ON,
                "result_path": tmp_path / "result.csv",
            }
        return import_file(**{**wanted, **over})

    return run


@pytest.fixture
def rows(organisation: UUID) -> Callable[[str], list[Any]]:
    """Ask the database as the organisation."""

    def rows(statement: str) -> list[Any]:
        with acting_for(organisation):
            return fetch(statement)

    return rows


Rows = Callable[[str], list[Any]]


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """Copy the mapping with other keys in its sections."""
    return {**MAPPING, **{name: {**MAPPING.get(name, {}), **s} for name, s in sections.items()}}


def read_result(report: ImportReport) -> list[list[str]]:
    assert report.result_path is not None
    with Path(report.result_path).open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.reader(opened))


def count_everything(rows: Rows) -> int:
    tables = ("files", "invoices", "payers", "staged_lines", "file_refusals")
    return sum(rows(f"SELECT count(*) AS count FROM {table}")[0].count for table in tables)


def test_lines_of_a_document_need_not_stand_together(run: Import, rows: Rows) -> None:
    report = run(
        "1,2026-03-01,p1.0,a,Apples,2,1.25\n"
        "2,2026-03-02,p2.0,b,Bread,1,3.10\n"
        "1,2026-03-05,p1.0,c,,3,0.335"
    )
    assert report.imported == {"invoice": 2}
    first = rows("SELECT * FROM invoices WHERE external_ref = '1'")[0]
    # 2.50 and 1.005, each line rounded once, to the even neighbour as the harbour agreed.
    assert (first.net_minor, first.tax_minor, first.total_minor) == (350, 0, 350)
    assert (first.state, str(first.document_on)) == ("draft", "2026-03-01")
    lines = rows(
        "SELECT l.* FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id"
        " WHERE i.external_ref = '1' ORDER BY position"
    )
    assert [(x.position, x.description, x.net_minor, x.source_line) for x in lines] == [
        (1, "a Apples", 250, 2),
        (2, "c", 100, 4),
    ]
    assert rows("SELECT external_ref FROM payers ORDER BY 1")[0].external_ref == "p1"
    assert len(rows("SELECT FROM events WHERE kind = 'invoice.drafted'")) == 2
    assert len(rows("SELECT FROM events WHERE kind = 'file.imported'")) == 1
    assert rows("SELECT FROM staged_lines") == []


def test_a_cancellation_becomes_a_credit_note_with_positive_amounts(
    run: Import, rows: Rows
) -> None:
    report = run("C9,2026-03-01,p1,a,Apples,-2,1.25\nC9,2026-03-01,p1,b,Fee,1,0.50")
    assert report.imported == {"credit_note": 1}
    assert report.amounts["imported"] == "-2"
    note = rows("SELECT * FROM invoices")[0]
    assert (note.kind, note.net_minor) == ("credit_note", 200)
    lines = rows("SELECT * FROM invoice_lines ORDER BY position")
    assert [(int(x.quantity), x.net_minor) for x in lines] == [(2, 250), (-1, -50)]


def test_what_cannot_be_billed_is_refused_with_its_reason(run: Import, rows: Rows) -> None:
    report = run(
        "1,2026-03-01,p1,a,Zero,2,0\n"
        "2,2026-03-01,p1,a,Back,-2,1\n"
        "C3,2026-03-01,p1,a,Wrong sign,2,1\n"
        "4,2026-03-01,p1,a,Two payers,1,1\n"
        "4,2026-03-01,p2,a,Two payers,1,1\n"
        "5,2026-03-01,p1,a,Fine,1,1\n"
        "6,2026-12-01,p1,a,Future,1,1"
    )
    assert report.reasons == {
        "V111": 1,
        "credit_note_sign": 1,
        "negative_total": 1,
        "nothing_to_bill": 1,
        "payers_differ": 1,
    }
    assert report.imported == {"invoice": 1}
    assert report.amounts["source"] == "4"
    with acting_for(rows("SELECT id FROM organisations")[0].id):
        refusals = list_file_refusals(list_files()[0].id)
    assert [(x.document_ref, x.lines) for x in refusals] == [
        ("1", [2]), ("2", [3]), ("C3", [4]), ("4", [5, 6]), ("6", [8]),
    ]  # fmt: skip
    listed = read_result(report)
    assert listed[0] == ["document", "lines", "line_numbers", "amount", "reason", "message"]
    assert listed[4][:5] == ["4", "2", "5 6", "2", "payers_differ"]


@pytest.mark.parametrize(
    ("quantity", "price", "said"),
    [
        ("1_000", "1", "contains “_”"),
        ("１２", "1", "contains “１”"),
        ("NaN", "1", "contains “N”"),
        ("1e5", "1", "contains “e”"),
        (" 1", "1", "begins or ends with a blank"),
        ("", "1", "it is empty"),
        ("1", "0x10", "contains “x”"),
        ("1", "1.1234567", "more than 12 digits or 6 decimals"),
        ("1234567890123", "1", "more than 12 digits or 6 decimals"),
        ("999999999999", "999999999999", "larger than can be booked"),
        ("1", '"1,5"', "contains “,”"),
    ],
)
def test_a_number_is_read_strictly(
    run: Import, rows: Rows, quantity: str, price: str, said: str
) -> None:
    report = run(f"1,2026-03-01,p1,a,Thing,1,1\n2,2026-03-01,p1,a,Thing,{quantity},{price}")
    assert report.reasons == {"line_unreadable": 1}
    assert "Line 3: " in report.examples["line_unreadable"]
    assert said in report.examples["line_unreadable"]
    assert len(rows("SELECT FROM invoices")) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",2026-03-01,p1,a,Thing,1,1", "the document number is missing"),
        ("2,2026-02-30,p1,a,Thing,1,1", "no such day"),
        ("2,01/03/2026,p1,a,Thing,1,1", "write it as 2026-03-31"),
        ("2,2026-03-01,p1,,,1,1", "says nothing of what is billed"),
        ("2,2026-03-01,p1,a,\x1b[31m,1,1", "cannot be printed"),
        (f"{'9' * 101},2026-03-01,p1,a,Thing,1,1", "more than 100 characters"),
    ],
)
def test_a_line_that_cannot_be_read_refuses_its_document(run: Import, line: str, said: str) -> None:
    report = run(f"1,2026-03-01,p1,a,Thing,1,1\n{line}")
    assert report.refused_count == 1
    assert said in report.refusals[0]["message"]
    assert "Line 3" in report.refusals[0]["message"]


def test_numbers_are_read_as_the_mapping_writes_them(run: Import, rows: Rows) -> None:
    mapping = {**changed(), "format": {"decimal": ",", "group": ".", "date": "%d.%m.%Y"}}
    body = HEADER.replace(",", ";") + "1;31.03.2025;p1;a;Größe;2;1.234,50\n"
    report = run(body.encode("cp1252"), mapping=mapping)
    assert report.detected["encoding"] == "windows-1252"
    assert report.detected["delimiter"] == "semicolon"
    assert rows("SELECT net_minor FROM invoices")[0].net_minor == 246900
    assert rows("SELECT description FROM invoice_lines")[0].description == "a Größe"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_found_out(run: Import, rows: Rows, encoding: str) -> None:
    run((HEADER + "1,2026-03-01,p1,a,Tōkyō £,1,1\n").encode(encoding))
    assert rows("SELECT description FROM invoice_lines")[0].description == "a Tōkyō £"


def test_signs_that_copy_treats_specially_arrive_unchanged(run: Import, rows: Rows) -> None:
    awkward = 'tab\there \\N {a,"b"} \\t NULL\nsecond line'
    quoted = awkward.replace('"', '""')
    run(f'1\\,2026-03-01,"p\\1",a,"{quoted}",1,1\n"2",2026-03-01,p,b,NULL,1,1')
    assert rows("SELECT description FROM invoice_lines ORDER BY source_line")[0].description == (
        f"a {awkward}"
    )
    assert [x.external_ref for x in rows("SELECT external_ref FROM invoices ORDER BY 1")] == [
        "1\\",
        "2",
    ]
    assert rows("SELECT source_line FROM invoice_lines WHERE description = 'b NULL'")[0][0] == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (HEADER.encode(), "a header and no lines"),
        (b"PK\x03\x04rest", "ZIP archive or a workbook"),
        (b"%PDF-1.7", "PDF"),
        (b"a,b\0c\n1,2\n", "NUL bytes"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (gzip.compress(b"x" * 100_000)[:-20], "damaged or ends too early"),
        (HEADER.replace("payer", "date").encode(), "names the column “date” twice"),
        (HEADER.replace("quantity", "Qantity").encode() + b"1\n", "did you mean “Qantity”?"),
        (HEADER.encode() + b"1,2026-03-01,p1,a,Thing,1\n", "line 2 has 6 values"),
        (HEADER.encode() + b"1,2026-03-01,p1,a,Thing,1,1,\n", "line 2 has 8 values"),
        (
            HEADER.encode() + b'1,2026-03-01,p1,a,"Thing,1,1\n2,2026-03-01,p1,a,x,1,1\n',
            "opened on line 2 is never closed",
        ),
        (HEADER.encode() + b"x" * 1_100_000, "line 2 has more than 1,000,000 characters"),
        (HEADER.encode() + b'1,2026-03-01,p1,a,"T"x,1,1\n', "record on line 2"),
        (b"\xff\xfea\0,\0\0\0\n\0", "NUL"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence_and_nothing_changes(
    run: Import, rows: Rows, tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        run(content)
    assert said in refused.value.message
    assert refused.value.message.endswith("Nothing was changed.")
    assert count_everything(rows) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.csv"]


def test_a_long_line_is_refused_without_reading_it_into_memory(run: Import, tmp_path: Path) -> None:
    path = tmp_path / "long.csv.gz"
    with gzip.open(path, "wb") as packed:
        packed.write(HEADER.encode())
        for _ in range(50):
            packed.write(b"x" * 10_000_000)
    with pytest.raises(Invalid, match="more than 1,000,000 characters"):
        run(b"", path=path)


def test_a_folder_or_a_missing_file_is_no_file(run: Import, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not a regular file"):
        run("", path=tmp_path)
    with pytest.raises(Invalid, match="no such file"):
        run("", path=tmp_path / "missing.csv")
    with pytest.raises(Invalid, match="--result"):
        run("1,2026-03-01,p1,a,x,1,1", result_path=tmp_path / "missing" / "result.csv")


def test_the_same_content_is_imported_once(run: Import, rows: Rows) -> None:
    line = "1,2026-03-01,p1,a,Thing,1,1"
    run(line)
    with pytest.raises(Conflict, match=r"imported before, as ledger\.csv on 2026-03-18"):
        run(line, name="again.csv")
    packed = gzip.compress((HEADER + line + "\n").encode())
    with pytest.raises(Conflict):
        run(packed, name="packed.csv.gz")
    assert len(rows("SELECT FROM invoices")) == 1


def test_a_document_that_is_there_already_is_refused_by_its_number(run: Import, rows: Rows) -> None:
    run("1,2026-03-01,p1,a,Thing,1,1")
    report = run("1,2026-03-01,p1,a,Thing,1,5\n2,2026-03-01,p1,a,Thing,1,1", name="more.csv")
    assert report.reasons == {"already_here": 1}
    assert "document 1 was imported before" in report.examples["already_here"]
    assert [x.net_minor for x in rows("SELECT net_minor FROM invoices ORDER BY 1")] == [100, 100]


def test_two_documents_of_a_file_cannot_share_a_reference(run: Import, rows: Rows) -> None:
    mapping = {**changed(), "columns": {**MAPPING["columns"], "reference": "item"}}
    report = run("1,2026-03-01,p1,R1,Thing,1,1\n2,2026-03-01,p1,R1,Thing,1,1", mapping=mapping)
    assert report.reasons == {"twice_in_file": 1}
    assert [x.external_ref for x in rows("SELECT external_ref FROM invoices")] == ["R1"]


def test_a_file_of_which_nothing_was_taken_may_come_again(run: Import, rows: Rows) -> None:
    line = "1,2026-03-01,p1,a,Thing,-1,1"
    assert run(line).reasons == {"negative_total": 1}
    report = run(line, mapping=changed(documents={"negative_documents": "credit_note"}))
    assert report.imported == {"credit_note": 1}
    states = rows("SELECT state FROM files ORDER BY id")
    assert [x.state for x in states] == ["failed", "completed"]


def test_documents_without_a_payer_go_to_the_default_payer(run: Import, organisation: UUID) -> None:
    report = run("1,2026-03-01,,a,Thing,1,1")
    assert report.payers_added == 1
    with acting_for(organisation):
        default = find_default_payer()
        assert default is not None
        assert default.external_ref == "nobody"


def test_an_unknown_payer_is_refused_where_payers_are_not_created(run: Import, rows: Rows) -> None:
    mapping = changed(payers={"create": False})
    report = run("1,2026-03-01,p1,a,Thing,1,1\n2,2026-03-01,,a,Thing,1,1", mapping=mapping)
    assert report.reasons == {"payer_missing": 1, "payer_unknown": 1}
    assert rows("SELECT FROM payers") == []


def test_a_rehearsal_says_the_same_and_writes_nothing(
    run: Import, rows: Rows, tmp_path: Path
) -> None:
    lines = "1,2026-03-01,p1,a,Thing,1,1\n2,2026-03-01,p1,a,Thing,0,1"
    rehearsed = run(lines, is_rehearsal=True, result_path=None)
    assert count_everything(rows) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]
    done = run(lines)
    assert rehearsed.amounts == done.amounts
    assert (rehearsed.imported, rehearsed.reasons) == (done.imported, done.reasons)


def test_a_killed_import_leaves_whole_documents_and_is_taken_up(
    run: Import, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join(
        f"{n},2026-03-01,p{n % 3},a,Thing,{line},1.5" for n in range(1, 8) for line in (1, 2)
    )
    monkeypatch.setattr(_import, "CHUNK_DOCUMENTS", 3)

    def killed(what: str, done: int, _all: int) -> None:
        if (what, done) == ("writing", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lines, told=killed)
    assert len(rows("SELECT FROM invoices")) == 3
    assert rows("SELECT state FROM files")[0].state == "staged"
    report = run(lines)
    assert report.is_resumed
    assert (report.imported, report.already_count) == ({"invoice": 7}, 3)
    assert report.amounts["imported"] == report.amounts["imported_rounded"] == "31.5"
    totals = rows(
        "SELECT count(DISTINCT i.id) AS documents, sum(l.net_minor) AS net FROM invoices i"
        " JOIN invoice_lines l ON l.invoice_id = i.id"
    )[0]
    assert (totals.documents, totals.net) == (7, 3150)
    assert rows("SELECT state, imported_count FROM files") == [("completed", 7)]


def test_lines_lost_in_a_crash_of_the_database_are_staged_again(
    run: Import, rows: Rows, organisation: UUID
) -> None:
    def killed(what: str, _done: int, _all: int) -> None:
        if what == "writing":
            raise AdminShutdown

    lines = "1,2026-03-01,p1,a,Thing,1,1\n2,2026-03-01,p1,a,Thing,0,1"
    with pytest.raises(AdminShutdown):
        run(lines, told=killed)
    with transaction(organisation):
        execute("DELETE FROM staged_lines")
    report = run(lines)
    assert (report.imported, report.already_count) == ({"invoice": 1}, 1)
    assert report.lines_count == 2


def test_two_imports_of_one_content_cannot_run_at_once(run: Import) -> None:
    line = "1,2026-03-01,p1,a,Thing,1,1"

    def second(what: str, _done: int, _all: int) -> None:
        if what == "writing":
            with pytest.raises(Conflict, match="being imported by another command"):
                run(line)

    assert run(line, told=second).imported == {"invoice": 1}


def test_a_spreadsheet_cannot_be_made_to_run_a_refused_number(run: Import) -> None:
    report = run("=1+1,2026-03-01,p1,a,Thing,0,1")
    assert read_result(report)[1][0] == "'=1+1"


PAYERS: dict[str, Any] = {
    "columns": {"reference": "ref", "name": "name", "kind": "kind", "country": "land"},
    "countries": {"EIRE": "IE"},
}


def test_payers_are_imported_with_a_key_to_sort_by(run: Import, organisation: UUID) -> None:
    body = (
        "ref,name,kind,land\n"
        "1,Éclair Ltd,company,France\n"
        "2,Town of X,public_body,EIRE\n"
        "3,Twice,person,GB\n"
        "3,Twice,person,GB\n"
        "4,Odd,robot,GB\n"
        "5,,person,GB\n"
    )
    with acting_for(organisation):
        make_payer(external_ref="2")
    report = run(body.encode(), kind="payers", mapping=PAYERS, name="payers.csv")
    assert report.imported == {"payer": 1}
    assert report.reasons == {"already_here": 1, "line_unreadable": 2, "twice_in_file": 1}
    with acting_for(organisation):
        payer = find_payer_by_ref("1")
        assert payer is not None
        assert (payer.name, payer.country) == ("Éclair Ltd", "FR")
        assert fetch_plain("SELECT name_sort FROM payers WHERE external_ref = '1'") == [
            ("eclair ltd",)
        ]


def test_mandates_belong_to_known_payers_one_active_each(run: Import, organisation: UUID) -> None:
    with acting_for(organisation):
        payer = make_payer(external_ref="p1")
        make_payer(external_ref="nobody", is_default=True)
    body = (
        "reference,payer,token,signed_on\n"
        "M1,p1,tok_1,2026-01-15\n"
        "M2,p1,tok_2,2026-01-15\n"
        "M3,p9,tok_3,2026-01-15\n"
        "M4,nobody,tok_4,2026-01-15\n"
        "M5,p1,,2026-01-15\n"
        "M6,p1,tok_6,soon\n"
    )
    columns = {name: name for name in ("reference", "payer", "token", "signed_on")}
    report = run(body.encode(), kind="mandates", mapping={"columns": columns}, name="m.csv")
    assert report.imported == {"mandate": 1}
    assert report.reasons == {
        "line_unreadable": 2,
        "payer_is_default": 1,
        "payer_unknown": 1,
        "second_active": 1,
    }
    with acting_for(organisation):
        assert [m.reference for m in list_mandates(payer.id)] == ["M1"]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"kind": "payers"}, "its kind is “payers”"),
        ({"colums": {}}, "unknown key “colums”; did you mean “columns”?"),
        ({"format": {"decimals": "."}}, "“decimals” in [format]; did you mean “decimal”?"),
        ({"format": {"decimal": ";"}}, "must be one of “.”, “,”"),
        ({"format": {"decimal": ",", "group": ","}}, "impossible marks"),
        ({"format": {"date": "%Y"}}, "must name one year, month and day"),
        ({"format": {"date_has_time": 1}}, "must be true or false"),
        ({"columns": {"document": "a"}}, "which column holds “unit_price”"),
        ({"documents": {"currency": "XXX"}}, "not a currency"),
        ({"lines": {"revenue_code": "x"}}, "what the tax_code is"),
        ({"payers": {"name": "{payer}"}}, "no other braces"),
        ({"special": [{"column": "a"}]}, "needs a “column” and its “values”"),
        ({"special": {"column": "a"}}, "list of tables"),
    ],
)
def test_a_wrong_mapping_is_refused_with_what_was_meant(
    definition: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_mapping({**MAPPING, **definition}, name="test.toml", kind="invoices")
    assert said in refused.value.message


def test_the_file_of_a_finished_import_can_be_found(run: Import, organisation: UUID) -> None:
    run("1,2026-03-01,p1,a,Thing,1,1")
    with acting_for(organisation):
        found = list_files()[0]
        assert find_file_by_hash("invoices", found.content_hash) == found
        assert (found.state, found.lines_count, found.documents_count) == ("completed", 1, 1)
