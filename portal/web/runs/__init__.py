"""Batch runs as people see them: started after a preview, watched, stopped, restarted."""

from portal.web.runs import _starting, _watching
from portal.web.runs._blueprint import bp

__all__ = ["_starting", "_watching", "bp"]
