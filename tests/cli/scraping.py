"""Scrape an agent, and read what a dashboard, rules and their table name."""

from __future__ import annotations

import json
import pathlib
import re
import urllib.request
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.shell import Shell

DOCKER = pathlib.Path(__file__).parents[2] / "docker"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "uploader.json"
RULES = DOCKER / "prometheus" / "alerts.yml"
TABLE = DOCKER / "prometheus" / "README.md"

_NAME = re.compile(r"\buploader_\w+")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


class Scraped:
    """What an agent told at a moment."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))

    @property
    def names(self) -> set[str]:
        """The metrics, as the table has them."""
        return {_table_name(family.name, family.type) for family in self.families if family.samples}

    def value(self, name: str, **labels: str) -> float:
        """Return one sample's value."""
        (value,) = [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return value


def scrape(port: int) -> Scraped:
    """Ask an agent, as Prometheus does."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return Scraped(response.read().decode())


def answers(port: int) -> bool:
    """Tell whether somebody tells metrics there."""
    try:
        return bool(scrape(port).families)
    except OSError:
        return False


def read(path: pathlib.Path) -> Scraped:
    """Read a file for node_exporter."""
    return Scraped(path.read_text())


def queries() -> Iterator[tuple[str, str]]:
    """Yield each panel's title, and a query of it as Grafana would send it."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], _filled(target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], _filled(annotation["expr"])


def names_in_dashboard() -> set[str]:
    """Return the metrics that are shown, or that a variable is made of."""
    return _names(DASHBOARD.read_text()) - {"uploader_exit"}


def names_in_rules() -> set[str]:
    """Return the metrics that the rules ask for."""
    return {name for rule in rules() for name in _names(rule["expr"])}


def names_in_table() -> set[str]:
    """Return the metrics that the table explains."""
    return set(re.findall(r"^\| `(uploader_\w+)`", TABLE.read_text(), flags=re.MULTILINE))


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    import yaml  # type: ignore[import-untyped]  # it ships none, and no product code needs it

    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def one_of_everything(shell: Shell, *where: object) -> None:
    """Start an agent that has every metric: one upload arrived, one is held, others wait."""
    hold = shell.folder / "hold"
    shell.spool(max_bytes=1 << 30).close()
    faults = f"hold={hold},only=put"
    shell.start_supervisor("run", "--workers", 1, *where, UPLOADER_FAULTS=faults)
    first = shell.put("before")
    shell.wait_until(lambda: shell.state(first) == "done")
    hold.touch()
    shell.put("one")
    shell.wait_until(hold.with_name("hold.reached").exists)
    shell.put("two")
    shell.link("one", "three")


def _filled(query: str) -> str:
    for name in ("job", "instance", "spool"):
        query = query.replace(f"${name}", ".*")
    query = query.replace("$__rate_interval", "1m")
    assert "$" not in query, query
    return query


def _names(text: str) -> set[str]:
    return {_SUFFIX.sub("", name) for name in _NAME.findall(text)}


def _table_name(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" and not name.endswith("_total") else name
