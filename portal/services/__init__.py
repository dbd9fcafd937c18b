"""Doing: one function, one use case, one transaction."""
