"""Where the views of runs hang."""

from flask import Blueprint

bp = Blueprint("runs", __name__)

RUN = '/runs/<public("run"):run_id>'
