"""Invoices and credit notes for machines."""

from portal.api.invoices._doors import bp

__all__ = ["bp"]
