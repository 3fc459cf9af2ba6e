"""Exports: the records of a log in the formats of other tools, streamed, and redacted unless asked otherwise.

``async for piece in export(records, Csv()): file.write(piece)``. The records may be those of a
:class:`~hubwire.log.LogReader`, ``hub.events()``, or dictionaries; a :class:`Format` says what becomes of them.
"""

from __future__ import annotations

from ._export import export, export_now
from ._format import Format
from ._record import ExportRecord
from .cloudevents import CloudEvents
from .csv import Csv
from .ecs import Ecs
from .jsonl import Jsonl
from .ocsf import Ocsf
from .otlp import Otlp
from .parquet import Parquet
from .report import Report

__all__ = (
    "CloudEvents",
    "Csv",
    "Ecs",
    "ExportRecord",
    "Format",
    "Jsonl",
    "Ocsf",
    "Otlp",
    "Parquet",
    "Report",
    "export",
    "export_now",
)
