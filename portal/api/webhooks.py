"""What gateways push: verified, stored in the inbox, answered. Nothing else."""

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from portal.api.access import require
from portal.clock import now_utc
from portal.domain.errors import Forbidden, Invalid, NotFound
from portal.domain.users import Permission
from portal.services.messages import receive_event

bp = Blueprint("webhooks", __name__)

BYTES_MAX = 64 * 1024


@bp.post("/webhooks/<account_code>")
@require(Permission.PUBLIC)
def receive(account_code: str) -> tuple[Response, int] | tuple[str, int]:
    """Take an event in; a 2xx is sent only when it is stored."""
    # Holds also for a body that comes in chunks and says no length beforehand.
    request.max_content_length = BYTES_MAX
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        return _refuse("The event is too large; nothing was stored.", 413)
    try:
        receive_event(
            account_code=account_code, headers=dict(request.headers), raw=raw, now=now_utc()
        )
    except NotFound as error:
        return _refuse(error.message, 404)
    except Forbidden as error:
        return _refuse(error.message, 401)
    except Invalid as error:
        return _refuse(error.message, 400)
    return "", 204


def _refuse(sentence: str, status: int) -> tuple[Response, int]:
    return jsonify({"detail": sentence, "status": status}), status
