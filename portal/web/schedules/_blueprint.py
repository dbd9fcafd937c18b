"""Where the views of schedules hang."""

from flask import Blueprint

bp = Blueprint("schedules", __name__)

SCHEDULE = '/schedules/<public("schedule"):schedule_id>'
