"""The conditions of a list as one line of text: `status:overdue total:>500 due:<2026-01-01`.

Read, it becomes the same arguments that the chips and the form of a list write, so there is one
meaning whichever of them people use. Terms are combined by "and"; several values of one choice by
"or".
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from portal.queries.tables._request import Term
from portal.queries.tables._shape import Table, Words

TEXT_NAME = "text"
SIGNS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}

_TOKEN = re.compile(r'(?:([A-Za-z_]+):)?(>=|<=|>|<)?(?:"([^"]*)"|([^\s"]+))')
_NAME = re.compile(r"([A-Za-z_]+):\s+")
# What would be read as something else than words.
_UNPLAIN = re.compile(r'[\s":<>=]')


def read_text(text: str, table: Table) -> list[tuple[str, str]]:
    """Read a line into arguments; what has no name is searched for.

    Shape: an unknown name is refused later, like any other argument; a known one may be written in
    any case, with a blank behind its colon.
    """
    known = {one.name for one in table.filters}
    text = _NAME.sub(lambda found: _closed(found, known), text)
    arguments: list[tuple[str, str]] = []
    loose: list[str] = []
    for written, sign, quoted, plain in _TOKEN.findall(text):
        name, value = written.lower(), quoted or plain
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


def _closed(found: re.Match[str], known: AbstractSet[str]) -> str:
    return f"{found[1]}:" if found[1].lower() in known else found[0]


def write_text(terms: Sequence[Term]) -> str:
    """Write terms as a line that reads back as the same."""
    signs = {operator: sign for sign, operator in SIGNS.items()}
    written = []
    for term in terms:
        value = f'"{term.text}"' if _UNPLAIN.search(term.text) else term.text
        if isinstance(term.filter, Words):
            bare = term.text.replace('"', " ")
            written.append(f'"{bare}"' if _UNPLAIN.search(bare.replace(" ", "")) else bare)
        else:
            written.append(f"{term.filter.name}:{signs.get(term.operator, '')}{value}")
    return " ".join(written)
