"""Words for payments that more than one reading needs: the number of an invoice, why it failed."""

from portal.domain.disputes import LOST_WORKLIST
from portal.domain.payments import CONTESTED_WORKLISTS, STOPPED_REASON
from portal.queries.invoices import document_number
from rules.reasons import find_reason

# The invoice is `i`; a draft is known by the client's reference only.
INVOICE_NUMBER = f"COALESCE({document_number('i')}, i.external_ref)"
# Who moved the try that payment y is planned for, and from which day; no row when nobody did.
MOVED_SQL = (
    "SELECT moved_by, moved_from FROM (SELECT e.actor_name AS moved_by,"
    " (e.details->>'from')::date AS moved_from, (e.details->>'to')::date AS moved_to,"
    " (e.details->>'attempts')::int AS attempts FROM events e"
    " WHERE (e.organisation_id, e.subject_id) = (y.organisation_id, y.id)"
    " AND e.kind = 'payment.moved' AND y.state = 'scheduled' ORDER BY e.id DESC LIMIT 1) AS moves"
    " WHERE (moved_to, attempts) = (y.next_attempt_on, y.attempts_count)"
)
STOPPED_SENTENCE = "A person stopped it."
# Where a payment waits when the gateway has said two things about it.
CONTRADICTED_WORKLIST = "conflicting_outcome"
WORKLIST_SENTENCES = {
    "needs_payer": "The payer must act first.",
    "hard_decline": "The bank refuses for good.",
    "retries_exhausted": "All agreed attempts are used.",
    "gateway_trouble": "The gateway could not be reached; nothing was sent.",
    "outcome_unknown": "The gateway has not said yet what became of it.",
    "mismatch": "The gateway speaks of another amount, currency or reference.",
    LOST_WORKLIST: "The payer's bank took money of it back, and the dispute was lost.",
    CONTRADICTED_WORKLIST: "The gateway says something else than what is booked here.",
}


def say_reason(reason_code: str | None, worklist: str | None = None) -> str | None:
    """Say in one sentence what a reason code means; without one, why a person is to look at it.

    Shape: what the gateway leaves in doubt comes before a reason, which may be an earlier one.
    """
    if worklist in CONTESTED_WORKLISTS:
        return WORKLIST_SENTENCES[worklist]
    if reason_code == STOPPED_REASON:
        return STOPPED_SENTENCE
    if reason_code is not None:
        return find_reason(reason_code).sentence
    if worklist is None:
        return None
    return WORKLIST_SENTENCES.get(worklist, f"It waits on the list “{worklist}”.")
