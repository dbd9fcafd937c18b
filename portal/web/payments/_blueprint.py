"""Where the views of payments hang."""

from flask import Blueprint

bp = Blueprint("payments", __name__)

PAYMENT = '/payments/<public("payment"):payment_id>'
