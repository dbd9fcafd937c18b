"""Where the views of disputes hang."""

from flask import Blueprint

bp = Blueprint("disputes", __name__)

DISPUTE = '/disputes/<public("dispute"):dispute_id>'
