"""Where the views of refunds hang."""

from flask import Blueprint

bp = Blueprint("refunds", __name__)

REFUND = '/refunds/<public("refund"):refund_id>'
OF_PAYMENT = '/payments/<public("payment"):payment_id>/refund'
