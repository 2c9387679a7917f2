"""Try out a destination, and say what works, what does not, and what to do about it.

- A refusal is a finding like any other, also one to open the store or to be reached at all.
- A service that ignores conditions is a warning: with overwrite everything works.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode
from uploader.cli.upload_flags import destination_options
from uploader.errors import StoreError, ThrottledError, TransientError
from uploader.place import AMBIENT_VARIABLES
from uploader.policy import try_in_step
from uploader.store.opening import open_store
from uploader.store.probe import Finding, Probed, Verdict, refusal

if TYPE_CHECKING:
    from uploader.place import Place
    from uploader.spool.capacity import Capacity


@click.command(
    cls=flags.Command,
    epilog="""uploader check --spool /local/spool
uploader check 's3://bucket/runs?endpoint=https://minio.example:9000'
uploader check gs://bucket/runs --credentials-file /etc/keys/uploads.json""",
)
@flags.spool_option
@click.argument("destination", metavar="[URL]", required=False)
@destination_options
@flags.json_option
@flags.log_options(logging.WARNING)
def check(
    spool_path: str | None, destination: str | None, options: dict[str, Any], as_json: bool
) -> ExitCode:
    """Try out the destination URL, or that of a spool, and say what to do about what fails.

    Small objects are written there, read, copied and removed again. It shows whether credentials
    and permissions suffice, what the service honours, whether the clock is right, and what room
    there is. The spool remembers what the service honours; options given here are tried, and not
    remembered.

    Exit codes: 0 uploads work, perhaps with warnings; 5 the destination refuses, or cannot be
    reached.
    """
    if destination is None and spool_path is None:
        raise click.UsageError("name a destination or a spool: uploader check URL, or --spool DIR")
    with flags.spool_or_destination(spool_path, destination, options) as (spool, place):
        probed = _probed(place)
        if spool and probed.capabilities:
            spool.remembered.capabilities = probed.capabilities
        of_spool = [_room(spool.capacity)] if spool else []
    findings = [*of_spool, *probed.findings]
    refused = any(finding.verdict is Verdict.REFUSED for finding in findings)
    code = ExitCode.REFUSED if refused else ExitCode.DONE
    if as_json:
        report = {
            "destination": place.url,
            "findings": [finding.as_json() for finding in findings],
            "capabilities": _honoured(probed),
            "exit_code": int(code),
        }
        click.echo(json.dumps(report))
    else:
        click.echo(render.findings_text(findings, place.url))
    return code


def _honoured(probed: Probed) -> dict[str, Any] | None:
    if probed.capabilities is None:
        return None
    return {name: value for name, value in asdict(probed.capabilities).items() if name != "way"}


def _probed(place: Place) -> Probed:
    """Try everything; what keeps that from being done is the one finding."""
    try:
        store = open_store(place)
    except StoreError as error:
        return Probed((refusal("open", error),))
    try:
        return try_in_step(store.probe)
    except ThrottledError as error:
        return Probed((_unreached(error, "the service asks for fewer requests: try again later"),))
    except TransientError as error:
        return Probed((_unreached(error, _how_to_reach(place)),))
    except StoreError as error:
        return Probed((refusal("requests", error),))
    finally:
        store.close()


def _how_to_reach(place: Place) -> str:
    variables = AMBIENT_VARIABLES[place.destination.scheme].get("endpoint", ())
    return (
        "see that the service runs, that this machine can reach it, and that its address is right: "
        f"{', or '.join(['--endpoint', *variables[-1:]])}"
    )


def _unreached(error: StoreError, advice: str) -> Finding:
    return Finding("reach", Verdict.REFUSED, str(error), advice, error)


def _room(capacity: Capacity) -> Finding:
    """Say how much the spool may still take; without room it uploads, but takes nothing in."""
    what = "room in the spool"
    if lack := capacity.lack(1):
        return Finding(what, Verdict.WARNING, lack, capacity.advice())
    free, kept = render.size_text(capacity.free()), render.size_text(capacity.min_free_bytes)
    detail = f"its disk has {free} free, of which {kept} are kept"
    if capacity.max_bytes is not None:
        held, most = render.size_text(capacity.held()), render.size_text(capacity.max_bytes)
        detail += f"; {held} of at most {most} wait in it"
    return Finding(what, Verdict.OK, detail)
