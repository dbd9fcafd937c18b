"""The keys of the sandbox's accounts, derived from one secret so that both sides know them."""

import base64
import hashlib
import hmac
from typing import Literal

Purpose = Literal["api", "webhook"]


def derive_key(secret: str, account_code: str, purpose: Purpose) -> str:
    """Derive the key of one account for one purpose.

    Shape: `sandbox_` and hex for the API, `whsec_` and base64 for webhooks.
    Source: the Standard Webhooks specification, for the webhook secret.
    """
    # The zero byte keeps ("ab", "c") and ("a", "bc") apart.
    text = f"portal sandbox\x00{purpose}\x00{account_code}".encode()
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    if purpose == "api":
        return "sandbox_" + digest.hex()
    return "whsec_" + base64.b64encode(digest).decode("ascii")
