"""Asking: never writes, never commits, returns frozen rows."""
