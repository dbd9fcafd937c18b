"""How a gateway account is reached: address and keys from the settings, never from a table."""

from typing import cast

from flask import current_app

from portal.config import Config
from portal.domain.errors import Unavailable
from portal.gateways.base import GatewayAccess, GatewayKind
from portal.gateways.sandbox.keys import derive_key


class GatewayNotConfigured(Unavailable):
    """The gateway {kind} has no address or secret; set PORTAL_SANDBOX_URL and its secret."""


def settings() -> Config:
    """Return the settings of the running application."""
    return cast("Config", current_app.config["PORTAL"])


def gateway_access(*, kind: str, account_code: str) -> GatewayAccess:
    """Put together what is needed to talk to one gateway account.

    Raises: GatewayNotConfigured.
    """
    config = settings()
    if kind != GatewayKind.SANDBOX or not config.sandbox_url or not config.sandbox_secret:
        raise GatewayNotConfigured(kind=kind)
    return GatewayAccess(
        kind=kind,
        base_url=config.sandbox_url,
        account_code=account_code,
        api_key=derive_key(config.sandbox_secret, account_code, "api"),
        webhook_secrets=tuple(
            derive_key(secret, account_code, "webhook")
            for secret in (config.sandbox_secret, config.sandbox_secret_previous)
            if secret
        ),
        timeout_seconds=config.gateway_timeout_seconds,
        in_flight_max=config.gateway_in_flight_max,
    )
