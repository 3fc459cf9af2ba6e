"""What a format is: bytes before the records, bytes for some of them, bytes after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from ._record import ExportRecord

__all__ = ("Format",)


class Format:
    """A format of exports. Subclass it for one of your own: :meth:`encode` is all that is needed.

    :func:`~hubwire.exports.export` calls :meth:`begin` once, :meth:`encode` for some records at a time, in their order,
    :meth:`end` once if all went well, and :meth:`close` in any case. The calls come one after the other, but from
    several threads. An object serves one export at a time, and another one after that.
    """

    media_type: ClassVar[str] = "application/octet-stream"
    """What an HTTP answer says that it is."""
    suffix: ClassVar[str] = ".out"
    """How a file of this format is named."""

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for those who override it
        """Return what stands before the records. Forget an export before this one.

        ``redaction`` says by which rules they are redacted, as :attr:`hubwire.redaction.Redactor.stamp`; None if they
        are exported as they are.
        """
        return b""

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        """Return what stands for some records, at least one."""
        raise NotImplementedError(f"{type(self).__name__}.encode")

    def end(self) -> Iterable[bytes]:
        """Return what stands after the records, in pieces."""
        return ()

    def close(self) -> None:
        """Give up what the export has needed, also after a failure."""
