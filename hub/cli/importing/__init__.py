"""What others have recorded becomes channels, envelopes and facts of a hub.

``reading`` cuts an input into items, whatever it is packed in, and ``decoding`` makes JSON values of them. A format, a
file each, makes conversations of a value; ``formats`` knows them all, and recognises them. ``conversation`` is what
they have in common: the parts of a conversation, and who said them. ``known`` reads from the audit log what is in the
store already, ``writing`` puts the rest into the hub, and ``accounts`` counts what became of every item.

Every byte of an item is mapped, kept, or refused by name: a format takes the keys that it maps out of an object
(``fields``), and what is left is kept beside them.
"""

from __future__ import annotations

__all__ = ()
