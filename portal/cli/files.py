"""Commands that import invoices, payers and mandates from files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portal.cli import EXIT_CODES_HELP, FINDINGS, is_quiet
from portal.cli.context import with_app
from portal.paths import MAPPING_SAMPLES

if TYPE_CHECKING:
    from portal.services.files import FileKind, ImportReport, Told


@click.group("import", epilog=EXIT_CODES_HELP)
def import_() -> None:
    """Read invoices, payers or mandates from a CSV file, plain or packed with gzip.

    A mapping says what the columns mean; encoding and delimiter are detected and reported. What
    cannot be taken is refused document by document, listed with line numbers and reasons, and
    gives exit code 1. A file is imported once; a killed import is taken up by the same command.
    """


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what the three commands have in common."""
    path = click.Path(path_type=Path)
    for decorate in reversed(
        (
            click.argument("file", type=path),
            click.option(
                "--organisation", "organisation_code", required=True, metavar="CODE",
                help="Whose file this is.",
            ),
            click.option(
                "--mapping", type=path, required=True, metavar="FILE.toml",
                help="What the columns mean: a file, or the name of a sample.",
            ),
            click.option(
                "--result", "result_path", type=path, metavar="FILE.csv",
                help="Where refused documents are listed; beside the file when not given.",
            ),
            click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing."),
            click.option("--json", "as_json", is_flag=True, help="Write one JSON object."),
            click.pass_context,
            with_app,
        )
    ):  # fmt: skip
        command = decorate(command)
    return command


@import_.command()
@_options
def invoices(ctx: click.Context, **options: Any) -> None:
    """Import invoices and credit notes as drafts."""
    _run(ctx, "invoices", **options)


@import_.command()
@_options
def payers(ctx: click.Context, **options: Any) -> None:
    """Import payers."""
    _run(ctx, "payers", **options)


@import_.command()
@_options
def mandates(ctx: click.Context, **options: Any) -> None:
    """Import mandates of payers that are known."""
    _run(ctx, "mandates", **options)


def _run(
    ctx: click.Context,
    kind: FileKind,
    *,
    file: Path,
    organisation_code: str,
    mapping: Path,
    result_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import one file and say what became of it."""
    from portal.clock import now_utc, today
    from portal.domain.users import Actor
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.files import import_file, load_mapping

    organisation = get_organisation_by_code(organisation_code)
    checked = load_mapping(find_mapping(mapping), kind=kind)
    # A dry run writes nothing at all, unless it is told where.
    if result_path is None and not dry_run:
        result_path = file.with_name(f"{file.name.split('.')[0] or 'import'}.refused.csv")
    with _progress(silent=as_json or is_quiet()) as told:
        report = import_file(
            path=file,
            mapping=checked,
            organisation=organisation,
            actor=Actor("person", None, "command line"),
            now=now_utc(),
            business_on=today(organisation.zone),
            result_path=result_path,
            is_rehearsal=dry_run,
            told=told,
        )
    if as_json:
        click.echo(json.dumps(report.shown(), ensure_ascii=False, indent=1))
    elif not is_quiet():
        click.echo(_sentences(report))
    ctx.exit(FINDINGS if report.refused_count else 0)


def find_mapping(mapping: Path) -> Path:
    """Return a mapping's path: the file itself, or the sample of that name."""
    sample = MAPPING_SAMPLES / f"{mapping.stem}.toml"
    is_name = mapping.parent == Path() and not mapping.exists()
    return sample if is_name and sample.is_file() else mapping


@contextmanager
def _progress(*, silent: bool) -> Iterator[Told]:
    """Show how far the import is, on a terminal only."""
    if silent or not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("inspecting", total=None)

        def told(what: str, done: int, of_all: int) -> None:
            shown.update(task, description=what, completed=done, total=of_all)

        yield told


def _sentences(report: ImportReport) -> str:
    """Write a report for people."""
    detected = report.detected
    packed = ", packed with gzip" if detected["packing"] == "gzip" else ""
    would = "would be " if report.is_rehearsal else ""
    taken = ", ".join(f"{count:,} {_words(kind, count)}" for kind, count in report.imported.items())
    found = f"{detected['encoding']}, {detected['delimiter']} between the columns{packed}"
    counted = f"{report.lines_count:,} lines in {report.documents_count:,} documents"
    lines = [
        f"{report.file}: {found}; {counted}.",
        f"{taken or 'Nothing'} {would}imported; {report.refused_count:,} {would}refused.",
    ]
    if report.is_resumed:
        lines.append(
            f"An earlier import of this file was taken up; {report.already_count:,} documents were"
            " there already."
        )
    if report.payers_added:
        lines.append(f"{report.payers_added:,} payers were added.")
    lines += [
        f"  {count:,} refused: {code} – {report.examples[code]}"
        for code, count in report.reasons.items()
    ]
    if report.amounts:
        money = report.amounts
        lines.append(
            f"Sums in {report.currency}: source {money['source']} = imported {money['imported']}"
            f" + refused {money['refused']}; booked {money['imported_rounded']}, rounding"
            f" {money['rounding_difference']}."
        )
    if report.is_rehearsal:
        lines.append("This was a dry run: nothing was written.")
    if report.result_path:
        lines.append(f"The refused documents are listed in {report.result_path}")
    return "\n".join(lines)


def _words(kind: str, count: int) -> str:
    return kind.replace("_", " ") + ("" if count == 1 else "s")
