"""Define a flag for each of `config.Options`: how to upload, which the spool remembers.

- The same options stand in a destination's query and in `UPLOADER_*` variables; all are read by
  `config`, so that one value means the same everywhere.
- An empty value puts an option back to its default.
- A secret has no flag: arguments are shown to every user of the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from uploader.cli import flags
from uploader.config import ADDRESSING_STYLES, ENCRYPTIONS, SCHEMES_OF, Options
from uploader.model import SymlinkMode

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class _Value(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """What `config.Options` reads."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it as it is, or fail with what is expected."""
        try:
            Options().changed_by({str(param.name if param else ""): value})
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


class _OfDestination(click.Option):
    """A flag with a heading of its own in the help; see `flags.Command`."""

    heading = "Destination options"


def _flag(name: str, metavar: str, what: str) -> Callable[[F], F]:
    return click.option(name, metavar=metavar, type=_Value(), help=_help(name, what))


def _of_destination(name: str, metavar: str, what: str) -> Callable[[F], F]:
    return click.option(
        name, metavar=metavar, type=_Value(), cls=_OfDestination, help=_help(name, what)
    )


def _switch(name: str, what: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}/--no-{name}", default=None, cls=_OfDestination, help=_help(name, what)
    )


def _help(flag: str, what: str) -> str:
    """Say also which destinations the flag is for, if not for all."""
    schemes = SCHEMES_OF.get(flag.removeprefix("--").replace("-", "_"), ())
    only = f"{', '.join(schemes)}; " if schemes else ""
    return f"{what} [{only}remembered]"


def _choice(choices: tuple[str, ...]) -> str:
    return f"[{'|'.join(choices)}]"


_OF_UPLOADS = (
    _flag(
        "--part-size",
        "SIZE",
        "Send large files in parts of this size, as 64MiB; else 16MiB, and more above 16 GiB.",
    ),
    _flag(
        "--symlink-mode",
        _choice(tuple(mode.value for mode in SymlinkMode)),
        "What a symlink becomes at the destination; else native at a file system, a pointer in a "
        "bucket.",
    ),
    _flag(
        "--max-attempts", "NUMBER", "Give an upload up after so many failed attempts; else never."
    ),
    _flag(
        "--keep-done",
        "DURATION",
        "For how long finished uploads stay listed, for `verify`; else 30d.",
    ),
)

_OF_DESTINATION = (
    _of_destination(
        "--endpoint",
        "URL",
        "A service that speaks as S3 or as Google Cloud Storage does, as "
        "https://minio.example:9000. Else AWS's or Google's own.",
    ),
    _of_destination("--region", "NAME", "The bucket's region, as eu-west-1."),
    _of_destination("--profile", "NAME", "A profile of the AWS configuration files, as training."),
    _of_destination(
        "--addressing-style",
        _choice(ADDRESSING_STYLES),
        "Where the bucket's name goes: into the path, or the host's name.",
    ),
    _of_destination("--storage-class", "CLASS", "Of each object, as STANDARD_IA or NEARLINE."),
    _of_destination(
        "--sse",
        _choice(ENCRYPTIONS),
        "How the service encrypts. With customer, the key is taken from "
        "$UPLOADER_SSE_CUSTOMER_KEY (base64), or from the file $UPLOADER_SSE_CUSTOMER_KEY_FILE, "
        "each time; it is never remembered.",
    ),
    _of_destination(
        "--kms-key-id",
        "ID",
        "The key that the service encrypts with: of aws:kms, as alias/artifacts or its ARN; of "
        "Google's KMS, its resource name.",
    ),
    _of_destination(
        "--acl",
        "NAME",
        "A canned ACL of each object, as bucket-owner-full-control; at Google, as "
        "bucketOwnerFullControl.",
    ),
    _of_destination("--tags", "PAIRS", "Tags of each object, as 'team=vision&keep=yes'."),
    _of_destination("--metadata", "PAIRS", "More metadata of each object, as 'project=fox&gpu=8'."),
    _switch("requester-pays", "Pay for the requests to somebody else's bucket."),
    _of_destination(
        "--user-project",
        "ID",
        "The project that pays for the requests to a bucket whose requester pays.",
    ),
    _of_destination(
        "--credentials-file",
        "FILE",
        "The JSON file of a service account or of an external account (workload identity "
        "federation); only its path is remembered. Else Google's defaults: "
        "$GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the node's service account.",
    ),
    _of_destination(
        "--impersonate-service-account",
        "E-MAIL",
        "Act as this service account, with credentials that may create tokens for it.",
    ),
    _of_destination(
        "--ca-bundle", "FILE", "Certificates that TLS is checked with, as /etc/ssl/our-ca.pem."
    ),
    _of_destination("--max-bandwidth", "SIZE", "At most so much a second, all workers, as 50MiB."),
    _of_destination(
        "--stall-timeout",
        "DURATION",
        "Give a request up after so long without progress, as 2m; else 60s.",
    ),
    _switch(
        "node-report",
        "Keep beside the artifacts a report of what this node still holds, for `uploader nodes`.",
    ),
    _switch(
        "allow-unsafe-create",
        "Where the service cannot put create-only: look whether the name is free, then put. Two "
        "machines can collide.",
    ),
)


def upload_options(command: F) -> F:
    """Add all of them; as keyword `options`."""
    return flags.collected(command, "options", (*_OF_UPLOADS, *_OF_DESTINATION))


def destination_options(command: F) -> F:
    """Add those that say where the destination is and how it is spoken to; as `options`."""
    return flags.collected(command, "options", _OF_DESTINATION)
