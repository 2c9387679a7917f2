"""Hold the checksums to the published ones, and the combined ones to those of the whole."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader import checksum
from uploader.checksum import BlockChecksums, block_size, combine, crc32c, of_blocks

MIB = 1 << 20


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"123456789", 0xE3069283),  # the check value of CRC-32C in the catalogue of CRCs
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_known_vectors_come_out(data: bytes, value: int) -> None:
    """It is CRC32C and nothing like it."""
    assert crc32c(data) == value


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_a_checksum_goes_on_from_where_it_was(first: bytes, second: bytes) -> None:
    """Chunk by chunk is the same as all at once."""
    assert crc32c(second, crc32c(first)) == crc32c(first + second)


@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_combined_checksums_are_those_of_the_whole(pieces: list[bytes]) -> None:
    """Of any number of pieces, of any sizes, empty ones among them."""
    whole = 0
    for piece in pieces:
        whole = combine(whole, crc32c(piece), len(piece))
    assert whole == crc32c(b"".join(pieces))


@given(st.integers(0, 2**32 - 1), st.integers(0, 5 << 40), st.integers(0, 5 << 40))
def test_appending_zeros_twice_is_appending_their_sum(value: int, first: int, second: int) -> None:
    """So the matrix is right for sizes that no test can read through."""
    twice = combine(combine(value, 0, first), 0, second)
    assert twice == combine(value, 0, first + second)


@given(st.data())
def test_block_checksums_do_not_depend_on_the_portions(data: st.DataObject) -> None:
    """However the bytes come, each block has the checksum of its own bytes."""
    size = data.draw(st.sampled_from([0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 77]))
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=5)))
    sums = BlockChecksums(size)
    for start, end in zip([0, *cuts], [*cuts, size], strict=True):
        sums.update(content[start:end])
    blocks = [content[at : at + MIB] for at in range(0, size, MIB)]
    assert sums.blocks == tuple(crc32c(block) for block in blocks)
    assert sums.whole == crc32c(content)
    assert sums.length == size


@given(st.lists(st.integers(0, 2**32 - 1), max_size=100))
def test_packed_checksums_unpack_to_the_same(blocks: list[int]) -> None:
    """The journal keeps them as text."""
    assert checksum.unpack(checksum.pack(tuple(blocks))) == tuple(blocks)


@pytest.mark.parametrize("text", ["not base64!", "AAA="])
def test_a_text_that_was_not_packed_is_an_error(text: str) -> None:
    """It is not read as other checksums."""
    with pytest.raises((ValueError, struct.error)):
        checksum.unpack(text)


@pytest.mark.parametrize(
    ("size", "block"),
    [(0, MIB), (1, MIB), (64 << 30, MIB), ((64 << 30) + 1, 2 * MIB), (5 << 40, 128 * MIB)],
)
def test_a_block_is_a_power_of_two_that_keeps_the_list_short(size: int, block: int) -> None:
    """One MiB up to 64 GiB, then twice as much for each doubling."""
    assert block_size(size) == block
    assert -(-size // block) <= checksum.MAX_BLOCKS


def test_the_whole_is_that_of_its_blocks_with_a_short_last_one() -> None:
    """The last block counts with the bytes that it has."""
    content = b"x" * (2 * MIB + 5)
    blocks = (crc32c(content[:MIB]), crc32c(content[MIB : 2 * MIB]), crc32c(b"xxxxx"))
    assert of_blocks(blocks, MIB, len(content)) == crc32c(content)
