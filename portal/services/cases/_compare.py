"""A gateway's own record against the attempts: each difference is a case.

The record is read by the caller, with no transaction open; here it is only compared.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from portal.db import transaction
from portal.domain.cases import DIFFERENCE_KINDS, CaseKind, CaseSubject
from portal.gateways.base import Effect
from portal.ids import parse_public_id
from portal.queries.checks import (
    Difference,
    DifferenceKind,
    OurAttempt,
    compare_with_gateway,
    list_our_attempts,
)
from portal.queries.organisations import FOR_PAYMENTS, list_organisations
from portal.services.cases._keeping import keep_cases
from portal.services.cases._watch import Watched
from portal.services.gateways import settings
from portal.sql import fetch, fetch_one

# What is open may have been mended meanwhile, so that is looked at again sooner.
OPEN_SECONDS = 3_600.0
# Clocks of several machines are never quite the same.
CLOCK_SECONDS = 60.0

_FOUND = (
    "SELECT d.subject_type, d.subject_id, d.subject_name, %(now)s, d.amount_minor,"
    " COALESCE(d.currency, %(currency)s), d.details FROM (SELECT DISTINCT ON (kind, subject_id) *"
    " FROM unnest(%(found_kinds)s::text[], %(types)s::text[], %(subjects)s::uuid[],"
    " %(names)s::text[], %(amounts)s::bigint[], %(currencies)s::text[], %(details)s::jsonb[])"
    " AS f (kind, subject_type, subject_id, subject_name, amount_minor, currency, details)"
    " ORDER BY kind, subject_id, details::text) AS d WHERE d.kind = '{kind}'"
)


class ComparedAccount(NamedTuple):
    """A gateway account whose own record is to be read."""

    organisation_id: UUID
    id: UUID
    code: str
    kind: str


class _Found(NamedTuple):
    kind: CaseKind
    subject: CaseSubject
    subject_id: UUID
    name: str
    amount_minor: int | None
    currency: str | None
    details: str


def claim_comparisons(*, now: datetime) -> list[ComparedAccount]:
    """Take the gateway accounts whose record was not compared for some time; each is taken once.

    Shape: sooner again while differences are open; a new account has its first time to wait.
    """
    claimed = []
    for organisation in list_organisations():
        with transaction(organisation.id):
            claimed += fetch(
                "UPDATE gateway_accounts g SET compared_at = %(now)s"
                f" WHERE g.organisation_id = %(o)s AND g.is_active AND g.{FOR_PAYMENTS}"
                " AND COALESCE(g.compared_at, g.created_at) <= CASE WHEN EXISTS"
                " (SELECT FROM cases c WHERE (c.organisation_id, c.gateway_account_id) ="
                " (g.organisation_id, g.id) AND c.gone_at IS NULL AND c.state = 'open')"
                " THEN %(open_at)s ELSE %(due_at)s END"
                " RETURNING g.organisation_id, g.id, g.code, g.kind",
                {
                    "o": organisation.id,
                    "now": now,
                    "open_at": now
                    - timedelta(seconds=min(OPEN_SECONDS, settings().watch_gateway_seconds)),
                    "due_at": now - timedelta(seconds=settings().watch_gateway_seconds),
                },
            )
    return [ComparedAccount(*row) for row in claimed]


def compare_record(
    *, gateway_account_id: UUID, effects: Sequence[Effect], read_at: datetime, now: datetime
) -> Watched:
    """Open a case for each difference between a gateway's record and ours, and resolve the others.

    Shape: `read_at` is when the gateway began to show its record; what was decided here since is
    compared the next time.
    """
    with transaction():
        account = fetch_one(
            "UPDATE gateway_accounts SET compared_at = %s WHERE id = %s RETURNING code, currency",
            (now, gateway_account_id),
        )
        assert account is not None
        attempts = list_our_attempts(gateway_account_id)
        since_at = read_at - timedelta(seconds=CLOCK_SECONDS)
        moving = _list_moving(gateway_account_id, since_at)
        finder = _Finder(gateway_account_id, effects, attempts)
        found = [
            finder.describe(each)
            for each in compare_with_gateway(effects, attempts)
            if each.reference not in moving or each.kind is DifferenceKind.DUPLICATE
        ]
        kept = keep_cases(
            {kind: _FOUND.format(kind=kind.value) for kind in DIFFERENCE_KINDS},
            kinds=DIFFERENCE_KINDS,
            parameters={**_columns(found), "currency": account.currency},
            account_id=gateway_account_id,
            now=now,
        )
    return Watched(*kept)


def _list_moving(gateway_account_id: UUID, since_at: datetime) -> set[str]:
    """Name the attempts about which one side may know what the other has yet to hear."""
    rows = fetch(
        "SELECT a.merchant_ref FROM payment_attempts a WHERE a.gateway_account_id = %(account)s"
        " AND (a.decided_at >= %(since)s OR EXISTS (SELECT FROM refunds r WHERE"
        " (r.organisation_id, r.attempt_id) = (a.organisation_id, a.id)"
        " AND r.decided_at >= %(since)s) OR EXISTS (SELECT FROM disputes d WHERE"
        " (d.organisation_id, d.attempt_id) = (a.organisation_id, a.id)"
        " AND (d.created_at >= %(since)s OR EXISTS (SELECT FROM events e WHERE e.subject_id = d.id"
        " AND e.organisation_id = d.organisation_id AND e.happened_at >= %(since)s))))"
        " UNION SELECT m.content->>'merchant_ref' FROM inbox_messages m"
        " WHERE m.gateway_account_id = %(account)s AND m.state = 'ready'",
        {"account": gateway_account_id, "since": since_at},
    )
    return {row.merchant_ref for row in rows}


class _Finder:
    """Says what each difference is about, and how much money."""

    def __init__(
        self, account_id: UUID, effects: Sequence[Effect], attempts: Sequence[OurAttempt]
    ) -> None:
        self._account_id = account_id
        self._attempts = {attempt.merchant_ref: attempt for attempt in attempts}
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        for effect in effects:
            for reference in {effect.merchant_ref, effect.payment_ref}:
                self._effects[reference].append(effect)

    def describe(self, difference: Difference) -> _Found:
        """Turn a difference into what its case says."""
        subject, subject_id = self._subject(difference)
        amount_minor, currency = self._money(difference)
        is_over = difference.kind is DifferenceKind.OVERCHARGED
        kind = CaseKind.AMOUNT_DIFFERS if is_over else CaseKind(difference.kind.value)
        details = {"ours": difference.ours, "theirs": difference.theirs}
        name = "Invoice" if subject is CaseSubject.INVOICE else difference.reference
        return _Found(kind, subject, subject_id, name, amount_minor, currency, json.dumps(details))

    def _subject(self, difference: Difference) -> tuple[CaseSubject, UUID]:
        if difference.kind is DifferenceKind.OVERCHARGED:
            return CaseSubject.INVOICE, UUID(difference.reference)
        attempt = self._attempts.get(difference.reference)
        if attempt is not None:
            return CaseSubject.ATTEMPT, attempt.id
        payment_id = parse_public_id("payment", difference.reference)
        if payment_id in {each.payment_id for each in self._attempts.values()}:
            assert payment_id is not None
            return CaseSubject.PAYMENT, payment_id
        return CaseSubject.GATEWAY_RECORD, uuid5(self._account_id, difference.reference)

    def _money(self, difference: Difference) -> tuple[int | None, str | None]:
        attempt = self._attempts.get(difference.reference)
        effects = self._effects.get(difference.reference, [])
        if difference.kind in {DifferenceKind.OVERCHARGED, DifferenceKind.AMOUNT_DIFFERS}:
            # Both sides begin with minor units and their currency.
            ours, theirs = difference.ours.split(), difference.theirs.split()
            if ours[1] == theirs[1]:
                return abs(int(theirs[0]) - int(ours[0])), ours[1]
            return int(ours[0]), ours[1]
        if difference.kind is DifferenceKind.DUPLICATE:
            amounts = [effect.amount_minor for effect in effects]
            return sum(amounts) - max(amounts), effects[0].currency
        if attempt is not None:
            return attempt.amount_minor, attempt.currency
        return effects[0].amount_minor, effects[0].currency


def _columns(found: Sequence[_Found]) -> dict[str, list[Any]]:
    """Turn what was found into a list for each column."""
    return {
        "found_kinds": [each.kind.value for each in found],
        "types": [each.subject.value for each in found],
        "subjects": [each.subject_id for each in found],
        "names": [each.name for each in found],
        "amounts": [each.amount_minor for each in found],
        "currencies": [each.currency for each in found],
        "details": [each.details for each in found],
    }
