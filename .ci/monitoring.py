"""Write a dashboard for Grafana, alert rules for Prometheus and a page of the reference, from the table of metrics.

`python .ci/monitoring.py` writes them into `docs/`. They are made from `hubwire.listeners.families`: what is renamed
there is renamed here, and `tests/test_monitoring.py` fails while the files are not as this writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubwire.listeners.families import FAMILIES, Family

DOCS = Path(__file__).resolve().parents[1] / "docs"

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ROWS = {
    "Events and work": ("events", "event_age", "work", "model"),
    "Listeners": ("listener",),
    "Feeds": ("feed",),
    "Actors": ("actor",),
    "Journal, stores, live tails": ("journal", "store", "tail", "dead_letters"),
    "Tenants": ("tenant",),
}
"""By title, how the names of their metrics begin after `hub_`; all others are about the hub."""
OTHERS = "Hub"

MODULES = (
    "listeners.prometheus",
    "listeners.pushed",
    "listeners.hub_metrics",
    "listeners.families",
    "listeners.opentelemetry.metrics",
    "stores.measured",
)
"""What the page of the reference has below its tables."""

OVERVIEW = (
    ("Healthy", "min(hub_healthy)", "bool_yes_no"),
    ("Events per second", "sum(rate(hub_committed_events_total[$__rate_interval]))", "short"),
    ("Worst lag of a listener", "max(hub_listener_lag_events)", "short"),
    ("Approvals waiting", "sum(hub_approvals_waiting)", "short"),
    ("Envelopes waiting", "sum(hub_mailbox_depth)", "short"),
    ("Loop lag", "max(hub_loop_lag_seconds)", "s"),
)

ALERTS = (
    ("HubAbsent", "absent(hub_info)", "5m", "critical", "No hub is scraped."),
    ("HubUnhealthy", "hub_healthy == 0", "1m", "critical", "The hub does not keep all its promises: see hub.health()."),
    ("HubCommitStalled", "hub_commit_stalled_seconds > 10", "1m", "critical", "Events wait for their commit."),
    ("HubLoopBlocked", "hub_loop_lag_seconds > 1", "2m", "warning", "The event loop is blocked again and again."),
    ("HubListenerDown", "hub_listener_up == 0", "2m", "warning", "The listener {{ $labels.listener }} gets no events."),
    ("HubListenerBehind", "hub_listener_lag_events > 1000", "5m", "warning", "{{ $labels.listener }} is behind."),
    (
        "HubListenerDropping",
        "increase(hub_listener_dropped_total[5m]) > 0",
        "0m",
        "warning",
        "The listener {{ $labels.listener }} has missed events.",
    ),
    (
        "HubListenerFailing",
        "increase(hub_listener_errors_total[10m]) > 0",
        "0m",
        "warning",
        "The listener {{ $labels.listener }} fails: see statistics().last_error.",
    ),
    (
        "HubListenerSlow",
        "histogram_quantile(0.99, sum by (le, listener) (rate(hub_listener_duration_seconds_bucket[5m]))) > 5",
        "10m",
        "warning",
        "Calls of the listener {{ $labels.listener }} take more than 5 s.",
    ),
    (
        "HubFeedDropping",
        "increase(hub_feed_dropped_total[5m]) > 0",
        "0m",
        "warning",
        "The feed {{ $labels.feed }} has left out what it had no room for.",
    ),
    ("HubFeedFailing", "hub_feed_pausing == 1", "5m", "warning", "The feed {{ $labels.feed }} fails again and again."),
    ("HubEmittersWaiting", "hub_emitters_waiting > 0", "5m", "warning", "The hub takes events in too slowly."),
    ("HubMailboxesFill", "hub_mailbox_depth > 1000", "10m", "warning", "Agents do not keep up with their envelopes."),
    ("HubApprovalsWaiting", "hub_approvals_waiting > 0", "1h", "info", "Approvals wait for a person."),
    (
        "HubActorsCrash",
        "increase(hub_actor_crashes_total[10m]) > 3",
        "0m",
        "warning",
        "Actors of the group {{ $labels.group }} crash again and again.",
    ),
    ("HubJournalFailing", "hub_journal_failing == 1", "5m", "critical", "The upkeep of the journal fails."),
    ("HubStoreFailing", "increase(hub_store_errors_total[5m]) > 0", "0m", "critical", "The store fails."),
    (
        "HubStoreSlow",
        "histogram_quantile(0.99, sum by (le, area) (rate(hub_store_append_seconds_bucket[5m]))) > 1",
        "10m",
        "warning",
        "Appends to {{ $labels.area }} take more than a second.",
    ),
    ("HubDeadLetters", "hub_dead_letters > 0", "10m", "info", "Dead letters of listeners wait for a person."),
    ("HubRedactionFails", "increase(hub_values_withheld_total[10m]) > 0", "0m", "warning", "The redactor fails."),
    ("HubWithoutMemory", "increase(hub_dead_letters_lost_total[10m]) > 0", "0m", "warning", "Dead letters are lost."),
)


def queries_of(family: Family) -> Iterator[tuple[str, str]]:
    """Yield what a panel of this family asks for, and how it names what it gets."""
    by = ", ".join(family.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in family.labels)
    if family.type == "histogram":
        for quantile in (0.5, 0.95, 0.99):
            inner = ", ".join(("le", *family.labels))
            rate = f"sum by ({inner}) (rate({family.name}_bucket[$__rate_interval]))"
            yield f"histogram_quantile({quantile}, {rate})", f"{legend} p{quantile * 100:g}".strip()
        return
    value = f"rate({family.name}[$__rate_interval])" if family.type == "counter" else family.name
    yield f"sum by ({by}) ({value})" if by else f"sum({value})", legend or family.name


def unit_of(family: Family) -> str:
    name = family.name.removesuffix("_total")
    unit = "s" if name.endswith("_seconds") else "bytes" if name.endswith("_bytes") else "short"
    return "Bps" if unit == "bytes" and family.type == "counter" else unit


def row_of(family: Family) -> str:
    rest = family.name.removeprefix("hub_")
    return next((title for title, starts in ROWS.items() if rest.startswith(starts)), OTHERS)


def panel(number: int, kind: str, title: str, help_: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": help_,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
            for index, (expr, legend) in enumerate(queries)
        ],
    }


def placed(panels: list[dict[str, Any]], top: int, width: int, height: int) -> list[dict[str, Any]]:
    per_row = 24 // width
    for index, each in enumerate(panels):
        each["gridPos"] = {
            "x": index % per_row * width,
            "y": top + index // per_row * height,
            "w": width,
            "h": height,
        }
    return panels


def dashboard() -> str:
    stats = [
        panel(number, "stat", title, "", unit, [(expr, "")]) for number, (title, expr, unit) in enumerate(OVERVIEW, 1)
    ]
    panels, number, top = placed(stats, 0, 4, 4), len(stats), 4
    for title in (OTHERS, *ROWS):
        inside = []
        for family in FAMILIES:
            if row_of(family) == title:
                number += 1
                name = family.name.removeprefix("hub_").removesuffix("_total").replace("_", " ").capitalize()
                unit, queries = unit_of(family), list(queries_of(family))
                inside.append(panel(number, "timeseries", name, family.help, unit, queries))
        number += 1
        row = {"id": number, "type": "row", "title": title, "collapsed": True, "panels": placed(inside, top + 1, 8, 7)}
        panels.append({**row, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        top += 1
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return (
        json.dumps(
            {
                "uid": "hubwire",
                "title": "hubwire",
                "tags": ["hubwire"],
                "schemaVersion": 39,
                "refresh": "10s",
                "time": {"from": "now-1h", "to": "now"},
                "templating": {"list": [variable]},
                "panels": panels,
            },
            indent=1,
        )
        + "\n"
    )


def alerts() -> str:
    lines = ["# Written by .ci/monitoring.py; change that, and run it.", "groups:", "  - name: hubwire", "    rules:"]
    for name, expr, lasting, severity, summary in ALERTS:
        lines += [
            f"      - alert: {name}",
            f"        expr: {json.dumps(expr)}",
            f"        for: {lasting}",
            f"        labels: {{severity: {severity}}}",
            f"        annotations: {{summary: {json.dumps(summary)}}}",
        ]
    return "\n".join(lines) + "\n"


def page() -> str:
    lines = ["# Metrics", "", "<!-- Written by .ci/monitoring.py; change that, and run it. -->", ""]
    lines += ["The names under which [metrics](../guides/metrics.md) are shown. No label is an agent.", ""]
    for title in (OTHERS, *ROWS):
        lines += [f"## {title}", "", "| name | type | labels | what it is |", "|---|---|---|---|"]
        for family in FAMILIES:
            if row_of(family) == title:
                labels = ", ".join(f"`{label}`" for label in family.labels)
                lines.append(f"| `{family.name}` | {family.type} | {labels} | {family.help.rstrip('.')} |")
        lines.append("")
    for module in MODULES:
        lines += [f"::: hubwire.{module}", "    options: {heading_level: 2}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


FILES = {"monitoring/dashboard.json": dashboard, "monitoring/alerts.yml": alerts, "reference/metrics.md": page}


def main() -> None:
    for name, write in FILES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(write(), encoding="utf-8")
        print(f"written: docs/{name}")


if __name__ == "__main__":
    main()
