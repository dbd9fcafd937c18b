"""Payments as people see them: the list, one payment, and what a person decides about it."""

from portal.web.payments import _acting, _reading
from portal.web.payments._blueprint import bp
from portal.web.payments._words import MACHINES, Happening, say_attempt

__all__ = ["MACHINES", "Happening", "_acting", "_reading", "bp", "say_attempt"]
