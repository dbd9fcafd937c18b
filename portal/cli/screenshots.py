"""`portal screenshots`: take pictures of the main pages of a running portal, for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from portal.domain.errors import Unavailable

PAGES = {
    "overview": "/",
    "invoices": "/invoices",
    "payments": "/payments",
    "attempts": "/attempts",
    "payers": "/payers",
    "runs": "/runs",
}
WIDTHS = {"wide": 1440, "narrow": 390}
LOOKS = ("light", "dark")
HEIGHT = 900
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowser(Unavailable):
    """There is no {missing} here, so no picture was taken. Install Chromium and the extra `dev`,
    then try again."""

    missing: str


class SignInFailed(Unavailable):
    """{address} did not let {email} in, so no picture was taken. Check the address, the e-mail
    address and the password."""

    address: str
    email: str


@click.command()
@click.argument("address", metavar="ADDRESS")
@click.option("--email", required=True, help="Who signs in.")
@click.option("--password", required=True, envvar="PORTAL_PASSWORD", help="Or PORTAL_PASSWORD.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder."
)
@click.option("--page", "pages", multiple=True, help="Only this one: a name, or a path after `/`.")
def screenshots(
    *, address: str, email: str, password: str, out: Path, pages: tuple[str, ...]
) -> None:
    """Take pictures of the portal at ADDRESS: wide and narrow, light and dark.

    Each becomes NAME-WIDTH-LOOK.png in the folder; pages that the person may not see are left out.
    """
    browsers = _import_browsers()
    wanted = {name: PAGES[name] for name in pages if name in PAGES} if pages else PAGES
    wanted |= {_name_of(page): page for page in pages if page.startswith("/")}
    out.mkdir(parents=True, exist_ok=True)
    with browsers() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        window = browser.new_page(reduced_motion="reduce")
        _sign_in(window, address.rstrip("/"), email=email, password=password)
        for name, path in wanted.items():
            for taken in _take(window, address.rstrip("/") + path, out=out, name=name):
                click.echo(taken)
        browser.close()


def _take(window: Any, address: str, *, out: Path, name: str) -> list[Path]:
    answer = window.goto(address)
    if answer is None or not answer.ok:
        return []
    taken = []
    for width_name, width in WIDTHS.items():
        for look in LOOKS:
            window.set_viewport_size({"width": width, "height": HEIGHT})
            window.emulate_media(color_scheme=look)
            taken.append(out / f"{name}-{width_name}-{look}.png")
            window.screenshot(path=taken[-1])
    return taken


def _sign_in(window: Any, address: str, *, email: str, password: str) -> None:
    window.goto(f"{address}/sign-in")
    window.get_by_label("E-mail address").fill(email)
    window.get_by_label("Password").fill(password)
    window.get_by_role("button", name="Sign in").click()
    if urlsplit(window.url).path == "/sign-in":
        raise SignInFailed(address=address, email=email)


def _name_of(path: str) -> str:
    return path.strip("/").replace("/", "-").partition("?")[0] or "overview"


def _import_browsers() -> Any:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser(missing="playwright") from None
    return sync_playwright


def _find_chromium() -> str:
    import shutil

    for name in CHROMIUM_NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise NoBrowser(missing="Chromium")
