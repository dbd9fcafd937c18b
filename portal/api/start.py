"""Where a machine begins: who it is here, what it may do, and where to go."""

from typing import Any

from flask import Response
from marshmallow import fields

from portal.api.access import PREFIX, current_holder, require
from portal.api.answers import answer
from portal.api.doors import DoorBlueprint, answers
from portal.api.fields import Strict, noun_name, words
from portal.domain.users import Permission
from portal.queries.organisations import get_organisation

NOUNS = ("invoices", "payers", "payments", "attempts", "runs", "schedules", "messages")

bp = DoorBlueprint("start", "Who you are here, and what you may do.")


class OrganisationSchema(Strict):
    """The organisation that the key belongs to."""

    object = noun_name("organisation")
    code = words()
    name = words()
    currency = words()
    zone = words(description="The time zone in which its days begin.")


class KeySchema(Strict):
    """The key of this request."""

    object = noun_name("key")
    name = words()
    scopes = fields.List(fields.String(), required=True)


class StartSchema(Strict):
    """Who is asking, and where to go."""

    object = noun_name("start")
    organisation = fields.Nested(OrganisationSchema, required=True)
    key = fields.Nested(KeySchema, required=True)
    links = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, metadata={"description": ""}
    )


@bp.route("")
@answers(StartSchema)
@require(Permission.SIGNED_IN)
def show_start() -> Response:
    """Say who the key belongs to, what it may do, and where things are."""
    holder = current_holder()
    organisation = get_organisation(holder.organisation_id)
    links: dict[str, Any] = {noun: f"{PREFIX}/{noun}" for noun in NOUNS}
    return answer(
        {
            "object": "start",
            "organisation": {
                "object": "organisation",
                "code": organisation.code,
                "name": organisation.name,
                "currency": organisation.currency,
                "zone": organisation.zone,
            },
            "key": {"object": "key", "name": holder.name, "scopes": sorted(holder.scopes)},
            "links": {**links, "description": f"{PREFIX}/openapi.json", "reference": "/api/docs"},
        }
    )
