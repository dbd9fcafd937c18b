"""Reading the sandbox's events, those pushed with a signature and those listed alike."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from portal.gateways.strict_json import (
    Unreadable,
    amount_of,
    currency_of,
    instant_of,
    optional_text_of,
    read_json,
    text_of,
)
from portal.gateways.values import (
    EventKind,
    EventMalformed,
    GatewayAccess,
    GatewayEvent,
    SignatureInvalid,
)

EVENT_BYTES_MAX = 65_536  # an event is under 1 kB; more is not hashed at all


def read_sandbox_event(
    access: GatewayAccess, headers: Mapping[str, str], raw: bytes
) -> GatewayEvent:
    """Verify a pushed event and read it.

    Raises: SignatureInvalid; EventMalformed.
    Source: the Standard Webhooks specification; five minutes of tolerance either way.
    """
    if len(raw) > EVENT_BYTES_MAX:
        raise SignatureInvalid(reason="it is far too large")
    named = {name.lower(): value for name, value in headers.items()}
    _verify(access.webhook_secrets, named, raw)
    try:
        event = event_from(read_json(raw))
    except ValueError as error:
        raise EventMalformed(reason=str(error)) from None
    if event.event_id != named["webhook-id"]:
        raise EventMalformed(reason="its id is not the one that was signed")
    return event


def event_from(body: dict[str, Any]) -> GatewayEvent:
    """Read an event whose origin is certain.

    Raises: Unreadable when a field is absent or of another type.
    """
    payload = body.get("data")
    if not isinstance(payload, dict):
        raise Unreadable("data is not an object")
    try:
        kind = EventKind(text_of(body, "type"))
    except ValueError:
        raise Unreadable("an unknown type") from None
    is_charge = kind != EventKind.PAYOUT_PAID
    return GatewayEvent(
        event_id=text_of(body, "id"),
        kind=kind,
        merchant_ref=text_of(payload, "merchant_ref") if is_charge else "",
        gateway_ref=text_of(payload, "gateway_ref"),
        amount_minor=amount_of(payload, "amount_minor", least=1),
        currency=currency_of(payload),
        reason_code=optional_text_of(payload, "reason_code"),
        fee_minor=amount_of(payload, "fee_minor"),
        occurred_at=instant_of(body, "occurred_at"),
        payload=payload,
    )


def _verify(secrets: tuple[str, ...], headers: dict[str, str], raw: bytes) -> None:
    reason = "no secret is active"
    # An empty secret would let anybody sign.
    for secret in filter(None, secrets):
        try:
            Webhook(secret).verify(raw, headers, json_parse=False)
        except WebhookVerificationError as error:
            reason = str(error).lower()
        except EmptyWebhookSecretError:
            reason = "a secret is empty"
        except ValueError:
            # Broken base64, commas or UTF-8 in what a stranger sent.
            reason = "the signature headers cannot be read"
        else:
            return
    raise SignatureInvalid(reason=reason)
