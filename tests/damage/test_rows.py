"""Hold a drain, and every command that reads, to what they do about rows edited by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.shell import Shell
from tests.damage.harms import HARMS, MENDED, TWICE, in_row
from tests.damage.ward import CONTENT, Ward
from uploader.errors import ErrorClass
from uploader.state import State

if TYPE_CHECKING:
    from pathlib import Path

FOUND = {name: harm.found for name, harm in HARMS.items()}
FOUND |= {name: found for name, (_, _, found) in TWICE.items()}


@pytest.mark.parametrize("name", FOUND)
def test_a_row_edited_by_hand_is_a_dead_letter(ward: Ward, name: str) -> None:
    """It was not sent, under no name; it says what was found; its bytes are kept."""
    upload = ward.upload(name)
    assert (upload.state, upload.error_class) == (State.DEAD, ErrorClass.DAMAGED), upload
    assert upload.error is not None
    assert "its row in the spool's database is damaged" in upload.error
    assert FOUND[name] in upload.error
    assert len(upload.error) < 500
    assert not (ward.remote / name).exists()
    assert ward.blob(name).read_bytes() == CONTENT


def test_nothing_leaves_the_destination(ward: Ward) -> None:
    """Whatever names were edited to; and nothing else than what is sound is in it."""
    assert not list(ward.folder.rglob("*escaped*"))
    found = {str(path.relative_to(ward.remote)) for path in ward.remote.rglob("*")}
    assert found == {"healthy", "healthy/one", "healthy/last", "grown", *MENDED}


def test_a_symlink_edited_to_lead_out_is_a_dead_letter(ward: Ward) -> None:
    """Both copies of its target say the same; that it leads out is enough."""
    upload = ward.upload("link-target-leaves")
    assert (upload.state, upload.error_class) == (State.DEAD, ErrorClass.DAMAGED)
    assert "contains '..'" in str(upload.error)


@pytest.mark.parametrize("name", MENDED)
def test_a_state_edited_by_hand_is_put_right(ward: Ward, name: str) -> None:
    """What nobody works on is begun again, and nothing waits for what will never end."""
    assert ward.upload(name).state is State.DONE
    assert (ward.remote / name).read_bytes() == CONTENT


@pytest.mark.parametrize("words", ["status", "ls", "ls --json", "status --json", "verify"])
def test_commands_that_read_show_damaged_rows(
    ward: Ward, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As far as they can be read, and all the others; a terminal gets nothing unprintable."""
    command, *flags = words.split()
    with Shell(tmp_path).in_process() as run_command:
        code = run_command([command, "--spool", str(ward.path), *flags])
    said = capsys.readouterr()
    assert code == 0, said.err
    if command != "verify":
        assert ward.ids["truncated"] in said.out
    if command == "ls":
        assert "row in the spool's database is damaged" in said.out
    assert "\x00" not in said.out
    if "--json" in flags:
        assert all(isinstance(json.loads(line), dict) for line in said.out.splitlines())


def test_a_damaged_upload_can_be_given_up(tmp_path: Path) -> None:
    """By its name; another row, an id that leads elsewhere, does not keep it from that."""
    ward = Ward(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("not the spool's")
    for name in ("leads-out", "no-json"):
        ward.admit(name)
    ward.suffer(in_row("id", str(victim), ""), "leads-out")
    ward.suffer(HARMS["item-no-json"], "no-json")
    with ward.spool() as spool:
        ended = spool.cancel(all=True)
        assert [upload.state for upload in ended] == [State.CANCELLED, State.CANCELLED]
    assert victim.read_text() == "not the spool's"
    assert not ward.blob("no-json").exists()


def test_a_finished_row_whose_receipt_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """`ls`, `status` and the retention go on; what it says of itself is why."""
    ward = Ward(tmp_path)
    for name in ("one", "two"):
        ward.admit(name)
    ward.drain()
    assert ward.exit_code == 0
    ward.suffer(in_row("receipt", "{", ""), "one")
    with ward.spool() as spool:
        one, two = spool.uploads()
        assert (one.state, one.receipt, one.error_class) == (State.DONE, None, ErrorClass.DAMAGED)
        assert (two.state, two.error_class) == (State.DONE, None)
        assert spool.status().counts[State.DONE] == 2
