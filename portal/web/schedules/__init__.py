"""Schedules as people see them: when jobs start by themselves, and what became of it."""

from portal.web.schedules import _changing, _reading
from portal.web.schedules._blueprint import bp

__all__ = ["_changing", "_reading", "bp"]
