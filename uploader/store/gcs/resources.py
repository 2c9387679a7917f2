"""Write an object's resource as the JSON API takes it, and read what the service says of one.

Keys of our metadata begin with `uploader-`, as on S3.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.config import pairs_of
from uploader.errors import TransientError
from uploader.model import Receipt
from uploader.store.base import ObjectInfo

if TYPE_CHECKING:
    from uploader.config import Options
    from uploader.store.base import ObjectMeta

UPLOAD_ID = "uploader-id"
CRC32C = "uploader-crc32c"  #: hexadecimal
CONTENT_TYPE = "application/octet-stream"

_REPORTED = re.compile(r"[A-Za-z0-9+/]{6}==")  #: four bytes in base64
_CRC32C = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,20}")

#: What is asked for of a resource: the whole of one has ten times that.
FIELDS = "name,size,crc32c,generation,metadata"


class Arguments:
    """What the options of one destination add to requests."""

    def __init__(self, options: Options) -> None:
        """Read the options; nothing of them is secret."""
        self._metadata = pairs_of(options.metadata)
        self._storage_class = options.storage_class
        self._key, self._acl = options.kms_key_id, options.acl
        #: what every request needs: who pays
        self.of_any = _given(userProject=options.user_project)
        #: what the request that makes an object needs
        self.of_new = _given(kmsKeyName=self._key, predefinedAcl=self._acl, **self.of_any)
        #: the same of one that makes it from others
        self.of_copy = _given(
            destinationKmsKeyName=self._key, destinationPredefinedAcl=self._acl, **self.of_any
        )
        #: the same of one that puts parts together
        self.of_composed = _given(
            kmsKeyName=self._key, destinationPredefinedAcl=self._acl, **self.of_any
        )

    def resource(self, name: str, meta: ObjectMeta, crc32c: int | None) -> dict[str, Any]:
        """Return the resource of a new object; `crc32c` is of its bytes, for the service to check.

        Args:
            name: the full name in the bucket.
            meta: what is written beside the bytes.
            crc32c: None: not known, or not to be checked.
        """
        given = _given(
            storageClass=self._storage_class, crc32c=None if crc32c is None else base64_of(crc32c)
        )
        return {
            "name": name,
            "contentType": CONTENT_TYPE,
            "metadata": self._metadata_of(meta),
            **given,
        }

    def _metadata_of(self, meta: ObjectMeta) -> dict[str, str]:
        ours = {
            UPLOAD_ID: meta.upload_id,
            CRC32C: None if meta.crc32c is None else f"{meta.crc32c:08x}",
            "uploader-mtime": None if meta.source_mtime is None else repr(meta.source_mtime),
            "uploader-run": meta.run or None,
            "uploader-rank": str(meta.rank),
        }
        return {**self._metadata, **_given(**ours)}


def info_of(name: str, resource: dict[str, Any], what: str) -> ObjectInfo:
    """Return what a resource says; its generation is the mark by which a version is known.

    Raises:
        TransientError: it does not say enough: the answer was cut off.
    """
    return ObjectInfo(
        name,
        int(_told({"size": 0, **resource}, "size", what)),  # some leave out a zero
        crc32c_in(resource),
        str(_metadata_in(resource).get(UPLOAD_ID, "")),
        _told(resource, "generation", what),
    )


def crc32c_in(resource: dict[str, Any]) -> int | None:
    """Return the checksum of the bytes as the service has them, else what was sent along."""
    reported = str(resource.get("crc32c"))
    if _REPORTED.fullmatch(reported):
        return int.from_bytes(base64.b64decode(reported), "big")
    sent_along = str(_metadata_in(resource).get(CRC32C))  # anybody may have written it
    return int(sent_along, 16) if _CRC32C.fullmatch(sent_along) else None


def receipt_of(resource: dict[str, Any], meta: ObjectMeta, what: str) -> Receipt:
    """Return the receipt of an object that was made just now.

    Raises:
        TransientError: the service reports another checksum than the spool's, or too little.
    """
    generation, crc32c = _told(resource, "generation", what), crc32c_in(resource)
    if None not in (crc32c, meta.crc32c) and crc32c != meta.crc32c:
        msg = f"{what} arrived damaged: its CRC32C is {crc32c:08x}, sent was {meta.crc32c:08x}"
        raise TransientError(msg)
    return Receipt(generation, meta.size, meta.crc32c, clock.now())


def base64_of(value: int) -> str:
    """Return a CRC32C as the service writes it."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _metadata_in(resource: dict[str, Any]) -> dict[str, Any]:
    found = resource.get("metadata")
    return found if isinstance(found, dict) else {}


def _told(resource: dict[str, Any], key: str, what: str) -> str:
    """Return a number, in digits."""
    told = str(resource.get(key))
    if not _NUMBER.fullmatch(told):
        msg = f"the answer about {what} was cut off: it does not tell the {key}"
        raise TransientError(msg)
    return told


def _given(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
