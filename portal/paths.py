"""Where templates, static files, migrations and samples lie, in the checkout and in the wheel.

Nothing else works out such a path from its own place.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

# A checkout keeps these folders beside the package; the wheel carries them inside it, so that an
# installation does not spread folders called `static` or `templates` over site-packages.
_packed = PACKAGE / "_assets"
ROOT = _packed if _packed.is_dir() else PACKAGE.parent

TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
MIGRATIONS = ROOT / "migrations"
MAPPING_SAMPLES = PACKAGE / "samples" / "mappings"
# `rules` is a package of its own and lies beside `portal` in both forms.
RULE_SAMPLES = PACKAGE.parent / "rules" / "samples"
