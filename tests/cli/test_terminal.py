"""What is drawn on a terminal is right, fits it, and leaves it as it was however it ends."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.cli.screen import Terminal
from tests.cli.shell import Shell
from uploader.errors import ErrorClass

CTRL_C, CTRL_Z = "\x03", "\x1a"
MIB = 1 << 20


@pytest.fixture
def on_terminal(shell: Shell) -> Iterator[Callable[..., Terminal]]:
    """Start a command in a terminal of 80 columns and 24 lines; it ends with the test."""
    started: list[Terminal] = []

    def start(command: str, *arguments: object, **environment: str) -> Terminal:
        words = shell._words(command, arguments, True)
        started.append(Terminal(words, {**shell.environment, **environment}, 80, 24))
        return started[-1]

    yield start
    for one in started:
        one.close()


def die(shell: Shell, name: str) -> None:
    """Spool a file and make it a dead letter, as the supervisor does."""
    upload_id = shell.put(name)
    with shell.spool() as spool:
        ((upload, _),) = spool.ledger.start_all([spool.upload(upload_id)])
        spool.ledger.fail(upload, ErrorClass.CONFLICT, f"{name} already exists")


def fits(terminal: Terminal) -> bool:
    """Tell whether nothing went over the right edge."""
    return all(len(line) <= terminal.screen.columns for line in terminal.screen.text.split("\n"))


def goes_aside(terminal: Terminal) -> None:
    """Have it stopped by Ctrl-Z, which gives the terminal back, and go on."""
    terminal.type(CTRL_Z)
    terminal.until(lambda _: terminal.is_stopped())
    assert terminal.is_as_before()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.until(lambda _: not terminal.screen.cursor_shown)


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_status_watch_draws_in_place_and_gives_the_terminal_back(
    shell: Shell, on_terminal: Callable[..., Terminal], how: str
) -> None:
    """What is new is drawn over what was; afterwards the screen is as before, and the cursor."""
    die(shell, "taken")
    shell.put("first")
    terminal = on_terminal("status", "--watch", "--interval", "100ms")
    page = terminal.until(lambda text: "1 dead letter" in text)
    assert page.startswith(f"spool        {shell.spool_path}"[:60])
    assert "to go        1 upload, 7 bytes" in page
    shell.put("second")
    page = terminal.until(lambda text: "to go        2 uploads, 14 bytes" in text)
    assert page.count("\ndestination  ") == 1
    assert terminal.screen.elsewhere
    assert fits(terminal)
    if how == "ctrl-c":
        goes_aside(terminal)
        terminal.type(CTRL_C)
        assert terminal.ended() == 130, terminal.screen.text
        assert terminal.screen.text.endswith("uploader: interrupted")
    else:
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM, terminal.screen.text
    assert terminal.is_as_before()
    assert "destination  " not in terminal.screen.text


def test_status_watch_is_drawn_for_the_size_that_the_terminal_has(
    shell: Shell, on_terminal: Callable[..., Terminal]
) -> None:
    """What does not fit is said; a larger window shows it at once, not at the next look."""
    for number in range(3):
        die(shell, f"taken/{number}")
    terminal = on_terminal("status", "--watch", "--interval", "1h")
    terminal.until(lambda text: "3 dead letters" in text)
    terminal.resize(80, 10)
    page = terminal.until(lambda text: "more lines: without --watch" in text)
    assert len(page.split("\n")) == 10
    terminal.resize(120, 40)
    page = terminal.until(lambda text: "then upload them: uploader drain" in text)
    assert "more lines" not in page
    assert fits(terminal)
    terminal.type(CTRL_C)
    assert terminal.ended() == 130, terminal.screen.text
    assert terminal.is_as_before()


def test_a_drain_draws_a_bar_for_all_and_for_its_files(
    shell: Shell, on_terminal: Callable[..., Terminal]
) -> None:
    """With speed and time left; Ctrl-C takes them away and says what remains."""
    shell.spool(options={"part_size": MIB, "max_bandwidth": 4 * MIB}).close()
    shell.put("ckpt/large.pt", bytes(24 * MIB))
    shell.put("small")
    terminal = on_terminal("drain", "--workers", 2)
    page = terminal.until(lambda text: "ckpt/large.pt" in text and text.count(" left") == 2)
    heading, whole, *files = page.split("\n")
    assert heading.endswith(("1 uploaded, 1 to go", "0 uploaded, 2 to go"))
    assert whole.split()[0] == "all"
    assert files[0].startswith("ckpt/large.pt ")
    assert "24.0 MiB" in files[0]
    assert "MiB/s" in files[0]
    assert "━" in whole
    assert fits(terminal)
    goes_aside(terminal)
    terminal.until(lambda text: text.count(" left") == 2)
    terminal.type(CTRL_C)
    assert terminal.ended() == 130, terminal.screen.text
    said = " ".join(terminal.screen.text.split())
    assert re.search(r"1 upload \(.* of 24\.0 MiB\) to go; nothing is lost\. Go on with:", said)
    assert "━" not in terminal.screen.text
    assert terminal.is_as_before()


def test_a_terminal_that_can_only_be_written_on_gets_plain_lines(
    shell: Shell, on_terminal: Callable[..., Terminal]
) -> None:
    """Neither bars nor anything that moves the cursor: `TERM=dumb`."""
    shell.put("one")
    watching = on_terminal("status", "--watch", "--interval", "50ms", TERM="dumb")
    watching.until(lambda _: watching.raw.count("\ndestination  ") > 1)
    watching.type(CTRL_C)
    assert watching.ended() == 130, watching.screen.text
    draining = on_terminal("drain", TERM="dumb")
    assert draining.ended() == 0, draining.screen.text
    assert "\x1b" not in watching.raw + draining.raw


def test_where_there_is_no_terminal_pages_follow_one_another(shell: Shell) -> None:
    """A pipe gets each page whole and plain, as soon as it is made."""
    shell.put("one")
    watching = shell.start("status", "--watch", "--interval", "20ms")
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(25)]
    watching.terminate()
    assert sum(line.startswith("spool  ") for line in lines) >= 2
    assert "\x1b" not in "".join(lines)
