"""`portal rules rehearse`: what a version would change on many documents."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from portal.cli import FINDINGS, is_quiet
from portal.cli.batches import watch_run
from portal.cli.context import with_app
from portal.cli.operators import find_starter, starter_option
from portal.domain.money import format_amount

if TYPE_CHECKING:
    from uuid import UUID

BOOKED = "booked"


@click.command()
@click.argument("version", type=int)
@click.option("--organisation", required=True, help="Code of the organisation.")
@click.option("--from", "from_on", type=click.DateTime(["%Y-%m-%d"]), help="First day of issue.")
@click.option("--to", "to_on", type=click.DateTime(["%Y-%m-%d"]), help="Last day of issue.")
@click.option("--drafts", is_flag=True, help="The drafts of today.")
@click.option("--currency", help="Only documents of one currency.")
@click.option("--against", help="A version, or `booked`; else the version in force.")
@click.option("--wait", is_flag=True, help="Wait for the end; 1 when it did not complete.")
@starter_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def rehearse(context: click.Context, /, **asked: Any) -> None:
    """Say what VERSION would change on documents, as a run that changes none of them."""
    has_days = bool(asked["from_on"] or asked["to_on"])
    if has_days == asked["drafts"]:
        raise click.UsageError("say --from DAY --to DAY, or --drafts")
    against = asked["against"]
    if against not in (None, BOOKED) and not against.isdecimal():
        raise click.UsageError(f"--against is {BOOKED} or the number of a version")
    told = _rehearse(asked, is_quiet=is_quiet(context) or asked["as_json"])
    if asked["as_json"]:
        click.echo(json.dumps(told, indent=1))
    else:
        _show(told)
    if asked["wait"] and told["state"] != "completed":
        context.exit(FINDINGS)


@with_app
def _rehearse(asked: dict[str, Any], *, is_quiet: bool) -> dict[str, Any]:
    from portal.clock import now_utc, today
    from portal.db import acting_for
    from portal.queries.organisations import get_organisation_by_code
    from portal.queries.rulesets import find_rule_set_in_force
    from portal.services.rehearsals import RehearsalWish, start_rehearsal

    owner = get_organisation_by_code(asked["organisation"])
    on = today(owner.zone)
    with acting_for(owner.id):
        against = asked["against"]
        if against is None:
            in_force = find_rule_set_in_force(on)
            against = in_force.version if in_force else BOOKED
        wish = RehearsalWish(
            asked["version"],
            None if against == BOOKED else int(against),
            _day(asked["from_on"]),
            _day(asked["to_on"]),
            asked["currency"],
        )
        starter = find_starter(asked["email"], owner.id)
        run_id = start_rehearsal(wish=wish, on=on, actor=starter, now=now_utc())
        if asked["wait"]:
            watch_run(run_id, quiet=is_quiet)
        return _told(run_id)


def _day(moment: datetime | None) -> Any:
    return moment.date() if moment else None


def _told(run_id: UUID) -> dict[str, Any]:
    from portal.queries.rehearsals import (
        get_rehearsal,
        list_clause_effects,
        list_finding_counts,
        sum_rehearsal,
    )

    row = get_rehearsal(run_id)
    return {
        "run": row.number,
        "state": row.state.value,
        "version": row.version,
        "against": row.against if row.against is not None else BOOKED,
        "documents": row.items_count,
        "differing": row.differing_count,
        "sums": [
            {**one._asdict(), "difference_minor": one.difference_minor}
            for one in sum_rehearsal(run_id)
        ],
        "clauses": [one._asdict() for one in list_clause_effects(run_id)],
        "findings": [one._asdict() for one in list_finding_counts(run_id)],
    }


def _show(told: dict[str, Any]) -> None:
    click.echo(
        f"Run {told['run']} ({told['state']}): {told['differing']} of {told['documents']}"
        f" documents differ."
    )
    for one in told["sums"]:
        before, after = (
            format_amount(one[f"total_{side}_minor"], one["currency"])
            for side in ("before", "after")
        )
        name = one["payer_kind"] or f"all in {one['currency']}"
        click.echo(f"{one['differing_count']:>8} {name}: {before} before, {after} after")
    for one in told["clauses"]:
        amount = format_amount(one["difference_minor"], one["currency"])
        click.echo(f"{one['documents_count']:>8} by {one['clause']}: {amount} {one['currency']}")
    for one in told["findings"]:
        appear, vanish = one["appeared_count"], one["vanished_count"]
        click.echo(f"{one['after_count']:>8} found by {one['code']}: {appear} new, {vanish} gone")
