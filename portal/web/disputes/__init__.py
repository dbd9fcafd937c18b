"""Disputes as people see them: the list, one dispute, answering it or accepting its loss."""

from portal.web.disputes import _acting, _reading
from portal.web.disputes._blueprint import bp

__all__ = ["_acting", "_reading", "bp"]
