"""`portal rules`: look at agreements, compare, check and try them, carry them in and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portal.cli import FINDINGS
from portal.cli.context import with_app
from portal.cli.rehearsals import rehearse
from portal.domain.errors import Invalid

if TYPE_CHECKING:
    from rules.types import InvoiceFacts

STAGES = (
    "import", "draft", "issue", "collect", "attempt_failed", "apply_deposit", "refund", "settle",
    "remind",
)  # fmt: skip


class RuleFileUnreadable(Invalid):
    """The file “{file}” cannot be read: {reason}. Nothing was done; name a rule set as TOML."""

    file: str
    reason: str


@click.group()
def rules() -> None:
    """Look at agreements, compare, check and try them, carry them in and out."""


rules.add_command(rehearse)


def _organisation_option(command: Any) -> Any:
    return click.option("--organisation", required=True, help="Code of the organisation.")(command)


@rules.command("list")
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def list_(*, organisation: str, as_json: bool) -> None:
    """List the versions with their states and the time each is in force."""
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.rulesets import list_rule_sets

    with acting_for(get_organisation_by_code(organisation).id):
        rows = list_rule_sets()
    told = [
        {
            "version": row.version,
            "state": row.state.value,
            "starts_on": row.starts_on.isoformat() if row.starts_on else None,
            "ends_on": row.ends_on.isoformat() if row.ends_on else None,
            "title": row.title,
            "requested_by": row.requested_by,
            "approved_by": row.approved_by,
        }
        for row in rows
    ]
    if as_json:
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for one in told:
        period = f"{one['starts_on'] or '–'} to {one['ends_on'] or '–'}"
        click.echo(f"{one['version']}  {one['state']}  {period}  {one['title']}")


@rules.command()
@click.argument("version", type=int)
@_organisation_option
@with_app
def show(*, version: int, organisation: str) -> None:
    """Show what a version says, one sentence for each clause."""
    row = _version(organisation, version)
    click.echo(f"{row.title}: version {version}, {row.state.label.lower()}")
    for sentence in _sentences(row.definition):
        click.echo(sentence)


@rules.command()
@click.argument("before", type=int)
@click.argument("after", type=int)
@_organisation_option
@with_app
def diff(*, before: int, after: int, organisation: str) -> None:
    """Say what is different in version AFTER."""
    from rules.differences import compare_definitions

    old, new = _version(organisation, before), _version(organisation, after)
    found = compare_definitions(old.definition, new.definition)
    for one in found:
        click.echo(f"{one.kind} {one.code} {one.title}".replace("  ", " "))
        for sentence in one.sentences:
            click.echo(f"  {sentence}")
    if not found:
        click.echo("Both say the same.")


@rules.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def check(context: click.Context, *, files: tuple[Path, ...]) -> None:
    """Check rule sets in FILES, without a database: 0 all is well, 1 findings, 2 unreadable."""
    from rules.compiling import RuleSetInvalid
    from rules.inheritance import BaseInvalid
    from rules.ruleset import compile_rule_set

    has_findings = False
    for file in files:
        try:
            compile_rule_set(_whole(file), holidays=frozenset())
        except RuleSetInvalid as invalid:
            has_findings = True
            for problem in invalid.problems:
                click.echo(f"{file}: {problem}")
        except BaseInvalid as invalid:
            has_findings = True
            click.echo(f"{file}: {invalid.reason}")
        else:
            click.echo(f"{file}: nothing is wrong with it.")
    if has_findings:
        context.exit(FINDINGS)


@rules.command("test")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--file", "file", type=click.Path(path_type=Path), help="A rule set as TOML.")
@click.option("--organisation", help="Code of the organisation, for one of its versions.")
@click.option("--version", type=int, help="Version of the organisation's rules.")
@click.option("--stage", type=click.Choice(STAGES), default="issue", show_default=True)
@click.option("--on", "on", type=click.DateTime(["%Y-%m-%d"]), help="Business date; today.")
@click.option("--calendar", default="ECB", show_default=True, help="Holidays, with --file.")
@click.pass_context
def try_(context: click.Context, /, document: Path, **asked: Any) -> None:
    """Say what rules make of DOCUMENT: a JSON file, or the number of an invoice. Writes nothing."""
    if (asked["file"] is None) == (asked["version"] is None or asked["organisation"] is None):
        raise click.UsageError("say --file FILE, or --organisation CODE and --version NUMBER")
    if asked["file"] is not None:
        trial = _try_file(document, asked)
    else:
        trial = _try_version(document, asked)
    click.echo(json.dumps(_told(trial), indent=1, ensure_ascii=False, default=str))
    if any(one.severity == "block" for one in trial.findings):
        context.exit(FINDINGS)


@rules.command()
@click.argument("version", type=int)
@_organisation_option
@with_app
def export(*, version: int, organisation: str) -> None:
    """Write a version as TOML."""
    from rules.definitions import dump_definition

    click.echo(dump_definition(_version(organisation, version).written), nl=False)


@rules.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_organisation_option
@with_app
def import_(*, file: Path, organisation: str) -> None:
    """Read FILE as a new draft, which two people then put in force."""
    from portal.clock import now_utc
    from portal.db import acting_for
    from portal.domain.users import Actor
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.rulesets import import_rule_set

    with acting_for(get_organisation_by_code(organisation).id):
        version = import_rule_set(
            text=_read(file), actor=Actor("operator", None, "command line"), now=now_utc()
        )
    click.echo(f"Version {version} is a draft; two people put it in force on its page.")


@rules.command()
@click.argument("document")
@_organisation_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@with_app
def why(*, document: str, organisation: str, as_json: bool) -> None:
    """Say why the rules decided what they did about DOCUMENT: a number, or the id of an invoice or
    payment."""
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.traces import list_traces

    with acting_for(get_organisation_by_code(organisation).id):
        subject = _subject(document)
        rows = list_traces(subject.id)
    told = [
        {
            "stage": row.stage,
            "version": row.rule_set_version,
            "on": row.decided_on.isoformat(),
            "recorded_at": row.recorded_at.isoformat(),
            "entries": [
                {"code": code, "place": place, "inputs": inputs, "result": result,
                 "sentence": words.sentence, "agreed": words.agreed}
                for (code, place, inputs, result), words in zip(
                    row.entries, row.explain(subject.currency), strict=True
                )
            ],
        }
        for row in rows
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row.decided_on}  {row.stage}  version {row.rule_set_version}")
        for words in row.explain(subject.currency):
            click.echo(f"  {words.sentence}")
    if not rows:
        click.echo("No decision of a rule is on record about it.")


@rules.command()
@click.argument("code", required=False)
def clauses(*, code: str | None) -> None:
    """List the clauses that agreements are made of, or show CODE with its parameters."""
    from rules import CATALOGUE

    if code is None:
        for one in CATALOGUE.values():
            click.echo(f"{one.code}  {', '.join(one.stages)}  {one.title}")
        return
    known = CATALOGUE.get(code.upper())
    if known is None:
        raise click.UsageError(f"there is no clause {code[:12]}; `portal rules clauses` lists them")
    click.echo(f"{known.code} {known.title}\n{known.sentence}\nStages: {', '.join(known.stages)}")
    for each in known.parameters:
        limits = f", {each.limits.least} to {each.limits.most}" if each.limits else ""
        choices = f", one of {', '.join(each.choices)}" if each.choices else ""
        default = "required" if each.is_required else f"else {each.say(each.default)}"
        click.echo(f"  {each.name}: {each.label}{limits}{choices}, {default}")
    for said in known.findings:
        click.echo(f"  says: {said}")


def _version(organisation: str, version: int) -> Any:
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.rulesets import get_rule_set

    with acting_for(get_organisation_by_code(organisation).id):
        return get_rule_set(version)


def _subject(document: str) -> Any:
    """Find what is asked about.

    Raises: InvoiceMissing; PaymentMissing.
    """
    from portal.ids import parse_public_id
    from portal.queries.invoices import InvoiceMissing, find_invoice_by_number, get_invoice
    from portal.queries.payments import get_payment

    payment_id = parse_public_id("payment", document)
    if payment_id is not None:
        return get_payment(payment_id)
    invoice_id = parse_public_id("invoice", document)
    found = get_invoice(invoice_id) if invoice_id else find_invoice_by_number(document.strip())
    if found is None:
        raise InvoiceMissing
    return found


def _sentences(definition: Mapping[str, Any]) -> list[str]:
    from rules.compiling import bind_clause

    told = []
    for entry in definition.get("clause", ()):
        bound, problems = bind_clause(entry)
        told.append(bound.explain() if bound else f"{entry.get('code')}: {problems[0].message}")
    return told


def _read(file: Path) -> str:
    """Read a text.

    Raises: RuleFileUnreadable.
    """
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or "it is not UTF-8 text"
        raise RuleFileUnreadable(file=str(file)[:80], reason=reason.lower()) from cause


def _whole(file: Path) -> dict[str, Any]:
    """Read a rule set with all of its base, which must be a sample.

    Raises: RuleFileUnreadable; DefinitionUnreadable; BaseInvalid.
    """
    from rules.definitions import list_samples, load_definition, load_sample
    from rules.inheritance import BaseInvalid, resolve_definition

    def find(name: str) -> Mapping[str, Any]:
        sample = load_sample(name)
        if sample is None:
            known = ", ".join(list_samples())
            raise BaseInvalid(base=name[:40], reason=f"without a database only {known} are known")
        return sample

    return resolve_definition(load_definition(_read(file)), find)


def _try_file(document: Path, asked: Mapping[str, Any]) -> Any:
    from portal.clock import today
    from portal.services.rulesets import try_definition
    from rules.types import Stage

    on = asked["on"].date() if asked["on"] else today("UTC")
    return try_definition(
        _whole(asked["file"]),
        stage=Stage(asked["stage"]),
        facts=_facts(document, on),
        calendar=asked["calendar"],
    )


@with_app
def _try_version(document: Path, asked: Mapping[str, Any]) -> Any:
    from portal.clock import today
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.services.rulesets import facts_of_document, try_rule_set
    from rules.types import Stage

    owner = get_organisation_by_code(asked["organisation"])
    on = asked["on"].date() if asked["on"] else today(owner.zone)
    with acting_for(owner.id):
        facts = (
            _facts(document, on)
            if document.is_file()
            else facts_of_document(reference=str(document), on=on)
        )
        return try_rule_set(version=asked["version"], stage=Stage(asked["stage"]), facts=facts)


def _facts(file: Path, on: Any) -> InvoiceFacts:
    """Read a document as JSON: `{currency, lines: [{net_minor, revenue_code, tax_code}], …}`.

    Raises: RuleFileUnreadable.
    """
    from rules.documents import DocumentUnreadable, read_document

    try:
        return read_document(json.loads(_read(file)), on=on)
    except (ValueError, RecursionError) as cause:
        raise RuleFileUnreadable(file=str(file)[:80], reason="it is not JSON") from cause
    except DocumentUnreadable as cause:
        raise RuleFileUnreadable(file=str(file)[:80], reason=cause.reason) from cause


def _told(trial: Any) -> dict[str, Any]:
    price = trial.price
    return {
        "stage": trial.stage.value,
        "findings": [{**each._asdict(), "agreed": trial.sentence_of(each.code)}
                     for each in trial.findings],
        "price": None if price is None else {
            "net_minor": price.net_minor, "tax_minor": price.tax_minor,
            "total_minor": price.total_minor, "due_on": price.due_on.isoformat(),
            "taxes": [each._asdict() for each in price.taxes],
        },
        "charges": [each._asdict() for each in trial.charges],
        "reminder_level": trial.reminder_level,
        "clauses": [f"{each.code}: {each.agreed}" for each in trial.said],
        "trace": [each.sentence for each in trial.said],
    }  # fmt: skip
