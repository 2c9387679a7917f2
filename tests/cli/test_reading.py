"""`uploader status` and `ls` show a spool to people, and to programs by a contract of keys."""

from __future__ import annotations

import json
import re

from tests.cli.shell import Shell
from uploader import State

#: The keys that DESIGN section 7 promises; a key more or less breaks somebody's script.
STATUS = {
    "spool", "destination", "counts", "bytes", "oldest_ready_age_seconds",
    "throughput_bytes_per_second", "agent", "in_flight", "dead",
}  # fmt: skip
COUNTS = {"ready", "active", "done", "dead", "superseded", "cancelled"}
IN_FLIGHT = {"id", "name", "size", "sent", "parts_done", "parts_total", "attempt"}
LISTED = {
    "id", "kind", "name", "target", "overwrite", "size", "crc32c", "state", "attempts",
    "not_before", "error_class", "error", "enqueued_at", "finished_at", "receipt",
}  # fmt: skip


def test_status_json_has_the_promised_keys(shell: Shell) -> None:
    """Of a spool that waits: counts, bytes, and the age of the oldest."""
    shell.put("one", "12345")
    shell.put("two", "123")
    status = shell.json("status")
    assert set(status) == STATUS
    assert set(status["counts"]) == COUNTS
    assert status["counts"]["ready"] == 2
    assert status["bytes"] == {"pending": 8, "sent": 0, "done": 0}
    assert (status["spool"], status["destination"]) == (str(shell.spool_path), shell.url)
    assert status["oldest_ready_age_seconds"] >= 0
    assert status["agent"] is None
    assert status["in_flight"] == status["dead"] == []


def test_status_shows_the_agent_and_what_is_under_way(shell: Shell) -> None:
    """With its pid, its workers, the parts that were sent, and how fast they are."""
    shell.spool(options={"part_size": 1 << 20}).close()
    shell.put("large", bytes(12 << 20))
    agent = shell.start_supervisor("run", "--workers", 2, UPLOADER_FAULTS="delay=1")
    with shell.spool() as spool:
        shell.wait_until(lambda: spool.status().speeds)  # the agent writes them beside its lock
    status = shell.json("status")
    assert status["agent"] == {"pid": agent.pid, "workers": 2}
    (large,) = status["in_flight"]
    assert set(large) == IN_FLIGHT
    assert (large["name"], large["size"], large["attempt"]) == ("large", 12 << 20, 1)
    assert large["parts_total"] == 12
    assert large["sent"] == large["parts_done"] << 20 == status["bytes"]["sent"]
    text = shell.run("status").stdout
    assert f"pid {agent.pid}, 2 workers" in text
    line = r" *\d+\.0 MiB +\d+ %  12\.0 MiB +\d+/12  .*[KM]iB/s +\d.* +1  large"
    assert re.fullmatch(line, text.splitlines()[-1]), text


def test_a_dead_letter_is_shown_with_what_mends_it(shell: Shell) -> None:
    """To people with the command; to programs with its class and the store's own message."""
    upload = shell.make_dead("taken")
    error = "taken already exists, but overwrite was set to False; nothing was replaced"
    assert shell.json("status")["dead"] == [
        {
            "id": upload,
            "name": "taken",
            "error_class": "conflict",
            "error": error,
        }
    ]
    text = shell.run("status").stdout
    assert f"{upload}  taken: {error} (conflict)" in text
    assert f"uploader retry --spool {shell.spool_path} --all" in text
    assert f"uploader cancel --spool {shell.spool_path} {upload}" in text
    assert "\x1b" not in text


def test_ls_lists_in_the_order_of_the_spool(shell: Shell) -> None:
    """One upload a line for people, one object a line for programs."""
    first, second = shell.put("ckpt/ep1.pt", "weights"), shell.link("ckpt/ep1.pt", "ckpt/latest")
    lines = shell.run("ls").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [first, second]
    assert lines[1].endswith("symlink  ckpt/latest -> ckpt/ep1.pt")
    listed = [json.loads(line) for line in shell.run("ls", "--json").stdout.splitlines()]
    assert all(set(one) == LISTED for one in listed)
    assert [one["id"] for one in listed] == [first, second]
    assert (listed[0]["kind"], listed[0]["size"], listed[0]["state"]) == ("file", 7, "ready")
    assert (listed[1]["kind"], listed[1]["size"], listed[1]["target"]) == (
        "symlink", None, "ckpt/ep1.pt",
    )  # fmt: skip


def test_ls_selects_by_state_name_and_number(shell: Shell) -> None:
    """A glob's `*` goes over `/`, too."""
    for name in ("ckpt/a/1", "ckpt/2", "logs/3"):
        shell.put(name)
    with shell.spool() as spool:
        spool.cancel("ckpt/2")

    def names(*arguments: str) -> list[str]:
        lines = shell.run("ls", "--json", *arguments).stdout.splitlines()
        return [json.loads(line)["name"] for line in lines]

    assert names("--name", "ckpt/*") == ["ckpt/a/1", "ckpt/2"]
    assert names("--state", "ready", "--limit", "1") == ["ckpt/a/1"]
    assert names("--state", State.CANCELLED.value) == ["ckpt/2"]


def test_status_watch_goes_on_until_it_is_interrupted(shell: Shell) -> None:
    """Each look is one JSON object a line, so that a program can follow."""
    shell.spool().close()
    watching = shell.start("status", "--watch", "--interval", "20ms", "--json")
    assert watching.stdout is not None
    for _ in range(3):
        assert set(json.loads(watching.stdout.readline())) == STATUS
    watching.terminate()


def test_names_cannot_reach_the_terminal_as_commands(shell: Shell) -> None:
    """What is not printable is escaped; so is what the encoding of stdout does not have."""
    shell.put("é\u2028\u202e")
    assert shell.run("ls", PYTHONIOENCODING="utf-8").stdout.endswith("é\\u2028\\u202e\n")
    assert shell.run("ls", PYTHONIOENCODING="ascii").stdout.endswith("\\xe9\\u2028\\u202e\n")
