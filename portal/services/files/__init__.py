"""Importing files of invoices, payers and mandates."""

from portal.services.files._import import import_file
from portal.services.files._mapping import (
    FileKind,
    ImportMapping,
    MappingInvalid,
    check_mapping,
    load_mapping,
)
from portal.services.files._order import FileAlreadyImported, FileBeingImported, Told
from portal.services.files._report import ImportReport, ResultNotWritable
from portal.services.files._source import FileNotImportable

__all__ = [
    "FileAlreadyImported",
    "FileBeingImported",
    "FileKind",
    "FileNotImportable",
    "ImportMapping",
    "ImportReport",
    "MappingInvalid",
    "ResultNotWritable",
    "Told",
    "check_mapping",
    "import_file",
    "load_mapping",
]
