"""Decide how a file is sent: whole, or in which parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.checksum import block_size, of_blocks
from uploader.model import Part

if TYPE_CHECKING:
    from uploader.store.base import Limits

PART_SIZE = 16 << 20  #: bytes; what a kill costs at most for each worker, and 1/64 of 1 GiB
AIMED_PARTS = 1000  #: parts above which a part is made larger rather than the list longer


def goes_whole(size: int, limits: Limits, part_size: int | None) -> bool:
    """Tell whether a file of `size` bytes is sent in one request."""
    return size <= (min(limits.whole_max, part_size) if part_size else limits.whole_max)


def part_size_for(size: int, limits: Limits, wanted: int | None) -> int:
    """Return the bytes per part for a file of `size` bytes.

    A multiple of the file's checksum block, so that each part's checksum is known without another
    pass; large enough for the store's limit of parts.
    """
    block = block_size(size)
    least = max(limits.part_min, -(-size // limits.parts_max))
    aimed = wanted or max(PART_SIZE, -(-size // AIMED_PARTS))
    most = limits.part_max // block * block
    return min(-(-max(least, aimed) // block) * block, most)


def parts_of(size: int, part_size: int) -> list[Part]:
    """Cut a file of `size` bytes."""
    return [
        Part(number, offset, min(part_size, size - offset))
        for number, offset in enumerate(range(0, size, part_size), start=1)
    ]


def checksum_of(part: Part, blocks: tuple[int, ...], block: int) -> int:
    """Return the CRC32C of a part from those of its blocks."""
    first = part.offset // block
    count = -(-part.size // block)
    return of_blocks(blocks[first : first + count], block, part.size)
