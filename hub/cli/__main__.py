"""``python -m hubwire.cli``, which is ``python -m hubwire`` by its longer name."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    main()
