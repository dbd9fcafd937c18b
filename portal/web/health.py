"""The sign of life that supervisors and load balancers ask for."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.services.health import check_health
from portal.web.access import require

bp = Blueprint("health", __name__)


@bp.get("/health")
@require(Permission.PUBLIC)
def show() -> ResponseReturnValue:
    """Say whether the database and Redis answer; without the database nothing works."""
    health = check_health()
    # Redis only rings the workers: without it the pages still work.
    status = "ok" if health.database and health.redis else "degraded"
    if not health.database:
        status = "down"
    answer = jsonify(status=status, database=health.database, redis=health.redis)
    return answer, 200 if health.database else 503
