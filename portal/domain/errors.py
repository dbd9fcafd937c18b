"""The root of every error a person or a machine may meet, and its five families.

A concrete error lives beside the function that raises it. Nothing about HTTP or jobs belongs here.
"""

import inspect
import re
from functools import cache
from string import Formatter
from typing import Any, ClassVar

_RESERVED = frozenset({"code", "message", "template", "attributes", "args"})


def snake_case(name: str) -> str:
    """Turn a class name into the code machines see, `HTTPAnswerLate` into `http_answer_late`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


def _template(kind: type[Exception]) -> str:
    """Return the first paragraph of the nearest docstring on one line."""
    # Python started with -OO has no docstrings; the code is then the message.
    paragraph = (inspect.getdoc(kind) or snake_case(kind.__name__)).split("\n\n")[0]
    return " ".join(paragraph.split())


class PortalError(Exception):
    """The portal could not do this.

    A concrete error is two lines: its name and a docstring, whose first paragraph is the message
    and is filled in with the attributes given as keyword arguments; a third line may declare an
    attribute's type. `code` is the name in snake case, and may be declared to outlive a renaming.

        class InvoiceNotOpen(Conflict):
            \"\"\"The invoice {number} is not open; nothing was changed.\"\"\"

        raise InvoiceNotOpen(number="2026-0007")

    Shape: attributes are keyword arguments and can be read back by name.
    Raises: TypeError when an attribute of the message is missing or has a reserved name.
    """

    code: ClassVar[str] = "portal_error"
    template: ClassVar[str] = "The portal could not do this; nothing was changed."

    def __init_subclass__(cls, **options: Any) -> None:
        """Give each error its stable code unless the class declares one."""
        super().__init_subclass__(**options)
        if "code" not in cls.__dict__:
            cls.code = snake_case(cls.__name__)
        cls.template = _template(cls)

    def __init__(self, **attributes: Any) -> None:
        """Keep the attributes and write the message."""
        reserved = _RESERVED & attributes.keys()
        if reserved:
            raise TypeError(f"{type(self).__name__}: reserved attribute {sorted(reserved)}")
        missing = _fields(self.template) - attributes.keys()
        if missing:
            raise TypeError(f"{type(self).__name__}: missing attribute {sorted(missing)}")
        self.attributes = attributes
        self.__dict__.update(attributes)
        self.message = self.template.format_map(attributes)
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes: keyword arguments are not part of `args`."""
        return _rebuild, (type(self), self.attributes)


class NotFound(PortalError):
    """There is no such {thing} here, or it is not yours to see; nothing was changed."""


class Invalid(PortalError):
    """This cannot be right: {reason}. Nothing was changed; correct it and try again."""

    # The name of the form or message field that is to be corrected, where one is known.
    field: str | None = None


class Conflict(PortalError):
    """This is not possible now: {reason}. Nothing was changed; load it again and look."""


class Forbidden(PortalError):
    """Your role does not allow you to {action}; nothing was changed. Ask an administrator."""


class Unavailable(PortalError):
    """{service} cannot be reached now; nothing was lost. Try again in a few minutes."""

    # How long a machine should wait before it asks again, where it is known.
    retry_after_seconds: int | None = None


FAMILIES: tuple[type[PortalError], ...] = (NotFound, Invalid, Conflict, Forbidden, Unavailable)


def family_of(error: PortalError | type[PortalError]) -> type[PortalError]:
    """Return the family an error belongs to, for the tables that map families to answers.

    Raises: TypeError when it belongs to none: each concrete error must.
    """
    kind = error if isinstance(error, type) else type(error)
    for family in FAMILIES:
        if issubclass(kind, family):
            return family
    raise TypeError(f"{kind.__name__} belongs to no family")


@cache
def _fields(template: str) -> frozenset[str]:
    """Name the attributes a message needs; `{total.currency}` needs `total`."""
    names = (field for _, field, _, _ in Formatter().parse(template) if field)
    return frozenset(re.split(r"[.\[]", name)[0] for name in names)


def _rebuild(kind: type[PortalError], attributes: dict[str, Any]) -> PortalError:
    return kind(**attributes)
