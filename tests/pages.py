"""A page as a test reads it: parsed, searchable by tag and attribute, and checked for faults.

The standard parser is enough: the product writes its own pages, so a fault is ours to find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track"}
    | {"wbr"}
)
UNNAMED_FIELDS = frozenset({"hidden", "submit", "button", "image", "reset"})
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")


@dataclass
class Element:
    """One element with what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Go through this element and everything in it, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def find_all(self, tag: str | None = None, **wanted: str) -> list[Element]:
        """List the elements with a tag and attributes.

        Shape: `class_`, `data_x` name `class`, `data-x`; a class matches as one of several.
        """
        names = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [
            one
            for one in self.walk()
            if (tag is None or one.tag == tag)
            and all(
                value in one.attributes.get(name, "").split()
                if name == "class"
                else one.attributes.get(name) == value
                for name, value in names.items()
            )
        ]

    def find(self, tag: str | None = None, **wanted: str) -> Element:
        """Return the first such element; an AssertionError when there is none."""
        found = self.find_all(tag, **wanted)
        assert found, f"no <{tag or '*'}> with {wanted} in this page"
        return found[0]

    @property
    def text(self) -> str:
        """The words in it, with single blanks, without scripts and styles."""
        if self.tag in {"script", "style"}:
            return ""
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    @property
    def name(self) -> str:
        """What a reader of the screen hears: its label, its words or the words of its pictures."""
        spoken = self.attributes.get("aria-label") or self.attributes.get("title") or self.text
        alternatives = (one.attributes.get("alt", "") for one in self.find_all("img"))
        return (spoken or " ".join(alternatives)).strip()


@dataclass
class Page(Element):
    """A whole page, or the part of one that HTMX asked for."""

    malformed: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[list[str]]:
        """The words in each cell of the bodies of its tables."""
        return [
            [cell.text for cell in row.children if isinstance(cell, Element)]
            for body in self.find_all("tbody")
            for row in body.find_all("tr")
        ]

    def faults(self) -> list[str]:
        """Name what is wrong with the page, in words; empty when nothing is."""
        return [*self.malformed, *self._frame(), *self._ids(), *self._controls(), *self._scripts()]

    def _frame(self) -> Iterator[str]:
        if not self.find_all("html"):
            return
        if not self.find("html").attributes.get("lang"):
            yield "the page does not say its language"
        if not (self.find_all("title") and self.find("title").text):
            yield "the page has no title"
        for tag in ("h1", "main"):
            if len(self.find_all(tag)) != 1:
                yield f"there are {len(self.find_all(tag))} <{tag}>, not one"
        levels = [int(one.tag[1]) for one in self.walk() if one.tag in {"h1", "h2", "h3", "h4"}]
        if any(later > earlier + 1 for earlier, later in pairwise(levels)):
            yield f"the headings skip a level: {levels}"

    def _ids(self) -> Iterator[str]:
        ids = Counter(one.attributes["id"] for one in self.walk() if "id" in one.attributes)
        repeated = (name for name, times in ids.items() if times > 1)
        yield from (f"the id {name} is used more than once" for name in repeated)
        if not self.find_all("html"):
            return
        for one in self.walk():
            for reference in REFERENCES:
                for name in one.attributes.get(reference, "").split():
                    if name not in ids:
                        yield f'{reference}="{name}" names nothing'

    def _controls(self) -> Iterator[str]:
        labelled = {one.attributes.get("for") for one in self.find_all("label")}
        inside = {id(one) for label in self.find_all("label") for one in label.walk()}
        for one in self.walk():
            if one.tag in {"input", "select", "textarea"}:
                named = {"aria-label", "aria-labelledby"} & one.attributes.keys()
                hidden = one.attributes.get("type") in UNNAMED_FIELDS
                known = one.attributes.get("id") in labelled or id(one) in inside
                if not (named or hidden or known):
                    yield f"the field {one.attributes.get('name', '?')} has no label"
            elif one.tag in {"button", "a"} and not one.name:
                yield f"a <{one.tag}> has no name: {one.attributes}"
            elif one.tag == "img" and "alt" not in one.attributes:
                yield "an <img> has no alternative"
            elif one.tag == "table" and not one.find_all("th"):
                yield "a <table> has no heading cell"
            posts = one.tag == "form" and one.attributes.get("method", "").lower() == "post"
            if posts and not one.find_all(name="csrf_token"):
                yield f"the form to {one.attributes.get('action', '?')} has no CSRF token"

    def _scripts(self) -> Iterator[str]:
        for one in self.walk():
            inline = [name for name in one.attributes if name.startswith("on") or name == "style"]
            if inline:
                yield f"<{one.tag}> has {inline[0]} in the page, which the CSP refuses"
            if one.tag == "script" and "src" not in one.attributes and one.children:
                yield "a script stands in the page, which the CSP refuses"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page("")
        self.open: list[Element] = [self.page]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        if len(element.attributes) != len(attrs):
            self.page.malformed.append(f"a <{tag}> has an attribute twice")
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if len(self.open) > 1 and self.open[-1].tag == tag:
            self.open.pop()
        else:
            self.page.malformed.append(f"</{tag}> closes <{self.open[-1].tag}>")

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Page:
    """Parse a page or a part of one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if len(reader.open) > 1:
        reader.page.malformed.append(f"<{reader.open[-1].tag}> is never closed")
    return reader.page
