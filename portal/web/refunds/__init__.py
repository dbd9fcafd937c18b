"""Refunds as people see them: the list, one refund, asking for one and deciding about it."""

from portal.web.refunds import _acting, _reading
from portal.web.refunds._blueprint import bp

__all__ = ["_acting", "_reading", "bp"]
