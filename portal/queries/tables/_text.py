"""The conditions of a list as one line of text: `status:overdue total:>500 due:<2026-01-01`.

Read, it becomes the same arguments that the chips and the form of a list write, so there is one
meaning whichever of them people use. Terms are combined by "and"; several values of one choice by
"or".
"""

import re
from collections.abc import Sequence

from portal.queries.tables._request import Term
from portal.queries.tables._shape import Words

TEXT_NAME = "text"
SIGNS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}

_TOKEN = re.compile(r'(?:([a-z_]+):)?(>=|<=|>|<)?(?:"([^"]*)"|([^\s"]+))')


def read_text(text: str) -> list[tuple[str, str]]:
    """Read a line into arguments; what has no name is searched for.

    Shape: names are not checked here; an unknown one is refused like any other argument.
    """
    arguments: list[tuple[str, str]] = []
    loose: list[str] = []
    for name, sign, quoted, plain in _TOKEN.findall(text):
        value = quoted or plain
        if not name:
            loose.append(f"{sign}{value}")
        elif ".." in value and not sign:
            least, _, most = value.partition("..")
            arguments += [
                (f"{name}[{operator}]", bound)
                for operator, bound in (("gte", least), ("lte", most))
                if bound
            ]
        elif name == TEXT_NAME:
            loose.append(value)
        else:
            operator = SIGNS.get(sign, "")
            arguments.append((f"{name}[{operator}]" if operator else name, value))
    if loose:
        arguments.append((TEXT_NAME, " ".join(loose)))
    return arguments


def write_text(terms: Sequence[Term]) -> str:
    """Write terms as a line that reads back as the same."""
    signs = {operator: sign for sign, operator in SIGNS.items()}
    written = []
    for term in terms:
        value = f'"{term.text}"' if re.search(r'[\s"]', term.text) else term.text
        if isinstance(term.filter, Words):
            written.append(term.text)
        else:
            written.append(f"{term.filter.name}:{signs.get(term.operator, '')}{value}")
    return " ".join(written)
