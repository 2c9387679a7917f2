"""Copy an object inside the service: in one request, or in parts.

- A copy that must not replace anything carries `If-None-Match: *`. Where the service ignores that
  on a copy but honours it on a completion, the object is copied as one of parts.
- Above `WHOLE_MAX` it goes in parts as well, several at once: one request for all of it would take
  longer than any answer is waited for. (S3 itself refuses above 5 GiB.)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.model import Receipt
from uploader.store.s3 import sessions

if TYPE_CHECKING:
    from uploader.place import Capabilities
    from uploader.store.base import ObjectInfo, ObjectMeta
    from uploader.store.s3.arguments import Arguments
    from uploader.store.s3.bucket import Bucket

WHOLE_MAX = 1 << 30  #: bytes copied in one request
PART = 512 << 20  #: bytes; 5 TiB are then 10,240 of them, so it grows for the very largest
PARTS_MAX = 10_000
AT_ONCE = 4  #: parts; the service does the work, and `Config(max_pool_connections)` fits


class Copying:
    """Copies of one bucket's objects."""

    def __init__(self, bucket: Bucket, arguments: Arguments, can: Capabilities) -> None:
        """Copy in `bucket`."""
        self._bucket, self._with, self._can = bucket, arguments, can

    def can_create(self, source: ObjectInfo) -> bool:
        """Tell whether the service can refuse to replace an object by a copy of `source`."""
        in_parts = self._can.conditional_complete and source.size > 0
        return in_parts or (self._can.conditional_copy and source.size <= WHOLE_MAX)

    def run(
        self,
        source: ObjectInfo,
        from_key: str,
        to_key: str,
        *,
        condition: dict[str, str],
        meta: ObjectMeta,
    ) -> Receipt:
        """Make the copy; `meta` has the size and checksum of the source.

        Raises:
            ConflictError: `condition` does not hold; or the source was replaced meanwhile.
            NotFoundError: the source is gone.
        """
        origin = {
            "CopySource": {"Bucket": self._bucket.name, "Key": from_key},
            "CopySourceIfMatch": f'"{source.etag}"',
            **self._with.of_source,
        }
        whole = source.size <= WHOLE_MAX and (not condition or self._can.conditional_copy)
        copied = self._whole if whole else self._in_parts
        etag, version = copied(to_key, origin, condition, meta)
        return Receipt(etag.strip('"'), source.size, source.crc32c, clock.now(), version)

    def _whole(
        self, key: str, origin: dict[str, Any], condition: dict[str, str], meta: ObjectMeta
    ) -> tuple[str, str | None]:
        answer = self._bucket.ask(
            "copy_object",
            key,
            MetadataDirective="REPLACE",
            TaggingDirective="REPLACE",  # to read the tags of the source is a right of its own
            **({"ChecksumAlgorithm": "CRC32C"} if self._can.crc32c else {}),
            **origin,
            **condition,
            **self._with.of_object(meta),
        )
        return str(answer["CopyObjectResult"]["ETag"]), answer.get("VersionId")

    def _in_parts(
        self, key: str, origin: dict[str, Any], condition: dict[str, str], meta: ObjectMeta
    ) -> tuple[str, str | None]:
        whole = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
        session = self._bucket.ask(
            "create_multipart_upload",
            key,
            **(whole if self._can.whole_crc32c else {}),
            **self._with.of_object(meta),
        )["UploadId"]
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                parts = list(
                    pool.map(lambda cut: self._part(key, session, origin, cut), _cuts_of(meta.size))
                )
            answer = self._bucket.ask(
                "complete_multipart_upload",
                key,
                UploadId=session,
                MultipartUpload={"Parts": parts},
                **condition,
                **self._with.of_bytes,
            )
        except BaseException:
            sessions.abort(self._bucket, key, session, self._with)
            raise
        return str(answer["ETag"]), answer.get("VersionId")

    def _part(
        self, key: str, session: str, origin: dict[str, Any], cut: tuple[int, int, int]
    ) -> dict[str, Any]:
        number, first, last = cut
        answer = self._bucket.ask(
            "upload_part_copy",
            key,
            UploadId=session,
            PartNumber=number,
            CopySourceRange=f"bytes={first}-{last}",
            **origin,
            **self._with.of_bytes,
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}


def _cuts_of(size: int) -> list[tuple[int, int, int]]:
    """Return the number, first byte and last byte of each part."""
    part = max(PART, -(-size // PARTS_MAX))
    return [
        (number, first, min(first + part, size) - 1)
        for number, first in enumerate(range(0, size, part), start=1)
    ]
