"""The documentation is whole: pages, links, words, pictures, and what is made from the code. No site is built."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import hubwire
from hubwire import AttachmentState, events

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
PICTURE = re.compile(r'^```picture title="([^"\n]*)"(?: mark="([^"\n]*)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
PICTURES = [
    pytest.param(*found.groups(), id=f"{name}-{number}")
    for name, text in PAGES.items()
    for number, found in enumerate(PICTURE.finditer(text))
]
WORDS = (
    "event",
    "seq",
    "commit",
    "listener",
    "attachment",
    "duty",
    "ring",
    "applied",
    "journaled",
    "committed",
    "mailbox",
    "journal",
    "record",
    "log",
    "segment",
    "store",
    "subscriber",
    "dead letter",
    "arbiter",
    "expectation",
    "phase",
    "ingress",
    "guest",
    "head",
    "board",
    "spool",
)
PRONOUNS = (
    "nobody|somebody|anybody|everybody|no one|someone|anyone|everyone|whoever|whom|something|anything|nothing"
    "|everything|whatever|whichever"
)


@pytest.fixture(scope="module")
def hooks() -> Callable[[str], ModuleType]:
    """Import what the build runs."""
    if str(DOCS / "hooks") not in sys.path:
        sys.path.insert(0, str(DOCS / "hooks"))
    return import_module


# --- pages and links ------------------------------------------------------------------------------------------------


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r"[\w/-]+\.md", navigation)) == sorted(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """A link names a page that exists, and a heading of it."""
    prose = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        page, _, anchor = link.partition("#")
        target = (DOCS / name).parent / page if page else DOCS / name
        if not target.is_file() or (anchor and anchor not in anchors_of(target.read_text())):
            wrong.append(link)
    assert wrong == []


def anchors_of(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*?)(?: \{ ?#([\w.]+) ?\})?$", text, re.MULTILINE)
    return {given or re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title, given in titles}


def test_readme_links_exist() -> None:
    links = re.findall(r"""(?:\]\(|src=")([^)"\s]+)""", (ROOT / "README.md").read_text())
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link.partition("#")[0]).exists()
    ] == []


def test_options_stay_in_one_piece(hooks: Callable[[str], ModuleType]) -> None:
    """On a narrow page, too: in running text, wherever in its code; blocks of code scroll."""
    breakable = hooks("inline").breakable
    option = '<span class="option">--expect-head</span>'
    for text, marked in (
        ("<code>--expect-head</code>", f"<code>{option}</code>"),
        ("<td><code>verify --expect-head X</code></td>", f"<td><code>verify {option} X</code></td>"),
        ("<p>--expect-head</p>", None),
        ("<pre><code>--expect-head</code></pre>", None),
        ("<pre><span></span><code>--expect-head</code></pre>", None),
        ("<code>a--b</code> <code>---</code> <code>->-x</code>", None),
    ):
        assert breakable(text) == (text if marked is None else marked)
    assert ".option { white-space: nowrap;" in (DOCS / "stylesheets" / "extra.css").read_text()


def test_long_names_break_at_their_words(hooks: Callable[[str], ModuleType]) -> None:
    breakable = hooks("inline").breakable
    name = "<code>tests/test_functions.py::test_a_long_name</code>"
    assert breakable(name) == ("<code>tests/<wbr>test_<wbr>functions.py::<wbr>test_<wbr>a_<wbr>long_<wbr>name</code>")
    for text in ("<code>a_short_name</code>", name.removeprefix("<code>"), f"<pre>{name}</pre>"):
        assert breakable(text) == text


# --- words ----------------------------------------------------------------------------------------------------------


def test_the_glossary_explains_the_words_of_the_hub() -> None:
    explained = {
        word for row in re.findall(r"^\| (\*\*.*?) \|", PAGES["glossary.md"], re.MULTILINE) for word in words_of(row)
    }
    assert set(WORDS) <= explained


def words_of(cell: str) -> list[str]:
    return re.findall(r"\*\*(.*?)\*\*", cell)


def test_prose_names_its_subjects() -> None:
    """At most four words in a thousand are indefinite pronouns: subjects are things."""
    texts = {**PAGES, "README.md": (ROOT / "README.md").read_text()}
    prose = " ".join(
        re.sub(r"^```.*?^```$|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE) for text in texts.values()
    )
    found = re.findall(rf"\b(?:{PRONOUNS})\b", prose, re.IGNORECASE)
    assert 1000 * len(found) / len(prose.split()) <= 4, found


def declared_kinds() -> set[str]:
    """Return every kind that ships."""
    found = (getattr(getattr(events, name), "kind", None) for name in events.__all__)
    return {kind for kind in found if isinstance(kind, str)}


# --- made from the code ---------------------------------------------------------------------------------------------


def test_the_catalogue_has_every_kind(hooks: Callable[[str], ModuleType]) -> None:
    kinds = declared_kinds()
    made = hooks("catalogue").catalogue()
    headings = re.findall(r"^### (\S+) \{#(\S+)\}$", made, re.MULTILINE)
    assert len(kinds) > 70
    assert {kind for kind, anchor in headings if kind == anchor} == kinds
    assert "| `attempt` | `int` | *needed* |" in made
    assert "made by `channel.post()`" in made
    assert ":class:" not in made


@pytest.mark.slow
def test_every_error_is_explained(hooks: Callable[[str], ModuleType]) -> None:
    text = PAGES["troubleshooting.md"]
    names = hooks("messages").errors()
    sections = dict(re.findall(r"^### (\w+) \{ #\1 \}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    assert set(sections) == set(names)
    branches = {"HubError", "CallerError", "OperatorError"}
    assert [name for name in names if name not in branches and "**What to do.**" not in sections[name]] == []
    shown = set(re.findall(r"<!-- made: messages (\w+) -->", text))
    assert shown == {name for name, found in hooks("messages").messages().items() if found}


def test_every_error_has_its_messages(hooks: Callable[[str], ModuleType]) -> None:
    found = hooks("messages").messages()
    silent = {name for name in found if not found[name]}
    assert silent <= {"HubError", "CallerError", "OperatorError", "PartialBatch"}
    assert any("bytes, not" in message for message in found["AppendConflict"])
    assert not [message for messages in found.values() for message in messages if "{" in message and "…" not in message]


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(PAGES.values())
    shown = set(re.findall(r"^::: (hubwire[\w.]*)$", text, re.MULTILINE))
    names = {module.rpartition(".")[2] for module in shown} | {name for module in shown for name in exports_of(module)}
    assert [name for name in vars(hubwire)["__all__"] if name not in names] == []


def exports_of(module: str) -> tuple[str, ...]:
    try:
        return tuple(getattr(import_module(module), "__all__", ()))
    except ImportError:
        return ()


@pytest.mark.parametrize("package", ["hub", "listeners", "stores"])
def test_every_public_module_is_in_the_reference(package: str) -> None:
    """A module is shown as a whole, or by each of its names."""
    text = "\n".join(PAGES.values())
    shown = set(re.findall(r"^::: (hubwire[\w.]*)$", text, re.MULTILINE))
    missing = []
    for path in sorted((ROOT / package).iterdir()):
        if path.name.startswith(("_", ".")) or path.name in ("cli", "py.typed"):
            continue
        prefix = "hubwire" if package == "hub" else f"hubwire.{package}"
        module = f"{prefix}.{path.stem}"
        names = exports_of(module)
        by_name = all({f"{module}.{name}", f"{prefix}.{name}", f"hubwire.{name}"} & shown for name in names)
        if module not in shown and not by_name:
            missing.append(module)
    assert missing == []


def test_wings_and_storeys_are_those_of_the_code(hooks: Callable[[str], ModuleType]) -> None:
    wings, storeys = hooks("wings").wings(), hooks("wings").storeys()
    folders = {path.name for path in (ROOT / "hub").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `hub/(\w+)/` \| \w", wings, re.MULTILINE)) == folders
    assert re.search(r"┃ _state ┃", storeys)
    assert re.search(r"│ errors │", storeys)
    assert PICTURE.fullmatch(storeys)


def test_lives_are_drawn_from_the_tables_of_moves(hooks: Callable[[str], ModuleType]) -> None:
    lives = hooks("lives")
    made = lives.lives()
    assert "| `open` | It takes commands. | `closing`, `failed` |" in made
    pictures = {title: source for title, _, source in PICTURE.findall(made)}
    for module, moves in lives.tables():
        states = [state.value for state in moves]
        title = next(title for title in pictures if title.endswith(f": {', '.join(states)}"))
        assert re.findall(r"[│┤├►] +(\w+) +[│├┤◄]", pictures[title]) == states, module


def test_lines_to_one_state_join(hooks: Callable[[str], ModuleType]) -> None:
    """A line that passes another one does not join it, and a picture that would mislead is not drawn."""
    draw = hooks("lives").draw
    assert draw(["a", "b", "c", "d"], {(0, 1), (1, 2), (2, 3), (0, 3), (1, 3), (0, 2), (3, 0)}) == [
        "      ╭───╮",
        "   ╭─►│ a ├──┬──╮",
        "   │  ╰─┬─╯  │  │",
        "   │    ▼    │  │",
        "   │  ╭───╮  │  │",
        "   │  │ b ├──┤  │",
        "   │  ╰─┬─╯  │  │",
        "   │    ▼    │  │",
        "   │  ╭───╮  │  │",
        "   │  │ c │◄─│──╯",
        "   │  ╰─┬─╯  │",
        "   │    ▼    │",
        "   │  ╭───╮  │",
        "   ╰──┤ d │◄─╯",
        "      ╰───╯",
    ]
    assert draw(["a", "b", "c", "d"], {(0, 2), (1, 3), (2, 0)})
    beside = draw(["a", "b", "c", "d", "e"], {(0, 2), (2, 4)})
    assert [row for row in beside if "a" in row or "c" in row or "e" in row] == [
        "   ╭──┤ a │",
        "   ╰─►│ c ├──╮",
        "      │ e │◄─╯",
    ]
    assert draw(["a", "b", "c", "d", "e", "f", "g"], {(0, 2), (2, 4), (4, 6)}) == []


def test_docstrings_become_markdown(hooks: Callable[[str], ModuleType]) -> None:
    to_markdown = hooks("roles").to_markdown
    text = (
        "See :class:`~hubwire.errors.StoreFull`, :meth:`attach`::\n\n    code\n\n.. code-block:: python\n\n    x = 1\n"
    )
    assert to_markdown(text, lambda name: name if name.startswith("hubwire.") else None) == (
        'See <autoref identifier="hubwire.errors.StoreFull" optional>`StoreFull`</autoref>, `attach`:\n\n    code\n\n'
        "```python\nx = 1\n```"
    )


@pytest.mark.parametrize(
    ("value", "labels", "wanted"),
    [
        ("1", {"class-attribute", "instance-attribute"}, "1"),
        ("('email', 'phone')", {"module-attribute"}, "('email', 'phone')"),
        ("attrs.field(default=1000, validator=check)", {"class-attribute", "instance-attribute"}, "1000"),
        ("(\n    attrs.field(factory=dict)\n)", {"class-attribute", "instance-attribute"}, "dict()"),
        ("attrs.field(repr=False)", {"class-attribute", "instance-attribute"}, None),
        ("_text", {"class-attribute", "instance-attribute"}, None),
        ("parts.groups._made(self)", {"instance-attribute"}, None),
    ],
)
def test_attributes_show_their_defaults(
    value: str, labels: set[str], wanted: str | None, hooks: Callable[[str], ModuleType]
) -> None:
    assert hooks("defaults").default_of(value, labels) == wanted


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "mark", "source"), PICTURES)
def test_pictures_can_be_drawn(title: str, mark: str | None, source: str, hooks: Callable[[str], ModuleType]) -> None:
    """Every character of a picture is drawn, every stressed word is in it, and it fits on a page."""
    pictures = hooks("pictures")
    element = ET.fromstring(pictures.render(source, title, mark or ""))  # noqa: S314 - we have just made it
    space = "{http://www.w3.org/2000/svg}"
    drawn = {*pictures.LINES, *pictures.HEADS}
    texts = [text.text or "" for text in element.iter(f"{space}text")]
    left = "".join(character for character in source if character not in drawn)
    assert "".join("".join(texts).split()) == "".join(left.split())
    assert {word for word in (mark or "").split(",") if word} <= {*re.findall(r"[\w ]*\w", "\n".join(texts))}
    assert max(map(len, source.split("\n"))) <= 92
    assert "\t" not in source
    # An arrow head in the side of a box would leave the box open.
    assert not re.search(r"[╰└┗╚][─━═┬┯╤┴┷╧]*[▲▼][─━═┬┯╤┴┷╧]*[╯┘┛╝]", source)


def test_boxes_are_closed_and_filled(hooks: Callable[[str], ModuleType]) -> None:
    drawn = hooks("pictures").render("┌─┐ ╔══╗\n│a├►║ b║\n└─┘ ╚══╝\n┌─┐\n│c\n└─┘", "title", "b")
    assert drawn.count('class="box light"') == 1
    assert drawn.count('class="box disk"') == 1
    assert drawn.count('class="head"') == 1
    assert '<text class="mark" x="60" y="35"' in drawn
    assert "<title>title</title>" in drawn


def test_pictures_show_the_states_of_the_code() -> None:
    page = PAGES["concepts/duties.md"]
    states = next(source for title, _, source in PICTURE.findall(page) if title.startswith("States of an attachment"))
    assert {state.value for state in AttachmentState} == set(re.findall(r"│ +(\w+) +│", states))


def test_kinds_in_pictures_exist() -> None:
    kinds = declared_kinds()
    domains = {kind.partition(".")[0] for kind in kinds}
    named = {
        word
        for _, _, source in PICTURE.findall("\n".join(PAGES.values()))
        for word in re.findall(r"[a-z]+\.[a-z_]+\b(?!\()", source)
    }
    assert {
        word for word in named if word.partition(".")[0] in domains - {"channel", "hub"} and word not in kinds
    } == set()
    assert "channel.opened" in named


def test_readme_shows_the_picture_of_the_first_page(hooks: Callable[[str], ModuleType]) -> None:
    """Drawn anew with ``python docs/hooks/pictures.py``."""
    pictures = hooks("pictures")
    assert (DOCS / "pictures" / "hubwire.svg").read_text() == pictures.overview()
