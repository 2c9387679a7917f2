"""A real Prometheus with the configuration that we ship, scraping a real agent.

scripts/tools takes Prometheus from Debian's package. Where that cannot be had, this is skipped with
a reason, and what is left are the parsers of Prometheus' own library in `test_metrics.py`.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli import scraping
from tests.cli.shell import Shell
from tests.servers.leash import LeashedProcess, free_ports, start_again_if_taken

CONFIG = scraping.DOCKER / "prometheus"
OFTEN = "500ms"  #: between scrapes here; a quarter of a minute in the file that we ship

#: Panels that show nothing of an agent that runs, has begun once, and had one upload arrive.
EMPTY = {
    ("Agents and drains", "uploader_end_time_seconds"),
    ("Agents and drains", "uploader_exit_code"),
    ("Agent starts", "changes"),
}


def program(name: str) -> str:
    """Return where a program of Prometheus is, or skip loudly."""
    beside = str(pathlib.Path(sys.executable).parent / name)
    found = shutil.which(beside) or shutil.which(name)
    if not found:
        pytest.skip(f"NOT TESTED: there is no {name}; scripts/tools gets it from Debian's package")
    return found


class Prometheus:
    """A server, and an agent that it scrapes."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        agent_port, self._port = free_ports(2)
        self.folder = shell.folder / "prometheus"
        shutil.copytree(CONFIG, self.folder)
        config = self.folder / "prometheus.yml"
        text = config.read_text()
        for setting in ("scrape_interval: 15s", "evaluation_interval: 15s", "scrape_timeout: 10s"):
            assert setting in text
            text = text.replace(setting, f"{setting.split(':')[0]}: {OFTEN}")
        config.write_text(text)
        (self.folder / "targets" / "compose.yaml").write_text(
            f"- targets: ['127.0.0.1:{agent_port}']\n"
        )
        self.process = LeashedProcess(
            [
                program("prometheus"),
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            self.folder,
            {},
        )
        try:
            scraping.one_of_everything(shell, "--metrics-port", agent_port)
            self.process.wait_until(self._answers)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End it, and the agent."""
        self.process.kill()
        (self.shell.folder / "hold").unlink(missing_ok=True)
        self.shell.end()

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what its HTTP API says."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]

    def samples(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds now; a mistake in it is an HTTP error."""
        found: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return found

    def finds(self, query: str) -> bool:
        """Tell whether a query finds anything yet."""
        return bool(self.samples(query))

    def _answers(self) -> bool:
        try:
            return bool(self.ask("targets"))
        except OSError:
            return False


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One for all; it has scraped often enough for rates, and has looked at the rules."""
    program("prometheus")
    prometheus = start_again_if_taken(lambda: Prometheus(Shell(tmp_path_factory.mktemp("scraped"))))
    try:
        scraped = "count_over_time(up{job='uploader'}[1m]) > 2 and up == 1"
        prometheus.shell.wait_until(lambda: prometheus.finds(scraped))
        yield prometheus
    finally:
        prometheus.end()


def test_every_query_of_the_dashboard_finds_what_it_shows(prometheus: Prometheus) -> None:
    """All are understood, and only what cannot be there of a healthy agent is not."""
    empty = {(title, query) for title, query in scraping.queries() if not prometheus.finds(query)}
    unexpected = [one for one in empty if not any(one[1].startswith(q) for _, q in EMPTY)]
    assert not unexpected
    assert len(empty) == len(EMPTY)


def test_figures_come_across(prometheus: Prometheus) -> None:
    """By the form that this Prometheus asks for, OpenMetrics."""
    spool = str(prometheus.shell.spool_path)
    for query, value in {
        "uploader_uploads_total{outcome='done'}": "1",
        "uploader_spool_uploads{state='active'}": "1",
        "uploader_spool_limit_bytes": str(1 << 30),
        "uploader_upload_latency_seconds_count": "1",
    }.items():
        (sample,) = prometheus.samples(query)
        assert sample["metric"]["spool"] == spool
        assert sample["value"][1] == value


def test_the_rules_are_understood_and_quiet_about_a_healthy_agent(prometheus: Prometheus) -> None:
    """Each was looked at, with no error and no alarm."""
    shell = prometheus.shell

    def looked_at() -> list[dict[str, Any]]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    shell.wait_until(lambda: all(rule["health"] == "ok" for rule in looked_at()))
    rules = looked_at()
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in scraping.rules()}
    assert [rule["name"] for rule in rules if rule["alerts"]] == []


def test_what_a_file_says_is_read_by_prometheus_own_parser(prometheus: Prometheus) -> None:
    """The one of node_exporter, too; names and types are as Prometheus' linter wants them."""
    path = prometheus.shell.folder / "one.prom"
    other = Shell(prometheus.shell.folder / "other")
    other.folder.mkdir()
    other.put("one")
    assert other.run("drain", "--workers", 1, "--metrics-file", path).returncode == 0
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=path.read_bytes(),
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")]
)
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    """In the configuration, and in when each alert fires."""
    *command, file = arguments
    checked = subprocess.run(
        [program("promtool"), *command, str(CONFIG / file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_agent_that_is_killed_with_work_left_is_an_alarm(prometheus: Prometheus) -> None:
    """It runs last: what waits was last told by an agent that answers no more."""
    agent = prometheus.shell.running[0]
    agent.kill()
    agent.wait()
    (rule,) = [one for one in scraping.rules() if one["alert"] == "UploaderAgentGone"]
    prometheus.shell.wait_until(lambda: prometheus.finds("up{job='uploader'} == 0"))
    (sample,) = prometheus.samples(rule["expr"])
    assert sample["metric"]["spool"] == str(prometheus.shell.spool_path)
    assert sample["value"][1] == "3"
    prometheus.shell.wait_until(lambda: prometheus.finds("ALERTS{alertname='UploaderAgentGone'}"))
