"""Define the flags that commands share, and open the spool that they name.

Flags over `UPLOADER_*` environment over what the spool remembers.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uploader import clock, config, url
from uploader.errors import DestinationMismatchError, UploaderError
from uploader.model import SymlinkMode
from uploader.observe.log import set_up
from uploader.place import Place
from uploader.spool.layout import Layout
from uploader.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

MAX_WORKERS = 256  #: processes; more than that on one node is a typing error


class Command(click.Command):
    """A command whose epilog is examples, shown as they are."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, not filled into a paragraph."""
        del ctx
        if self.epilog:
            with formatter.section("Example"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """Seconds, from `90`, `25s`, `10m`, `1h30m`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds, or fail with what is expected."""
        if isinstance(value, float):
            return value
        try:
            return clock.parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType):  # type: ignore[type-arg]  # as above
    """Bytes, from `1048576`, `8MiB`, `2GB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes, or fail with what is expected."""
        try:
            return config.parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


spool_option = click.option(
    "--spool",
    "spool_path",
    metavar="DIR",
    type=click.Path(path_type=str, readable=False),  # what is wrong with it, the spool says
    envvar=config.SPOOL_VARIABLE,
    help=f"The spool's directory. Else ${config.SPOOL_VARIABLE}.",
)
destination_option = click.option(
    "--destination",
    metavar="URL",
    envvar="UPLOADER_DESTINATION",
    help="Where to upload to, as file:///mnt/artifacts. The spool is made if there is none, and "
    "remembers it.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what has the name. Without it, nothing is replaced."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=4,
    show_default=True,
    envvar="UPLOADER_WORKERS",
    help="How many processes upload at the same time.",
)


def upload_options(command: F) -> F:
    """Add the options of `config.Options`, which the spool remembers; as keyword `options`."""
    flags = (
        click.option(
            "--part-size", type=Size(), help="Send large files in parts of this size. [remembered]"
        ),
        click.option(
            "--symlink-mode",
            type=click.Choice([mode.value for mode in SymlinkMode]),
            help="What a symlink becomes at the destination. [remembered]",
        ),
        click.option(
            "--max-attempts",
            type=click.IntRange(1),
            help="Give an upload up after so many failed attempts; else never. [remembered]",
        ),
        click.option(
            "--keep-done",
            type=Duration(),
            help="For how long finished uploads stay listed, for `verify`. [remembered; 30d]",
        ),
    )
    return _collected(command, "options", flags)


def limit_options(command: F) -> F:
    """Add the spool's limits; as keyword `limits`."""
    flags = (
        click.option("--max-bytes", type=Size(), help="The most that may wait in it. [remembered]"),
        click.option(
            "--min-free-bytes",
            type=Size(),
            help="What its disk keeps free, for everything else. [remembered; 64 MiB]",
        ),
    )
    return _collected(command, "limits", flags)


def waiting_options(command: F) -> F:
    """Add `--wait` and `--timeout`."""
    command = click.option(
        "--timeout", type=Duration(), help="With --wait: for at most this long; then exit code 4."
    )(command)
    return click.option("--wait", is_flag=True, help="Return when it is at the destination.")(
        command
    )


def origin_options(command: F) -> F:
    """Add `--run` and `--rank`, which are written beside the object; as keyword `origin`."""
    flags = (
        click.option("--run", default="", envvar="RUN_NAME", help="The run it belongs to."),
        click.option("--rank", type=click.IntRange(0), default=0, envvar="RANK", help="The rank."),
    )
    return _collected(command, "origin", flags)


def log_options(level: int) -> Callable[[F], F]:
    """Add `-v`, `-q` and `--log-format`, and set logging up before the command runs."""

    def add(command: F) -> F:
        flags = (
            click.option("-v", "--verbose", count=True, help="Say more; twice: everything."),
            click.option("-q", "--quiet", count=True, help="Say less."),
            click.option(
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                envvar="UPLOADER_LOG_FORMAT",
                help="What lines on stderr look like.",
            ),
        )
        return _collected(command, None, flags, lambda given: set_up(level, **given))

    return add


def require_selection(selectors: tuple[str, ...], everything: bool) -> None:
    """Refuse a command that names nothing, and one that names some and all."""
    if bool(selectors) == everything:
        raise click.UsageError("name uploads by id or name, or say --all")


def named_spool(spool_path: str | None, destination: str | None = None) -> Path:
    """Return the spool that the flags name; with a destination alone, the user's own for it.

    Raises:
        click.UsageError: they name none.
    """
    if spool_path:
        return Path(os.path.abspath(spool_path))
    if spool_path is not None:  # `--spool "$UNSET"` must not mean the current directory
        raise click.UsageError("the spool's directory is empty text; name it: --spool DIR")
    if destination:
        with arguments_blamed(ValueError):
            return config.default_spool(str(url.parse(destination)))
    raise click.UsageError(f"name the spool: --spool DIR, or set {config.SPOOL_VARIABLE}")


def open_spool(
    spool_path: str | None,
    destination: str | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Spool:
    """Open the spool that the flags name, with flags over environment over what it remembers."""
    given = {key: value for key, value in (options or {}).items() if value is not None}
    if options is not None:
        in_query = _options_in(destination)
        given = {**config.from_environment(), **in_query, **given}
    path = named_spool(spool_path, destination)
    with arguments_blamed(ValueError):
        return Spool(path, destination, options=given, **more)


def _options_in(destination: str | None) -> Mapping[str, str]:
    with arguments_blamed(ValueError):
        return url.parse(destination).options if destination is not None else {}


def place_of(spool: Spool) -> Place:
    """Return a spool's destination, with the environment's options over what it remembers."""
    with arguments_blamed(ValueError):
        return with_options(spool.place, config.from_environment())


def with_options(place: Place, given: Mapping[str, Any]) -> Place:
    """Return a destination with the options that are `given` put over its own."""
    options = place.options.changed_by(given)
    options.require_fit(place.destination.scheme)
    return replace(place, options=options)


def open_for_reading(spool_path: str | None) -> Spool:
    """Open an existing spool without keeping an agent from leaving."""
    return open_spool(spool_path, producer=False)


@contextmanager
def spool_or_destination(
    spool_path: str | None, destination: str | None
) -> Iterator[tuple[Spool | None, Place]]:
    """Open the spool, if there is one, to read from it and from its destination.

    A destination alone is enough: a new node has no spool yet.
    """
    if destination is None:
        with open_for_reading(spool_path) as spool:
            yield spool, place_of(spool)
        return
    path = named_spool(spool_path, destination)
    with arguments_blamed(ValueError):
        in_query = url.parse(destination).options
        wanted = Place.of(destination, {**config.from_environment(), **in_query})
    if not Layout(path).database.exists():
        yield None, wanted
        return
    with Spool(path, producer=False) as spool:
        if spool.destination != wanted.url:
            raise DestinationMismatchError(
                f"spool {path} uploads to {spool.destination}, not to {wanted.url}; name one of "
                "them"
            )
        yield spool, with_options(place_of(spool), in_query)


@contextmanager
def arguments_blamed(*kinds: type[Exception]) -> Iterator[None]:
    """Make what the API refuses with these errors an error of usage: a bad name, a bad file."""
    try:
        yield
    except UploaderError:
        raise
    except kinds as error:
        raise click.ClickException(message_of(error)) from error


def message_of(error: BaseException) -> str:
    """Return an error's text for people."""
    if isinstance(error, KeyError) and error.args:  # its str() is the repr of the message
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _collected(
    command: F,
    keyword: str | None,
    flags: tuple[Callable[[Any], Any], ...],
    use: Callable[[dict[str, Any]], None] = lambda given: None,  # noqa: ARG005
) -> F:
    """Add flags to a command and hand their values on as one dictionary."""

    @wraps(command)
    def collecting(**given: Any) -> Any:
        names = [parameter.name for parameter in collected]
        values = {name: given.pop(name) for name in names if name}
        use(values)
        return command(**given, **({keyword: values} if keyword else {}))

    before = len(getattr(command, "__click_params__", []))
    wrapped: Any = collecting
    for flag in reversed(flags):
        wrapped = flag(wrapped)
    collected: list[click.Parameter] = wrapped.__click_params__[before:]
    result: F = wrapped
    return result
