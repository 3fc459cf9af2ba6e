"""The help of the verbs: the paragraphs of their docstrings, to be broken where the terminal ends."""

from __future__ import annotations

from inspect import cleandoc

from cyclopts import App

__all__ = ("unwrap_help",)


def unwrap_help(app: App) -> None:
    """Let each paragraph of the help of an application, and of its verbs, be one line: else it is broken twice."""
    for name in app:
        if not name.startswith("-"):
            verb = app[name]
            if verb.help:
                verb.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(verb.help).split("\n\n"))
            unwrap_help(verb)
