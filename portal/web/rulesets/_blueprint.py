"""Where the views of rule sets hang."""

from flask import Blueprint

bp = Blueprint("rulesets", __name__)

VERSION = "/rules/<int(max=999999):rule_set_version>"
