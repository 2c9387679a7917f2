"""Read what a service answers about an object: its mark, its checksum, whose it is."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.errors import TransientError
from uploader.model import Receipt
from uploader.store.base import ObjectInfo
from uploader.store.http.reply import LENGTH_DIGITS
from uploader.store.s3 import arguments

if TYPE_CHECKING:
    from uploader.store.base import ObjectMeta


_REPORTED = re.compile(r"[A-Za-z0-9+/]{6}==")  #: four bytes in base64
_CRC32C = re.compile(r"[0-9A-Fa-f]{8}")


def base64_of(value: int | None) -> str:
    """Return a CRC32C as S3 writes it."""
    return base64.b64encode((value or 0).to_bytes(4, "big")).decode()


def etag_of(answer: dict[str, Any]) -> str:
    """Return the mark of an object or a part, without its quotation marks."""
    return str(answer.get("ETag", "")).strip('"')


def require_same(answer: dict[str, Any], expected: int | None, url: str) -> None:
    """Compare the checksum that the service reports with that of the spool."""
    reported = answer.get("ChecksumCRC32C")
    if reported and expected is not None and reported != base64_of(expected):
        msg = f"{url} arrived damaged: its CRC32C is {reported}, sent was {base64_of(expected)}"
        raise TransientError(msg)


def receipt_of(answer: dict[str, Any], meta: ObjectMeta) -> Receipt:
    """Return the receipt of an object that was made just now."""
    return Receipt(etag_of(answer), meta.size, meta.crc32c, clock.now(), answer.get("VersionId"))


def info_of(name: str, answer: dict[str, Any]) -> ObjectInfo:
    """Return what the answer to a HEAD, or to a GET, says about an object."""
    metadata = {key.lower(): value for key, value in answer.get("Metadata", {}).items()}
    size = str(answer["ContentLength"])
    if not size.isdecimal() or len(size) > LENGTH_DIGITS:
        msg = f"the answer about {name} is none of S3: it has a length of {size[:40]!r}"
        raise TransientError(msg)
    return ObjectInfo(
        name,
        int(size),
        _crc32c_in(answer, metadata),
        metadata.get(arguments.UPLOAD_ID, ""),
        etag_of(answer),
        answer.get("VersionId"),
    )


def _crc32c_in(answer: dict[str, Any], metadata: dict[str, str]) -> int | None:
    """Return what the service took itself, else what was sent along for reads to compare."""
    reported = str(answer.get("ChecksumCRC32C", ""))
    if _REPORTED.fullmatch(reported) and answer.get("ChecksumType") != "COMPOSITE":
        return int.from_bytes(base64.b64decode(reported), "big")
    sent_along = metadata.get(arguments.CRC32C, "")  # anybody may have written it
    return int(sent_along, 16) if _CRC32C.fullmatch(sent_along) else None
