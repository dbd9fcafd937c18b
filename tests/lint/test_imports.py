"""The arrows: which layer may import which, and that nouns look back only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.lint.sources import PRODUCT, list_imports, list_sources, module_name, shown

ANYTHING = ("portal", "rules")
JOBS = ("portal.clock", "portal.domain", "portal.log", "portal.queries", "portal.services")

# Layer → what it may import; the longest prefix decides, and a layer may import itself.
LAW: dict[str, tuple[str, ...]] = {
    "portal": (),
    "portal.__main__": ("portal.cli",),
    "portal.domain": (),
    "portal.clock": (),
    "portal.ids": (),
    "portal.log": (),
    "portal.extensions": (),
    "portal.settings": (),
    "portal.processes": (),
    "portal.thresholds": ("portal.settings",),
    "portal.config": ("portal.settings", "portal.thresholds"),
    "portal.sql": ("portal.extensions",),
    "portal.db": ("portal.extensions", "portal.sql"),
    "portal.queue": ("portal.db",),
    "portal.paths": ("portal.config",),
    "portal.local": ("portal.config", "portal.processes"),
    "portal.migrate": ("portal.domain", "portal.paths"),
    "portal.supervisor": ("portal.config", "portal.local", "portal.processes"),
    "rules": ("portal.domain",),
    "portal.models": ("portal.domain", "portal.extensions"),
    "portal.gateways": ("portal.domain",),
    "portal.documents": ("portal.domain",),
    "portal.queries": (
        "portal.domain",
        "portal.extensions",
        "portal.models",
        "portal.sql",
        "rules",
    ),
    "portal.services": (
        "portal.db",
        "portal.documents",
        "portal.domain",
        "portal.extensions",
        "portal.gateways",
        "portal.models",
        "portal.queries",
        "portal.queue",
        "portal.sql",
        "rules",
    ),
    "portal.web": (
        "portal.clock",
        "portal.domain",
        "portal.log",
        "portal.queries",
        "portal.services",
        "rules",
    ),
    "portal.api": (
        "portal.clock",
        "portal.domain",
        "portal.log",
        "portal.queries",
        "portal.services",
        "rules",
    ),
    "jobs": JOBS,
    # The machinery of the jobs: it opens transactions, rings, calls gateways, starts processes.
    "jobs.engine": (*JOBS, "jobs", "portal.db", "portal.queue"),
    "jobs.case_watching": (*JOBS, "portal.db", "portal.gateways"),
    "jobs.gateway_calls": (*JOBS, "portal.gateways"),
    "jobs.message_answers": (*JOBS, "portal.config", "portal.gateways"),
    "jobs.message_delivery": (
        *JOBS,
        "jobs",
        "portal.config",
        "portal.db",
        "portal.gateways",
        "portal.queue",
    ),
    "jobs.message_parcels": (*JOBS, "jobs", "portal.config", "portal.db"),
    "jobs.dispute_answers": (*JOBS, "jobs", "portal.config", "portal.db", "portal.gateways"),
    "jobs.refund_answers": (*JOBS, "jobs", "portal.config", "portal.db", "portal.gateways"),
    "jobs.schedule": (*JOBS, "jobs", "portal.core", "portal.config", "portal.db", "portal.queue"),
    "jobs.worker": (*ANYTHING, "jobs"),
    "portal.app": ANYTHING,
    "portal.core": ANYTHING,
    "portal.cli": ANYTHING,
}
EVERYBODYS = ("portal.ids",)

# Single files that need more than their layer, each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("portal.api.bodies", "portal.gateways.strict_json"): "one strict reader for what others send",
    ("portal.services.gateways", "portal.config"): "addresses and keys stand in the settings",
    ("portal.services.seed", "portal.paths"): "the sample agreements are files",
}

NOUNS = (
    "organisations",
    "users",
    "events",
    "payers",
    "ledger",
    "messages",
    "rulesets",
    "invoices",
    "payments",
    "deposits",
    "allocations",
    "refunds",
    "disputes",
    "settlements",
    "statements",
    "reminders",
    "approvals",
    "files",
    "batches",
    "sequences",
    "schedules",
    "brakes",
    "cases",
)
# A noun that needs one after it, each with its reason.
LOOKS_AHEAD: dict[tuple[str, str], str] = {
    ("portal.services.organisations", "portal.services.events"): "each change is recorded",
    ("portal.services.users", "portal.services.events"): "each change is recorded",
    ("portal.services.payments._returns", "portal.services.allocations"): (
        "a return takes back what its payment was allocated to"
    ),
}
NOUN_LAYERS = ("portal.models", "portal.queries", "portal.services")

SOURCES = list_sources(*PRODUCT)


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> str:
    return max((layer for layer in LAW if is_inside(module, layer)), key=len)


def may_import(module: str, imported: str) -> bool:
    layer = layer_of(module)
    allowed = (*LAW[layer], *EVERYBODYS, layer)
    if layer == "portal":
        return False
    if (module, imported) in EXCEPTIONS:
        return True
    # "anything" means any product layer but jobs; another layer is named by its own prefix.
    return any(is_inside(imported, package) for package in allowed)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_follow_the_arrows(path: Path) -> None:
    wrong = [
        f"{shown(path, line)} imports {imported}"
        for line, imported in list_imports(path)
        if imported.startswith(".")
        or (imported.split(".")[0] in PRODUCT and not may_import(module_name(path), imported))
    ]

    assert wrong == []


def noun_of(module: str) -> tuple[str, int] | None:
    """Return the layer and the place of the noun that a module belongs to."""
    for layer in NOUN_LAYERS:
        if module.startswith(f"{layer}."):
            noun = module.removeprefix(f"{layer}.").split(".")[0]
            return (layer, NOUNS.index(noun)) if noun in NOUNS else None
    return None


@pytest.mark.parametrize("layer", NOUN_LAYERS)
def test_nouns_look_back_only(layer: str) -> None:
    wrong = []
    for path in SOURCES:
        own = noun_of(module_name(path))
        if own is None or own[0] != layer:
            continue
        for line, imported in list_imports(path):
            other = noun_of(imported)
            looks_ahead = other is not None and other[0] == layer and other[1] > own[1]
            if looks_ahead and (module_name(path), imported) not in LOOKS_AHEAD:
                wrong.append(f"{shown(path, line)} imports {imported}")

    assert wrong == []


def test_the_domain_needs_the_standard_library_only() -> None:
    wrong = [
        f"{shown(path, line)} imports {imported}"
        for path in list_sources("portal/domain")
        for line, imported in list_imports(path)
        if not is_inside(imported, "portal.domain")
        and imported.split(".")[0] not in sys.stdlib_module_names
    ]

    assert wrong == []


def test_every_exception_is_still_needed() -> None:
    used = {(module_name(path), imported) for path in SOURCES for _, imported in list_imports(path)}

    assert EXCEPTIONS.keys() | LOOKS_AHEAD.keys() <= used


@pytest.mark.parametrize(
    ("module", "imported", "may"),
    [
        ("portal.web.invoices", "portal.services.invoices", True),
        ("portal.web.invoices", "portal.models.invoices", False),
        ("portal.web.invoices", "portal.api.auth", False),
        ("portal.web.invoices", "portal.ids", True),
        ("portal.domain.money", "portal.clock", False),
        ("portal.queries.invoices", "portal.db", False),
        ("portal.services.invoices", "jobs.engine", False),
        ("portal.cli.start", "portal.services.invoices", True),
        ("portal.cli.start", "jobs.engine", False),
        ("jobs.invoice_issuing", "portal.app", False),
        ("jobs.worker", "portal.app", True),
        ("portal", "portal.config", False),
    ],
)
def test_the_law_says_what_it_should(module: str, imported: str, *, may: bool) -> None:
    assert may_import(module, imported) is may
