"""Metrics as an operator meets them: real agents, scraped; files that stay; what names them."""

from __future__ import annotations

import json
import os
import pathlib
import signal
from contextlib import suppress

import pytest

from tests.cli import scraping
from tests.cli.scraping import Scraped, answers, read, scrape
from tests.cli.shell import Shell
from tests.servers.leash import free_ports
from uploader import agent_owner, start_agent
from uploader.observe.metrics_file import name_of


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scraped, Scraped]:
    """What a busy agent tells, and what stays when it is ended with work left."""
    shell = Shell(tmp_path_factory.mktemp("everything"))
    port = free_ports(1)[0]
    file = shell.folder / "metrics.prom"
    try:
        scraping.one_of_everything(shell, "--metrics-port", port, "--metrics-file", file)
        agent = shell.running[-1]
        shell.wait_until(lambda: scrape(port).value("uploader_spool_uploads", state="ready") == 2)
        told = scrape(port)
        agent.send_signal(signal.SIGINT)  # a person's: nothing is begun after it
        shell.file("", "hold").unlink()
        assert agent.wait(30) == 130
    finally:
        shell.end()
    return told, read(file)


def test_a_scrape_tells_what_goes_on(everything: tuple[Scraped, Scraped]) -> None:
    """One upload has arrived, one is held by its store, two wait."""
    told, _ = everything
    assert told.value("uploader_uploads_total", outcome="done") == 1
    assert told.value("uploader_attempts_total", result="done") == 1
    assert told.value("uploader_spool_uploads", state="ready") == 2
    assert told.value("uploader_spool_uploads", state="active") == 1
    assert told.value("uploader_steps_in_flight") == 1
    assert told.value("uploader_workers") == 1
    assert told.value("uploader_info", command="run") == 1


def test_the_table_has_every_metric_and_no_other(everything: tuple[Scraped, Scraped]) -> None:
    """docker/prometheus/README.md is what a person reads."""
    told, left = everything
    assert scraping.names_in_table() == told.names | left.names


def test_the_dashboard_and_the_rules_name_metrics_that_there_are() -> None:
    """And the dashboard shows every one of them."""
    names = scraping.names_in_table()
    assert scraping.names_in_dashboard() == names
    assert scraping.names_in_rules() <= names
    assert len(list(scraping.queries())) > 20


def test_the_dashboard_is_laid_out_whole() -> None:
    """Every panel says what it shows, asks the data source that was chosen, and covers no other."""
    covered: set[tuple[int, int]] = set()
    panels = json.loads(scraping.DASHBOARD.read_text())["panels"]
    for panel in panels:
        assert panel["description"], panel["title"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        x, y, wide, high = (panel["gridPos"][key] for key in "xywh")
        cells = {(x + right, y + down) for right in range(wide) for down in range(high)}
        assert not cells & covered, panel["title"]
        assert x + wide <= 24
        covered |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_says_what_to_type() -> None:
    """A command of ours, in backquotes, and a summary that names spool and node."""
    for rule in scraping.rules():
        said = rule["annotations"]
        assert "`uploader " in said["description"], rule["alert"]
        assert "$labels.spool" in said["summary"], rule["alert"]
        assert "$labels.instance" in said["summary"], rule["alert"]


def test_a_drain_leaves_how_it_ended(shell: Shell) -> None:
    """In a directory, under the spool's own name: all that it counted, exit code, and time."""
    shell.put("one", "123")
    folder = shell.folder / "textfile"
    folder.mkdir()
    ended = shell.run("drain", "--workers", 1, UPLOADER_METRICS_FILE=str(folder))
    assert ended.returncode == 0, ended.stderr
    (path,) = folder.iterdir()
    assert path.name == name_of(str(shell.spool_path))
    left = read(path)
    assert left.value("uploader_exit_code") == 0
    assert left.value("uploader_end_time_seconds") > left.value("uploader_start_time_seconds")
    assert left.value("uploader_uploads_total", outcome="done") == 1
    assert left.value("uploader_attempts_total", result="done") == 1
    assert left.value("uploader_sent_bytes_total") == 3
    assert left.value("uploader_upload_latency_seconds_count") == 1
    assert left.value("uploader_step_duration_seconds_count", step="put_whole") == 1
    assert left.value("uploader_info", command="drain") == 1


def test_a_drain_that_fails_leaves_that(shell: Shell) -> None:
    """Dead letters remain: 3, and how many."""
    shell.occupy("one")
    shell.put("one")
    path = shell.folder / "one.prom"
    assert shell.run("drain", "--workers", 1, "--metrics-file", path).returncode == 3
    left = read(path)
    assert left.value("uploader_exit_code") == 3
    assert left.value("uploader_spool_uploads", state="dead") == 1
    assert left.value("uploader_attempts_total", result="dead") == 1
    assert left.value("uploader_errors_total", **{"class": "conflict"}) == 1


def test_what_a_killed_agent_wrote_stays_and_its_port_is_free(shell: Shell, port: int) -> None:
    """The workers, which may outlive it for a moment, hold neither the port nor a connection."""
    shell.put("one")
    path = shell.folder / "one.prom"
    hold = shell.file("", "hold")
    where = ("--metrics-port", port, "--metrics-file", path)
    faults = f"hold={hold},only=put"
    agent = shell.start_supervisor("run", "--workers", 1, *where, UPLOADER_FAULTS=faults)
    shell.wait_until(hold.with_name("hold.reached").exists)
    shell.wait_until(lambda: answers(port) and path.exists())
    (server,) = children(agent.pid)
    (worker,) = children(server)
    shell.wait_until(lambda: len(tcp_sockets(agent.pid)) == 1)  # the last scrape's is closed late
    ours = tcp_sockets(agent.pid)
    assert not ours & (tcp_sockets(server) | tcp_sockets(worker))
    agent.kill()
    agent.wait()
    assert "uploader_exit_code" not in read(path).names
    hold.unlink()
    shell.start_supervisor("run", "--workers", 1, *where)
    shell.wait_until(lambda: answers(port))
    shell.wait_until(lambda: scrape(port).value("uploader_uploads_total", outcome="done") == 1)


def test_two_agents_of_a_node_with_one_port_both_upload(shell: Shell, port: int) -> None:
    """As when both have it by the environment; the second says what to do, and goes on."""
    other = Shell(shell.folder / "other")
    other.folder.mkdir()
    try:
        shell.spool().close()
        first = shell.start_supervisor("run", UPLOADER_METRICS_PORT=str(port))
        shell.wait_until(lambda: answers(port))
        other.put("one")
        ended = other.run(
            "run", "--workers", 1, "--exit-when-idle", "200ms", UPLOADER_METRICS_PORT=str(port)
        )
        assert ended.returncode == 0
        assert (other.remote / "one").exists()
        assert f"port {port}: the port is taken, perhaps by the agent of another" in ended.stderr
        assert first.poll() is None
    finally:
        other.end()


def test_an_agent_that_a_trainer_starts_has_them_by_the_environment(
    shell: Shell, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ObjectStoreLogger starts agents by `start_agent`; what they say is in agent.log."""
    monkeypatch.setenv("UPLOADER_METRICS_PORT", str(port))
    monkeypatch.setenv("UPLOADER_METRICS_FILE", f"{shell.folder}/")
    with shell.spool():
        assert start_agent(shell.spool_path)
        shell.wait_until(lambda: answers(port))
        file = shell.folder / name_of(str(shell.spool_path))
        shell.wait_until(file.exists)
        owner = agent_owner(shell.spool_path)
        assert owner
        os.kill(owner.pid, signal.SIGTERM)
        shell.wait_until(lambda: not agent_owner(shell.spool_path))
    shell.wait_until(lambda: "uploader_exit_code" in read(file).names)
    log = (shell.spool_path / "agent.log").read_text()
    assert f"metrics at http://127.0.0.1:{port}/metrics" in log


def test_a_drain_leaves_the_file_of_the_agent_that_it_waits_for(shell: Shell) -> None:
    """Both have it by the environment of one job; the agent does the work, and tells it."""
    path = shell.folder / "one.prom"
    shell.spool().close()
    shell.start_supervisor("run", "--workers", 1, UPLOADER_METRICS_FILE=str(path))
    shell.wait_until(path.exists)
    shell.put("one")
    ended = shell.run("drain", UPLOADER_METRICS_FILE=str(path))
    assert ended.returncode == 0, ended.stderr
    assert read(path).value("uploader_info", command="run") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics-port", "70000"], "70000 is not in the range"),
        (["--metrics-port", "1", "--metrics-host", "my.host"], "not an address: 'my.host'"),
    ],
)
def test_what_cannot_be_a_place_is_an_error_of_usage(
    shell: Shell, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name is asked of others, who may take long to answer: an address it is."""
    with shell.in_process() as run_command:
        assert run_command(["run", "--spool", str(shell.spool_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and that live."""
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def tcp_sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets by TCP, listening ones among them."""
    lines = pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    tcp = {f"socket:[{line.split()[9]}]" for line in lines}
    held = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # of a file that it has closed meanwhile
            held.add(os.readlink(entry))
    return held & tcp
