"""Batch runs as people see them: started after a preview, approved, watched, stopped, run again."""

from portal.web.runs import _deciding, _starting, _watching
from portal.web.runs._blueprint import bp

__all__ = ["_deciding", "_starting", "_watching", "bp"]
