"""The dashboard, the alert rules and the page of metrics: made from the table of metrics, and as that is now."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hubwire.listeners.families import FAMILIES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "monitoring"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("monitoring", ROOT / ".ci" / "monitoring.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["monitoring/dashboard.json", "monitoring/alerts.yml", "reference/metrics.md"])
def test_the_files_are_as_they_are_written(writer: ModuleType, name: str) -> None:
    """If this fails: python .ci/monitoring.py."""
    assert (ROOT / "docs" / name).read_text() == writer.FILES[name]()


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\bhub_[a-z_]+\b", text))


KNOWN = {each.name for each in FAMILIES} | {f"{each.name}_bucket" for each in FAMILIES if each.type == "histogram"}


def queries(panels: list[dict[str, Any]]) -> list[str]:
    own = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return own + [query for panel in panels for query in queries(panel.get("panels", []))]


def test_the_dashboard_shows_every_metric() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    shown = metrics_in(" ".join(queries(panels)))
    assert shown <= KNOWN
    assert {each.name for each in FAMILIES} - {name.removesuffix("_bucket") for name in shown} == set()


def test_panels_have_places_of_their_own() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    everything = [*panels, *(inner for panel in panels for inner in panel.get("panels", ()))]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for group in (panels, *(panel["panels"] for panel in panels if "panels" in panel)):
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in group]
        assert len(set(places)) == len(places)


def test_alerts_ask_for_metrics_that_there_are(writer: ModuleType) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    ((group,),) = (yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"],)
    assert [rule["alert"] for rule in group["rules"]] == [alert[0] for alert in writer.ALERTS]
    for rule in group["rules"]:
        used = metrics_in(rule["expr"])
        assert used
        assert used <= KNOWN
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            of = next(each for each in FAMILIES if each.name == min(used).removesuffix("_bucket"))
            assert label in of.labels


def test_the_rules_are_taken_by_promtool() -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    subprocess.run([promtool, "check", "rules", str(FOLDER / "alerts.yml")], check=True)


def test_no_label_is_an_agent() -> None:
    assert not [each for each in FAMILIES if {"agent", "agent_id", "name"} & set(each.labels)]


def test_names_follow_the_rules_of_prometheus() -> None:
    for each in FAMILIES:
        assert re.fullmatch(r"hub_[a-z]+(_[a-z]+)*", each.name)
        assert each.name.endswith("_total") == (each.type == "counter")
        assert each.type != "histogram" or each.name.endswith("_seconds")
        assert each.help.endswith(".")
    assert len({each.name for each in FAMILIES}) == len(FAMILIES)
