"""The clauses that agreements are made of, by code. Pure: facts in, findings and amounts out.

Importing this package enters every clause; an agreement is compiled by `rules.ruleset`.
"""

from rules import calculation, policies, validation
from rules.clauses import CATALOGUE, Clause

# Each module of clauses enters its own while it is imported.
CLAUSE_MODULES = (validation, calculation, policies)

__all__ = ["CATALOGUE", "CLAUSE_MODULES", "Clause"]
