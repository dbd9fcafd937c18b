"""The style sheet, joined from its layers, and the names under which files are kept for good."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, g, request, url_for
from flask.typing import ResponseReturnValue

from portal.domain.users import Permission
from portal.web.access import require

LAYERS = (
    "tokens", "base", "layout", "components", "forms", "tables", "lists", "details", "charts",
    "pages", "print",
)  # fmt: skip
KEPT_FOR_GOOD = "public, max-age=31536000, immutable"
VERSION_ARGUMENT = "v"

bp = Blueprint("assets", __name__)


@bp.get("/assets/portal.css")
@require(Permission.PUBLIC)
def stylesheet() -> ResponseReturnValue:
    """Send the layers as one file."""
    answer = Response(_joined(_static_folder()), mimetype="text/css")
    answer.add_etag()
    return answer.make_conditional(request)


def register(app: Flask) -> None:
    """Give the templates the addresses of files, which change with their content."""
    app.register_blueprint(bp)
    app.jinja_env.globals.update(asset=asset, stylesheet_address=stylesheet_address)


def asset(name: str) -> str:
    """Return the address of a static file with its content's mark, looked up once per request."""
    # A list has a picture in each row.
    known: dict[str, str] = g.setdefault("asset_addresses", {})
    if name not in known:
        mark = _mark_of_file(_static_folder() / name)
        known[name] = url_for("static", filename=name, v=mark)
    return known[name]


def stylesheet_address() -> str:
    """Return the address of the joined style sheet with its content's mark."""
    return url_for("assets.stylesheet", v=_mark(_joined(_static_folder()).encode()))


def is_kept_for_good() -> bool:
    """Say whether the address asked for names its content, so that it can never be out of date."""
    return request.endpoint in {"static", "assets.stylesheet"} and VERSION_ARGUMENT in request.args


def _static_folder() -> Path:
    return Path(current_app.static_folder or "")


def _joined(folder: Path) -> str:
    stamps = tuple(path.stat().st_mtime_ns for path in _layer_paths(folder))
    return _join(folder, stamps)


@cache
def _join(folder: Path, _stamps: tuple[int, ...]) -> str:
    order = f"@layer {', '.join(LAYERS)};\n"
    return order + "\n".join(path.read_text(encoding="utf-8") for path in _layer_paths(folder))


def _layer_paths(folder: Path) -> list[Path]:
    return [folder / "css" / f"{layer}.css" for layer in LAYERS]


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _mark_of_file(path: Path) -> str:
    # A file that set-up has not laid down yet must not take the pages down with it.
    return _mark_at(path, path.stat().st_mtime_ns) if path.is_file() else ""


@cache
def _mark_at(path: Path, _stamp: int) -> str:
    return _mark(path.read_bytes())
