"""Hold a drain to what it does about blobs that are not as they were logged: none stops another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.damage.ward import CONTENT, lying_at, strangers
from uploader.errors import ErrorClass
from uploader.state import State

if TYPE_CHECKING:
    from tests.damage.ward import Ward


def test_damage_makes_dead_letters_and_stops_nothing_else(ward: Ward) -> None:
    """Exit code 3, no traceback; what is sound arrives, logged before the damage and after it."""
    assert ward.exit_code == 3, ward.said
    assert "Traceback" not in ward.said
    assert ward.report["status"]["counts"]["ready"] == 0
    for name in ("healthy/one", "healthy/last"):
        assert ward.upload(name).state is State.DONE
        assert (ward.remote / name).read_bytes() == CONTENT


def test_a_truncated_blob_is_not_sent(ward: Ward) -> None:
    """It says where it ends."""
    _is_dead(ward, "truncated", "it ends at byte 5, 16 were expected")


def test_a_zeroed_blob_is_not_sent(ward: Ward) -> None:
    """Its length is right, its checksum is not."""
    _is_dead(ward, "zeroed", "when logged")


def test_a_blob_with_one_bit_changed_is_not_sent(ward: Ward) -> None:
    """One bit is enough."""
    _is_dead(ward, "flipped", "when logged")


def test_a_missing_blob_is_a_dead_letter(ward: Ward) -> None:
    """It says that the file is not there."""
    _is_dead(ward, "missing", "No such file")


def test_a_blob_replaced_by_a_symlink_is_not_followed(ward: Ward) -> None:
    """Not even to the right bytes."""
    _is_dead(ward, "symlink", "Too many levels of symbolic links")


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket"])
def test_a_blob_that_became_something_else_is_not_read(ward: Ward, kind: str) -> None:
    """A FIFO is not waited for, a directory not asked again and again."""
    _is_dead(ward, kind, "No such device" if kind == "socket" else "no regular file")


def test_a_blob_that_grew_is_sent_as_it_was_logged(ward: Ward) -> None:
    """The bytes that were logged are all there, and no others are sent."""
    assert ward.upload("grown").state is State.DONE
    assert (ward.remote / "grown").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["large-flipped", "large-truncated"])
def test_damage_within_a_large_blob_leaves_nothing_at_the_destination(
    ward: Ward, name: str
) -> None:
    """Other parts of it were sent; they are removed."""
    _is_dead(ward, name, "when logged" if name == "large-flipped" else "it ends at byte")
    assert [path.name for path in ward.remote.iterdir() if path.name.startswith(".")] == []


def test_what_is_not_of_the_spool_is_left_alone(ward: Ward) -> None:
    """In every room of it; below `blobs/` and `staging/` it is named."""
    for path, is_directory in strangers(ward).items():
        assert path.is_dir() if is_directory else path.read_text() == "somebody's", path
        if path.parent != ward.path:
            assert str(path.parent if path.name == "copies" else path) in ward.said


def _is_dead(ward: Ward, name: str, words: str) -> None:
    """Hold that it was not sent, is told, and that nothing was done to what lies there."""
    upload = ward.upload(name)
    assert (upload.state, upload.error_class) == (State.DEAD, ErrorClass.DAMAGED), upload
    assert upload.error is not None
    assert "spool file damaged" in upload.error
    assert words in upload.error
    assert "log the artifact again" in upload.error
    assert not (ward.remote / name).exists()
    assert lying_at(ward.blob(name)) == ward.left[name]
