"""``python -m hubwire.cli``: the ``hubwire`` command."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    main()
