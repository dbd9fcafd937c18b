"""`portal states`: draw the life of each noun as a Mermaid state diagram."""

from __future__ import annotations

import importlib
import pkgutil

import click

from portal import domain
from portal.domain.errors import NotFound
from portal.domain.states import Moves


class NounUnknown(NotFound):
    """There is no noun “{noun}” that has states; choose one of {known}."""

    noun: str
    known: str


def find_moves() -> dict[str, Moves]:  # type: ignore[type-arg]
    """Find every table of moves of the domain, by the noun's name with underscores."""
    found: dict[str, Moves] = {}  # type: ignore[type-arg]
    for module in sorted(pkgutil.iter_modules(domain.__path__), key=lambda each: each.name):
        for value in vars(importlib.import_module(f"portal.domain.{module.name}")).values():
            if isinstance(value, Moves):
                found[value.noun.replace(" ", "_")] = value
    return found


@click.command()
@click.argument("noun", required=False)
def states(noun: str | None) -> None:
    """Draw the states of NOUN, or of everything, and the ways between them, as Mermaid."""
    moves = find_moves()
    if noun is not None and noun not in moves:
        raise NounUnknown(noun=noun[:40], known=", ".join(sorted(moves)))
    wanted = [noun] if noun else list(moves)
    click.echo("\n".join(moves[each].mermaid(each) for each in wanted), nl=False)
