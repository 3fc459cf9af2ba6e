"""How complete a log is, measured against what others have recorded of the same runs.

:func:`deeds_of` reads what a log says was done: messages, calls of tools and their results, turns, approvals and
checkpoints. A runtime's own record is deeds, too, and :func:`grade` compares the two: what the log lacks, what it alone
has, what differs, and what could not be compared. ``hubwire grade`` reads transcripts of others, and prints it.
"""

from __future__ import annotations

from ._deed import Deed
from ._grade import Difference, Grade, Tally, grade
from ._records import deeds_of
from ._sameness import said_in

__all__ = ("Deed", "Difference", "Grade", "Tally", "deeds_of", "grade", "said_in")
