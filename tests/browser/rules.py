"""Rules for the world of the browser: versions at work, and what they would change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from portal.clock import now_utc
from portal.db import transaction
from portal.queries.rulesets import get_rule_set
from portal.services.batches import claim_chunk, finish_run, work_chunk
from portal.services.rehearsals import RehearsalWish, rehearse_documents, start_rehearsal
from portal.services.rulesets import (
    copy_rule_set,
    import_rule_set,
    remove_clause,
    request_activation,
)
from portal.sql import fetch
from rules.definitions import dump_definition
from tests import factories
from tests.factories import EARLIER_ON


def fill_rules(organisation_id: UUID) -> dict[str, list[Any]]:
    """Make a draft that is not whole, a version that waits for approval, and rehearsals."""
    with transaction(organisation_id):
        draft = copy_rule_set(version=1, actor=factories.CLERK, now=now_utc())
        seen = get_rule_set(draft).definition_hash
        remove_clause(version=draft, place=0, seen=seen, actor=factories.CLERK, now=now_utc())
        asked = copy_rule_set(version=1, actor=factories.CLERK, now=now_utc())
        request_activation(
            version=asked,
            starts_on=now_utc().date() + timedelta(days=400),
            note="The council has decided on higher fees for what is paid late, from next year on.",
            seen=get_rule_set(asked).definition_hash,
            actor=factories.CLERK,
            now=now_utc(),
        )
    rehearsals = _add_rehearsals(organisation_id)
    return {"rule_set_versions": [draft, asked, 1], "rehearsals": rehearsals}


def _add_rehearsals(organisation_id: UUID) -> list[Any]:
    """Rehearse higher fees on all that was issued, and leave a rehearsal of drafts waiting."""
    on = now_utc().date()
    surcharge = {"rate_bps": 500, "revenue_code": "4900", "text": "Energy"}
    with transaction(organisation_id):
        agreed = get_rule_set(1).definition
        added = {"code": "C306", "parameters": surcharge}
        text = dump_definition({**agreed, "clause": [*agreed["clause"], added]})
        version = import_rule_set(text=text, actor=factories.CLERK, now=now_utc())
        wishes = (RehearsalWish(version, 1, EARLIER_ON, on), RehearsalWish(version, 1))
        made = [
            start_rehearsal(wish=wish, on=on, actor=factories.CLERK, now=now_utc())
            for wish in wishes
        ]
    held = claim_chunk(organisation_id=organisation_id, worker="browser", lease_seconds=60.0)
    assert held is not None
    assert held.run_id == made[0]
    work_chunk(lease=held, work=lambda ids: rehearse_documents(invoice_ids=ids, lease=held))
    with transaction(organisation_id):
        finish_run(run_id=made[0], now=now_utc())
        return fetch("SELECT id FROM batch_runs WHERE job = 'rule_rehearsal' ORDER BY number")
