"""Rules as people see them: the versions, what each says, writing the next one, trying it out."""

from portal.web.rulesets import _deciding, _editing, _reading, _trying
from portal.web.rulesets._blueprint import bp

__all__ = ["_deciding", "_editing", "_reading", "_trying", "bp"]
