"""Where the views of invoices hang."""

from flask import Blueprint

bp = Blueprint("invoices", __name__)

DOCUMENT = '/invoices/<public("invoice"):invoice_id>'
