"""Rules as people see them: the versions, what each says, writing the next one, trying it out."""

from portal.web.rulesets import _deciding, _editing, _reading, _rehearsing, _trying
from portal.web.rulesets._blueprint import bp
from portal.web.rulesets._reading import STAGE_WORDS

__all__ = ["STAGE_WORDS", "_deciding", "_editing", "_reading", "_rehearsing", "_trying", "bp"]
