"""Hold how files are cut into parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uploader.checksum import BlockChecksums, block_size, crc32c
from uploader.drain.plan import PART_SIZE, checksum_of, goes_whole, part_size_for, parts_of
from uploader.model import Part
from uploader.store.base import Limits

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40

#: as S3 has them
LIMITS = Limits(64 * MIB, 5 * MIB, 5 * GIB, parts_max=10_000, object_max=5 * TIB)

SIZES = st.one_of(st.integers(1, 5 * TIB), st.integers(1, 4096).map(lambda n: n * MIB))
WANTED = st.none() | st.integers(1, 6 << 30)


@given(SIZES, WANTED)
def test_a_part_size_keeps_every_limit(size: int, wanted: int | None) -> None:
    """The store's least part and most parts, and whole blocks, whatever was asked for."""
    part_size = part_size_for(size, LIMITS, wanted)
    assert part_size % block_size(size) == 0
    assert part_size >= LIMITS.part_min
    assert -(-size // part_size) <= LIMITS.parts_max


@given(st.integers(1, 400 * MIB), st.sampled_from([MIB, 5 * MIB, PART_SIZE]))
def test_parts_cover_a_file_exactly(size: int, part_size: int) -> None:
    """In order, without gap or overlap; only the last may be short."""
    parts = parts_of(size, part_size)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert [part.offset for part in parts] == [part_size * n for n in range(len(parts))]
    assert sum(part.size for part in parts) == size
    assert {part.size for part in parts[:-1]} <= {part_size}
    assert 0 < parts[-1].size <= part_size


def test_the_largest_object_fits() -> None:
    """5 TiB in at most 10,000 parts, which may not be smaller than 5 MiB."""
    size = 5 * TIB
    for wanted in (None, 5 * MIB):
        parts = parts_of(size, part_size_for(size, LIMITS, wanted))
        assert len(parts) <= 10_000
        assert parts[0].size <= 5 * GIB
        assert parts[-1].offset + parts[-1].size == size


def test_a_part_is_no_larger_than_it_needs_to_be() -> None:
    """What a kill costs is a part: 16 MiB, until a file would have more than a thousand."""
    assert part_size_for(1 << 30, LIMITS, None) == PART_SIZE
    assert part_size_for(15 << 30, LIMITS, None) == PART_SIZE
    assert part_size_for(32 << 30, LIMITS, None) == 33 * MIB


def test_a_wanted_part_size_is_rounded_up_to_what_is_possible() -> None:
    """To whole blocks, and to the least that the store takes."""
    assert part_size_for(1 << 30, LIMITS, 6 * MIB) == 6 * MIB
    assert part_size_for(1 << 30, LIMITS, 6 * MIB + 1) == 7 * MIB
    assert part_size_for(1 << 30, LIMITS, 1) == 5 * MIB


def test_small_files_go_whole() -> None:
    """Up to the store's limit, or to the part size that was asked for."""
    assert goes_whole(0, LIMITS, None)
    assert goes_whole(64 * MIB, LIMITS, None)
    assert not goes_whole(64 * MIB + 1, LIMITS, None)
    assert not goes_whole(8 * MIB + 1, LIMITS, 8 * MIB)
    assert not goes_whole(65 * MIB, LIMITS, 100 * MIB)


@given(st.integers(1, 5 * MIB + 12345), st.integers(1, 3))
def test_a_parts_checksum_is_that_of_its_bytes(size: int, blocks: int) -> None:
    """Known from the blocks, without another pass over the file."""
    content = (b"0123456789abcde" * (size // 15 + 1))[:size]
    sums = BlockChecksums(size)
    sums.update(content)
    for part in parts_of(size, blocks * MIB):
        expected = crc32c(content[part.offset : part.offset + part.size])
        assert checksum_of(part, sums.blocks, sums.block) == expected


def test_a_part_is_a_plain_piece() -> None:
    """What a step carries."""
    assert parts_of(3 * MIB, 2 * MIB) == [Part(1, 0, 2 * MIB), Part(2, 2 * MIB, MIB)]
