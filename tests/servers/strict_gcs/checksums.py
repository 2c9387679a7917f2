"""Take the checksums of what is stored, and compare them with what a client says they are."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
from typing import Any

import google_crc32c

from tests.servers.strict_gcs.errors import ApiError, invalid

#: The polynomial of CRC32C, its bits in the order in which the sum has them.
_POLYNOMIAL = 0x82F63B78

#: The polynomial 1 in that order.
_ONE = 0x80000000


def extend(crc: int, data: bytes | memoryview) -> int:
    """Go on with the CRC32C of what came before."""
    # The library takes nothing but bytes.
    return int(google_crc32c.extend(crc, bytes(data)))


def joined(first: int, second: int, second_size: int) -> int:
    """Return the CRC32C of two byte strings one after the other, from those of each.

    Source: zlib's crc32_combine, which does the same for another polynomial: appending n bytes
    multiplies by x^(8n).
    """
    return _times(_power(8 * second_size), first) ^ second


def _times(left: int, right: int) -> int:
    product, bit = 0, _ONE
    while left:
        if left & bit:
            product ^= right
            left ^= bit
        bit >>= 1
        right = (right >> 1) ^ _POLYNOMIAL if right & 1 else right >> 1
    return product


@functools.lru_cache(maxsize=1024)
def _power(exponent: int) -> int:
    """Return x to that power."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _times(result, square)
        square = _times(square, square)
        exponent >>= 1
    return result


def crc_text(crc: int) -> str:
    """Write a CRC32C as the API does: base64 of its bytes, the highest first."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def md5_text(md5: bytes) -> str:
    """Write an MD5 as the API does."""
    return base64.b64encode(md5).decode()


@dataclasses.dataclass(frozen=True)
class Told:
    """What a client says the whole object's checksums are, each in the API's text or None."""

    crc32c: str | None = None
    md5: str | None = None

    @staticmethod
    def by_resource(resource: dict[str, Any]) -> Told:
        """Take them from an object's resource.

        Raises:
            ApiError: not base64 of the right size.
        """
        return _checked(Told(resource.get("crc32c"), resource.get("md5Hash")))

    @staticmethod
    def by_header(headers: dict[str, str]) -> Told:
        """Take them from `x-goog-hash: crc32c=...,md5=...`."""
        pairs = [pair.strip() for pair in headers.get("x-goog-hash", "").split(",")]
        found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return _checked(Told(found.get("crc32c"), found.get("md5")))

    def require(self, crc32c: str, md5: str | None) -> None:
        """Refuse content whose checksums are others.

        Raises:
            ApiError: 400, with both.
        """
        for name, told, taken in (("CRC32C", self.crc32c, crc32c), ("MD5", self.md5, md5)):
            if told is not None and told != taken:
                raise _mismatch(name, told, taken)


def _checked(told: Told) -> Told:
    for text, size in ((told.crc32c, 4), (told.md5, 16)):
        if text is not None and _size_of(text) != size:
            raise invalid(f"Invalid checksum: {text}")
    return told


def _size_of(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return -1


def _mismatch(name: str, told: str, taken: str | None) -> ApiError:
    return invalid(
        f'Provided {name} "{told}" doesn\'t match calculated {name} "{taken}".',
    )
