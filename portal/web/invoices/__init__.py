"""Invoices as people see them: the list, one document, drafts, and what is done with them."""

from portal.web.invoices import _acting, _drafting, _reading
from portal.web.invoices._blueprint import bp

__all__ = ["_acting", "_drafting", "_reading", "bp"]
