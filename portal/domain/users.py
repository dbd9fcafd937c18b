"""Roles of people, what each role and each scope of a key permits, and the actor of a change."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from portal.domain.states import State


class Role(State):
    """What a person may do in an organisation."""

    CLERK = "clerk", "Clerk"
    MANAGER = "manager", "Manager"
    OPERATOR = "operator", "Operator"
    AUDITOR = "auditor", "Auditor"


class Permission(StrEnum):
    """What a door asks for; the value completes "your role does not allow you to"."""

    # Open to everyone: the way in, static files and the sign of life.
    PUBLIC = "look at this page"
    # Open to everyone who is signed in, whatever their role.
    SIGNED_IN = "do this"
    VIEW_OVERVIEW = "see the overview"
    VIEW_INVOICES = "see the invoices"
    EDIT_INVOICES = "write, change or discard drafts of invoices"
    ISSUE_INVOICES = "issue an invoice"
    VOID_INVOICES = "void an invoice"
    VIEW_PAYMENTS = "see the payments and their attempts"
    RECORD_PAYMENTS = "record a payment by hand"
    CONTROL_PAYMENTS = "try a payment again or stop it"
    REQUEST_REFUNDS = "ask that money of a payment is given back"
    APPROVE_REFUNDS = "approve or decline a refund that another person has asked for"
    ANSWER_DISPUTES = "answer a dispute or accept its loss"
    VIEW_PAYERS = "see the payers"
    CHANGE_PAYERS = "change how a payer is dealt with"
    VIEW_RUNS = "see the runs"
    START_RUNS = "start a run"
    CONTROL_RUNS = "stop or restart a run"
    CHANGE_SCHEDULES = "change when runs start by themselves"
    APPROVE_RUNS = "approve a run that another person has prepared"
    VIEW_MESSAGES = "see the messages from and to the gateways, and the brakes"
    CONTROL_MESSAGES = "send a message again, withdraw it or handle it again"
    PULL_BRAKES = "pull or release an emergency brake"
    CHANGE_RATES = "change the rate of a gateway account"
    VIEW_SETTLEMENTS = "see what the gateways have paid out"
    VIEW_EVENTS = "see the audit trail"
    VIEW_CASES = "see the cases"
    CLOSE_CASES = "close a case"
    VIEW_RULES = "see the rules"
    EDIT_RULES = "write drafts of the rules and ask that they come into force"
    APPROVE_RULES = "put rules in force that another person has asked for"


_READING = frozenset(
    {
        Permission.SIGNED_IN,
        Permission.VIEW_OVERVIEW,
        Permission.VIEW_INVOICES,
        Permission.VIEW_PAYMENTS,
        Permission.VIEW_PAYERS,
        Permission.VIEW_RUNS,
        Permission.VIEW_MESSAGES,
        Permission.VIEW_SETTLEMENTS,
        Permission.VIEW_CASES,
        Permission.VIEW_RULES,
    }
)
_CLERKING = _READING | {
    Permission.EDIT_INVOICES,
    Permission.ISSUE_INVOICES,
    Permission.RECORD_PAYMENTS,
    Permission.CONTROL_PAYMENTS,
    Permission.REQUEST_REFUNDS,
    Permission.ANSWER_DISPUTES,
    Permission.CHANGE_PAYERS,
    Permission.START_RUNS,
    Permission.CONTROL_RUNS,
    Permission.EDIT_RULES,
}
# What keeps the machinery going, or stops it; no document is touched by it.
_OPERATING = frozenset({Permission.CONTROL_MESSAGES, Permission.PULL_BRAKES})

ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.AUDITOR: _READING | {Permission.VIEW_EVENTS},
    Role.CLERK: _CLERKING,
    Role.OPERATOR: _READING | _OPERATING | {Permission.CONTROL_RUNS, Permission.VIEW_EVENTS},
    Role.MANAGER: _CLERKING
    | _OPERATING
    | {
        Permission.VOID_INVOICES,
        Permission.APPROVE_RUNS,
        Permission.APPROVE_REFUNDS,
        Permission.CHANGE_SCHEDULES,
        Permission.CLOSE_CASES,
        Permission.CHANGE_RATES,
        Permission.APPROVE_RULES,
        Permission.VIEW_EVENTS,
    },
}


class Scope(State):
    """What a key of an external system may do."""

    READ = "read", "Read everything"
    INVOICES_WRITE = "invoices:write", "Write, issue and void invoices"
    PAYMENTS_WRITE = "payments:write", "Record payments, try them again, stop them"
    REFUNDS_WRITE = "refunds:write", "Ask for refunds"
    DISPUTES_WRITE = "disputes:write", "Answer disputes"
    PAYERS_WRITE = "payers:write", "Put payers on hold and give them more time"
    RUNS_WRITE = "runs:write", "Start, stop and restart runs"
    SCHEDULES_WRITE = "schedules:write", "Change when runs start by themselves"
    MESSAGES_WRITE = "messages:write", "Send messages again and withdraw them"


SCOPE_PERMISSIONS: Mapping[Scope, frozenset[Permission]] = {
    Scope.READ: _READING - {Permission.SIGNED_IN},
    Scope.INVOICES_WRITE: frozenset(
        {Permission.EDIT_INVOICES, Permission.ISSUE_INVOICES, Permission.VOID_INVOICES}
    ),
    Scope.PAYMENTS_WRITE: frozenset({Permission.RECORD_PAYMENTS, Permission.CONTROL_PAYMENTS}),
    Scope.REFUNDS_WRITE: frozenset({Permission.REQUEST_REFUNDS}),
    Scope.DISPUTES_WRITE: frozenset({Permission.ANSWER_DISPUTES}),
    Scope.PAYERS_WRITE: frozenset({Permission.CHANGE_PAYERS}),
    Scope.RUNS_WRITE: frozenset({Permission.START_RUNS, Permission.CONTROL_RUNS}),
    Scope.SCHEDULES_WRITE: frozenset({Permission.CHANGE_SCHEDULES}),
    Scope.MESSAGES_WRITE: frozenset({Permission.CONTROL_MESSAGES}),
}


class Actor(NamedTuple):
    """Who did something: a person, a run, an external system or the portal itself."""

    kind: str
    id: UUID | None = None
    name: str = ""
    # What else is known of who it was, such as the account on the machine of the command line.
    details: Mapping[str, str] | None = None


PORTAL = Actor("portal", None, "portal")


def run_actor(run_id: UUID) -> Actor:
    """Name a batch run as the actor."""
    return Actor("run", run_id, "run")
