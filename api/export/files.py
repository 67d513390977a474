"""The forms of an export: CSV (RFC 4180) and NDJSON, part by part. Pure."""

import csv
from collections.abc import Iterable
from hashlib import sha256
from io import StringIO
from typing import Protocol

import msgspec
from msgspec import Raw

from api.export.columns import Values, columns, values
from api.params.export import Export
from projector.readmodel.query.fields import Fields

# What a spreadsheet takes for a formula if a cell begins with it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

_text = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])
_objects = msgspec.json.Decoder(list[Raw])


class File(Protocol):
    """`rows`: how many were written."""

    media_type: str
    rows: int

    def head(self) -> bytes: ...

    def part(self, documents: bytes) -> bytes:
        """`documents`: JSON objects of groups with exactly the fields of the export, joined by commas."""

    def end(self, vanished: int) -> bytes:
        """`vanished`: how many groups were selected, and are left out because they are no longer listed."""


def file_of(export: Export) -> File:
    return Csv(export) if export.form == "csv" else Ndjson(export)


class Csv:
    """Numbers are as in lists, to the last digit. Null is an empty cell."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, export: Export) -> None:
        self._fields = export.query.fields
        self._per_order = export.per_order
        self._has_bom = export.has_bom
        self._columns = columns(self._fields, per_order=self._per_order)
        self.rows = 0

    def head(self) -> bytes:
        return (_BOM if self._has_bom else "").encode() + _lines([self._columns])

    def part(self, documents: bytes) -> bytes:
        rows = [self._cells(row) for row in values(documents, self._fields, per_order=self._per_order)]
        self.rows += len(rows)
        return _lines(rows)

    def end(self, vanished: int) -> bytes:
        return b""

    def _cells(self, row: Values) -> list[str]:
        return [cell(name, bytes(value)) for name, value in zip(self._columns, row, strict=True)]


def cell(column: str, value: bytes) -> str:
    """`value`: as JSON. Lists are joined by semicolons; orders stay JSON."""
    match value[:1]:
        case b'"':
            return _harmless(_text.decode(value))
        case b"n":
            return ""
        case b"[" if column != "orders":
            return _harmless(";".join(_texts.decode(value)))
        case _:
            return value.decode()


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    lines = StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue().encode()


class Ndjson:
    """A JSON object in each line; the last one has the number of those before it, and the SHA-256 of their bytes."""

    media_type = "application/x-ndjson"

    def __init__(self, export: Export) -> None:
        self._fields: Fields = export.query.fields
        self._per_order = export.per_order
        self._columns = columns(self._fields, per_order=self._per_order)
        self._digest = sha256()
        self.rows = 0

    def head(self) -> bytes:
        return b""

    def part(self, documents: bytes) -> bytes:
        objects = self._objects(documents)
        found = b"".join(one + b"\n" for one in objects)
        self._digest.update(found)
        self.rows += len(objects)
        return found

    def end(self, vanished: int) -> bytes:
        found = {"count": self.rows, "vanished": vanished, "sha256": self._digest.hexdigest()}
        return msgspec.json.encode({"export": found}) + b"\n"

    def _objects(self, documents: bytes) -> list[bytes]:
        if not self._per_order:
            return [bytes(one) for one in _objects.decode(b"[" + documents + b"]")]
        rows = values(documents, self._fields, per_order=True)
        return [msgspec.json.encode(dict(zip(self._columns, row, strict=True))) for row in rows]
