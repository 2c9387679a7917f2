"""Translate options and metadata into what goes with each request.

Keys of our metadata begin with `uploader-`. Values are percent-encoded, since metadata is ASCII.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from uploader.config import pairs_of
from uploader.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uploader.config import Options
    from uploader.store.base import ObjectMeta

UPLOAD_ID = "uploader-id"
CRC32C = "uploader-crc32c"  #: hexadecimal

KEY_BYTES = 32  #: of AES-256
KEY_VARIABLE = "UPLOADER_SSE_CUSTOMER_KEY"  #: base64 of 32 bytes
KEY_FILE_VARIABLE = "UPLOADER_SSE_CUSTOMER_KEY_FILE"  #: a file with the same, or with 32 raw bytes


class Arguments:
    """What the options of one destination add to requests."""

    def __init__(self, options: Options) -> None:
        """Read the customer's key from the environment, if the options ask for one.

        Raises:
            AuthError: there is none.
        """
        self._metadata = {key: quote(value) for key, value in pairs_of(options.metadata).items()}
        self._object = _given(
            ACL=options.acl,
            StorageClass=options.storage_class,
            Tagging=options.tags,
            SSEKMSKeyId=options.kms_key_id,
            ServerSideEncryption=None if options.sse == "customer" else options.sse,
        )
        if options.kms_key_id and not options.sse:
            self._object["ServerSideEncryption"] = "aws:kms"
        self._payer = {"RequestPayer": "requester"} if options.requester_pays else {}
        self._key: dict[str, Any] = {}
        self._source_key: dict[str, Any] = {}
        if options.sse == "customer":
            key = _customer_key(os.environ)
            self._key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
            self._source_key = {f"CopySource{name}": value for name, value in self._key.items()}

    def of_object(self, meta: ObjectMeta) -> dict[str, Any]:
        """Return what a new object needs: put, the beginning of parts, copy."""
        return {"Metadata": self._metadata_of(meta), **self._object, **self._key, **self._payer}

    @property
    def of_bytes(self) -> dict[str, Any]:
        """What a request for an object's bytes, or about them, needs: part, head, get."""
        return {**self._key, **self._payer}

    @property
    def of_source(self) -> dict[str, Any]:
        """What a request that copies needs for the object it copies from."""
        return self._source_key

    @property
    def of_any(self) -> dict[str, Any]:
        """What every other request needs."""
        return self._payer

    def _metadata_of(self, meta: ObjectMeta) -> dict[str, str]:
        ours = _given(
            **{
                UPLOAD_ID: meta.upload_id,
                CRC32C: None if meta.crc32c is None else f"{meta.crc32c:08x}",
                "uploader-mtime": None if meta.source_mtime is None else repr(meta.source_mtime),
                "uploader-run": quote(meta.run) or None,
                "uploader-rank": str(meta.rank),
            }
        )
        return {**self._metadata, **ours}


def _given(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _customer_key(environ: Mapping[str, str]) -> bytes:
    text: bytes = environ.get(KEY_VARIABLE, "").encode()
    try:
        if path := environ.get(KEY_FILE_VARIABLE):
            text = Path(path).read_bytes()
        key = text if len(text) == KEY_BYTES else base64.b64decode(text.strip(), validate=True)
    except (OSError, binascii.Error) as error:
        raise AuthError(_no_key(str(error))) from error
    if len(key) != KEY_BYTES:
        raise AuthError(_no_key(f"it has {len(key)} bytes"))
    return key


def _no_key(why: str) -> str:
    return (
        f"no customer key: {why}; set {KEY_VARIABLE} to the base64 of {KEY_BYTES} "
        f"bytes, or {KEY_FILE_VARIABLE} to a file that has them"
    )
