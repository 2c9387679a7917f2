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
from click.core import ParameterSource

from uploader import clock, config, url
from uploader.errors import DestinationMismatchError, UploaderError, advice
from uploader.observe.log import set_up
from uploader.place import Place
from uploader.spool.layout import Layout
from uploader.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

DESTINATION_VARIABLE = "UPLOADER_DESTINATION"

MAX_WORKERS = 256  #: processes; more than that on one node is a typing error


class Command(click.Command):
    """A command whose flags may stand under headings, and whose epilog is examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the ordinary flags first, then those that name a heading of their own.

        Arguments stand in the usage line, and the text says what they are.
        """
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                sections.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

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


def _destination_option(what: str) -> Callable[[F], F]:
    return click.option(
        "--destination",
        metavar="URL",
        envvar=DESTINATION_VARIABLE,
        help=f"{what} Else ${DESTINATION_VARIABLE}.",
    )


destination_option = _destination_option(
    "Where to upload to, as s3://bucket/runs, gs://bucket/runs or file:///mnt/artifacts. The spool "
    "is made if there is none, and remembers it."
)
source_option = _destination_option(
    "Where to read, as s3://bucket/runs; no spool is needed, and none is made."
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, for programs.")
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what has the name. Without it, nothing is replaced."
)
all_option = click.option(
    "--all", "every", is_flag=True, help="Every spool below the directory that --spool names."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=4,
    show_default=True,
    envvar="UPLOADER_WORKERS",
    help="How many processes upload at the same time. Else $UPLOADER_WORKERS.",
)


def collected(
    command: F,
    keyword: str | None,
    flags: tuple[Callable[[Any], Any], ...],
    use: Callable[[dict[str, Any]], None] = lambda given: None,  # noqa: ARG005
) -> F:
    """Add flags to a command and hand their values on as one dictionary, to `keyword` or `use`."""

    @wraps(command)
    def collecting(**given: Any) -> Any:
        names = [parameter.name for parameter in parameters]
        values = {name: given.pop(name) for name in names if name}
        use(values)
        return command(**given, **({keyword: values} if keyword else {}))

    before = len(getattr(command, "__click_params__", []))
    wrapped: Any = collecting
    for flag in reversed(flags):
        wrapped = flag(wrapped)
    parameters: list[click.Parameter] = wrapped.__click_params__[before:]
    result: F = wrapped
    return result


def limit_options(command: F) -> F:
    """Add the spool's limits; as keyword `limits`."""
    flags = (
        click.option(
            "--max-bytes",
            type=Size(),
            help="The most that may wait in it; else what fits. [remembered]",
        ),
        click.option(
            "--min-free-bytes",
            type=Size(),
            help="What its disk keeps free for others; else 64MiB. [remembered]",
        ),
    )
    return collected(command, "limits", flags)


def waiting_options(command: F) -> F:
    """Add `--wait` and `--timeout`."""
    command = click.option(
        "--timeout",
        type=Duration(),
        help="With --wait: for at most this long, as 90s; then exit code 4.",
    )(command)
    return click.option("--wait", is_flag=True, help="Return when it is at the destination.")(
        command
    )


def origin_options(command: F) -> F:
    """Add `--run` and `--rank`, which are written beside the object; as keyword `origin`."""
    flags = (
        click.option(
            "--run", default="", envvar="RUN_NAME", help="The run it belongs to. Else $RUN_NAME."
        ),
        click.option(
            "--rank",
            type=click.IntRange(0),
            default=0,
            envvar="RANK",
            help="Of the process in the run. Else $RANK.",
        ),
    )
    return collected(command, "origin", flags)


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
                help="What lines on stderr, and in the agent's log, look like. Else "
                "$UPLOADER_LOG_FORMAT.",
                show_default=True,
            ),
        )
        return collected(command, None, flags, lambda given: set_up(level, **given))

    return add


def given(*, leave_out: Collection[str]) -> tuple[str, ...]:
    """Return the flags that the command now running was given, as they can be given again.

    What stands in variables is left out: a child inherits them.
    """
    context, words = click.get_current_context(), []
    for one in context.command.params:
        name, is_said = str(one.name), context.get_parameter_source(str(one.name))
        if name in leave_out or is_said is not ParameterSource.COMMANDLINE:
            continue
        assert isinstance(one, click.Option)  # noqa: S101  commands with --all take no arguments
        value = context.params[name]
        if one.count:
            words += [one.opts[0]] * int(value)
        else:
            words += [one.opts[0]] if one.is_flag else [one.opts[0], str(value)]
    return tuple(words)


def logs_json() -> bool:
    """Tell whether the command now running writes its log lines as JSON."""
    return bool(click.get_current_context().params["log_format"] == "json")


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
    path = named_spool(spool_path, destination)
    environment = {} if options is None else config.from_environment()
    with arguments_blamed(ValueError):
        return Spool(path, destination, options=_given(options), environment=environment, **more)


def place_of(spool: Spool, options: Mapping[str, Any] | None = None) -> Place:
    """Return a spool's destination: `options` over the environment over what it remembers."""
    place = spool.place
    scheme = place.destination.scheme
    with arguments_blamed(ValueError):
        settled = place.options.changed_by(_over_environment(_given(options), scheme))
        settled.require_fit(scheme)
    return replace(place, options=settled)


def _over_environment(given: Mapping[str, Any], scheme: str) -> dict[str, Any]:
    return {**config.fitting(config.from_environment(), scheme), **given}


def _given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what was said; a flag that was not is None, and hides no other source."""
    return {name: value for name, value in (options or {}).items() if value is not None}


def open_for_reading(spool_path: str | None) -> Spool:
    """Open an existing spool without keeping an agent from leaving."""
    return open_spool(spool_path, producer=False)


@contextmanager
def spool_or_destination(
    spool_path: str | None,
    destination: str | None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Spool | None, Place]]:
    """Open the spool, if there is one, to read from it and from its destination.

    A destination alone is enough: a new node has no spool yet. `options` are not remembered.
    """
    if destination is None:
        with open_for_reading(spool_path) as spool:
            yield spool, place_of(spool, options)
        return
    path = named_spool(spool_path, destination)
    with arguments_blamed(ValueError):
        parsed = url.parse(destination)
        given = {**parsed.options, **_given(options)}
        wanted = Place.of(str(parsed), _over_environment(given, parsed.scheme))
    if not Layout(path).database.exists():
        yield None, wanted
        return
    with Spool(path, producer=False) as spool:
        if spool.destination != wanted.url:
            raise DestinationMismatchError(
                f"spool {path} uploads to {spool.destination}, not to {wanted.url}; name one of "
                "them"
            )
        yield spool, place_of(spool, given)


@contextmanager
def arguments_blamed(*kinds: type[Exception]) -> Iterator[None]:
    """Make what the API refuses with these errors an error of usage: a bad name, a bad file."""
    try:
        yield
    except UploaderError:
        raise
    except kinds as error:
        if isinstance(error, OSError) and advice(error):
            raise  # the machine is to blame
        raise click.ClickException(message_of(error)) from error


def message_of(error: BaseException) -> str:
    """Return an error's text for people."""
    if isinstance(error, KeyError) and error.args:  # its str() is the repr of the message
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        return f"{text}; {todo}" if (todo := advice(error)) else text
    return str(error)
