"""Give bodies to an SDK that reads files, and never the end of one that is not what was logged."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path

import pytest

from uploader.checksum import crc32c
from uploader.errors import DamagedError
from uploader.store.body import CHUNK, Body
from uploader.store.s3.reader import PORTION, BodyReader, md5_of

SIZES = [0, 1, PORTION - 1, PORTION, CHUNK, CHUNK + 1, 2 * CHUNK + PORTION + 7]


def body_of(directory: Path, content: bytes, value: int | None = None) -> Body:
    """Return a body of a file, with its checksum or another."""
    blob = directory / "blob"
    blob.write_bytes(content)
    return Body(str(blob), 0, len(content), crc32c(content) if value is None else value)


def read_all(reader: BodyReader) -> list[bytes]:
    """Read as http.client does, until there is nothing more."""
    return [bytes(portion) for portion in iter(lambda: reader.read(8192), b"")]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_is_given_out_whole_in_small_portions(tmp_path: Path, size: int) -> None:
    """Each portion has a time limit of its own, so none is large."""
    content = os.urandom(size)
    reader = BodyReader(body_of(tmp_path, content))
    assert len(reader) == size
    portions = read_all(reader)
    assert b"".join(portions) == content
    assert all(0 < len(portion) <= PORTION for portion in portions)
    assert reader.tell() == size
    assert bytes(reader.read()) == b""


def test_a_piece_of_a_file_is_read_from_its_offset(tmp_path: Path) -> None:
    """As each part of a large file is."""
    content = os.urandom(CHUNK)
    body_of(tmp_path, content)
    piece = content[1000 : 1000 + PORTION + 5]
    body = Body(str(tmp_path / "blob"), 1000, len(piece), crc32c(piece))
    assert b"".join(read_all(BodyReader(body))) == piece


@pytest.mark.parametrize("after", [0, 1, 17])
def test_a_body_is_read_again_from_its_start(tmp_path: Path, after: int) -> None:
    """A redirect makes the SDK send it once more, from wherever it was."""
    content = os.urandom(CHUNK + 5)
    reader = BodyReader(body_of(tmp_path, content))
    for _ in range(after):
        reader.read()
    assert reader.seek(0) == 0
    assert reader.tell() == 0
    assert b"".join(read_all(reader)) == content


@pytest.mark.parametrize(("offset", "whence"), [(1, 0), (0, 1), (0, 2)])
def test_no_other_place_can_be_sought(tmp_path: Path, offset: int, whence: int) -> None:
    """It would be sent without having been checked."""
    with pytest.raises(OSError, match="only be read again from its start"):
        BodyReader(body_of(tmp_path, b"content")).seek(offset, whence)


@pytest.mark.parametrize("size", [1, PORTION, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_end_of_a_damaged_body_is_never_given_out(tmp_path: Path, size: int) -> None:
    """The service waits for the rest, and stores nothing."""
    content = os.urandom(size)
    reader = BodyReader(body_of(tmp_path, content, crc32c(content) ^ 1))
    sent = io.BytesIO()
    with pytest.raises(DamagedError) as damaged:
        sent.writelines(iter(reader.read, b""))
    assert len(sent.getvalue()) < size
    assert content.startswith(sent.getvalue())
    assert reader.error is damaged.value


def test_a_body_that_became_shorter_is_never_given_out_to_its_end(tmp_path: Path) -> None:
    """As a damaged one: the length that was announced is not reached."""
    body = body_of(tmp_path, os.urandom(2 * CHUNK))
    os.truncate(body.path, CHUNK + 1)
    reader = BodyReader(body)
    with pytest.raises(DamagedError, match=f"ends at byte {CHUNK + 1}"):
        read_all(reader)
    assert reader.tell() < 2 * CHUNK


def test_a_content_md5_is_of_the_bytes_and_of_those_that_were_logged(tmp_path: Path) -> None:
    """Reading for it checks them first, where the service would not check a CRC32C."""
    content = os.urandom(CHUNK + 1)
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    assert md5_of(body_of(tmp_path, content)) == base64.b64encode(digest).decode()
    with pytest.raises(DamagedError):
        md5_of(body_of(tmp_path, content, crc32c(content) ^ 1))
