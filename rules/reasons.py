"""Why payments fail: bank return reasons and card response codes, and what each means for a retry.

Whether and when an organisation tries again stands in its rule set, not here.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class ReasonClass(StrEnum):
    """What a reason means for the next attempt."""

    RETRYABLE = "retryable"
    HARD = "hard"
    NEEDS_PAYER = "needs_payer"


class Reason(NamedTuple):
    """A code with its class and what happened, in plain words."""

    code: str
    reason_class: ReasonClass
    sentence: str


# No agreement can allow these: without a mandate, or on a closed account, a second collection is
# itself a breach of the scheme. Source: SEPA direct debit rulebooks, R-transactions.
NEVER_RETRIED: Final = frozenset({"MD01", "AC04"})

_RETRYABLE = {
    # Bank returns, ISO 20022.
    "AM04": "There was not enough money in the account.",
    "MS03": "The payer's bank sent the money back without saying why.",
    "AG07": "The debit could not be booked at the payer's bank.",
    "ED05": "The banks could not settle the transfer between them.",
    "TM01": "The debit reached the bank after its closing time.",
    "SL13": "The payer's account has reached its number of debits for now.",
    "SL14": "The debit is above the amount the account allows for now.",
    # Card answers, ISO 8583 field 39.
    "05": "The bank of the card refused without saying why.",
    "19": "The bank of the card asks for the payment to be sent again.",
    "51": "There was not enough money on the card.",
    "61": "The amount is above the limit of the card.",
    "65": "The card was used too often lately.",
    "91": "The bank of the card could not be reached.",
    "96": "The systems of the card's bank had a fault.",
    # Words that gateways use.
    "insufficient_funds": "There was not enough money.",
    "do_not_honor": "The bank of the card refused without saying why.",
    "generic_decline": "The bank of the card refused without saying why.",
    "card_velocity_exceeded": "The card has reached a limit.",
    "issuer_not_available": "The bank of the card could not be reached.",
    "processing_error": "The payment failed on its way.",
    "reenter_transaction": "The bank of the card asks for the payment to be sent again.",
    "try_again_later": "The bank of the card asks for a later attempt.",
}
_HARD = {
    "AC01": "The account number does not exist.",
    "AC04": "The account is closed.",
    "AC06": "The account is blocked.",
    "AC13": "The account is not of the kind that can be debited.",
    "AG01": "The account does not allow direct debits.",
    "AM05": "The bank saw the same debit twice.",
    "BE05": "The payer's bank does not accept this creditor.",
    "DNOR": "The payer's bank cannot be reached by direct debit.",
    "MD01": "There is no valid mandate for the debit.",
    "MD07": "The payer has died.",
    "RC01": "The bank code is wrong.",
    "RR04": "The payer's bank may not make this payment by law.",
    "04": "The card was withdrawn by its bank.",
    "07": "The card was withdrawn by its bank on suspicion of fraud.",
    "12": "The card does not allow this kind of payment.",
    "14": "The card number does not exist.",
    "15": "There is no bank for this card number.",
    "41": "The card was reported lost.",
    "43": "The card was reported stolen.",
    "57": "The card does not allow this kind of payment.",
    "59": "The bank of the card suspects fraud.",
    "62": "The card is restricted.",
    "invalid_account": "The account does not exist any more.",
    "invalid_number": "The card number does not exist.",
    "lost_card": "The card was reported lost.",
    "stolen_card": "The card was reported stolen.",
    "pickup_card": "The card was withdrawn by its bank.",
    "fraudulent": "The payment was stopped on suspicion of fraud.",
    "restricted_card": "The card is restricted.",
    "transaction_not_allowed": "The card does not allow this kind of payment.",
    "do_not_try_again": "The bank of the card forbids another attempt.",
}
_NEEDS_PAYER = {
    "AC02": "The account number is missing or wrong.",
    "AC15": "The payer has changed the account.",
    "MD02": "The details of the mandate are incomplete.",
    "MD06": "The payer asked for the money back.",
    "MS02": "The payer refused the debit.",
    "SL01": "The payer has limited who may debit the account.",
    "SL11": "The payer has not yet allowed this creditor.",
    "SL12": "The payer has barred this creditor.",
    "CUST": "The payer asked for the payment to be called off.",
    "01": "The bank of the card asks the payer to call.",
    "1A": "The payer must confirm the payment.",
    "54": "The card has expired.",
    "55": "The PIN was wrong.",
    "75": "The PIN was wrong too often.",
    "R0": "The payer has stopped this payment.",
    "R1": "The payer has withdrawn the permission to charge the card.",
    "R3": "The payer has withdrawn every permission to charge the card.",
    "authentication_required": "The payer must confirm the payment.",
    "call_issuer": "The bank of the card asks the payer to call.",
    "dispute_lost": "The payer's bank took the money back, and the dispute about it was lost.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The security code of the card is wrong.",
    "revocation_of_authorization": "The payer has withdrawn the permission to charge the card.",
}

REASONS: Final[dict[str, Reason]] = {
    code: Reason(code, reason_class, sentence)
    for reason_class, sentences in (
        (ReasonClass.RETRYABLE, _RETRYABLE),
        (ReasonClass.HARD, _HARD),
        (ReasonClass.NEEDS_PAYER, _NEEDS_PAYER),
    )
    for code, sentence in sentences.items()
}


def find_reason(code: str) -> Reason:
    """Return what a code means; an unknown code is hard, so that a person looks at it."""
    known = REASONS.get(code)
    if known is not None:
        return known
    return Reason(code, ReasonClass.HARD, f"The reason “{code}” is not in the catalogue.")
