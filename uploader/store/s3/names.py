"""Ask S3 who holds a name, and say there under what condition it may be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.store import names
from uploader.store.s3.answers import info_of

if TYPE_CHECKING:
    from uploader.config import Options
    from uploader.place import Capabilities
    from uploader.store.base import ObjectInfo
    from uploader.store.s3.arguments import Arguments
    from uploader.store.s3.bucket import Bucket


class Names(names.Names):
    """The names below one prefix of a bucket."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        arguments: Arguments,
        options: Options,
        can: Capabilities,
    ) -> None:
        """Ask `bucket`; `prefix` ends in a slash, or is empty."""
        super().__init__(prefix, bucket.endpoint, options, can)
        self._bucket, self._with = bucket, arguments

    def _described(self, name: str) -> ObjectInfo:
        return info_of(name, self._bucket.head(self.key(name), **self._with.of_bytes))

    def _described_for_sure(self, name: str) -> ObjectInfo:
        return info_of(name, self._bucket.head_whole(self.key(name), **self._with.of_bytes))


def headers_of(condition: names.Condition) -> dict[str, str]:
    """Return a condition as boto3 takes it."""
    if condition is None:
        return {}
    return {"IfNoneMatch": "*"} if condition == names.FREE else {"IfMatch": f'"{condition}"'}
