"""Hold what a spool can be told to remember, and in which words."""

from __future__ import annotations

import json
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from uploader.config import Options, default_spool, fitting, from_environment, pairs_of, parse_size
from uploader.model import SymlinkMode


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("8MiB", 8 << 20),
        ("8M", 8 << 20),
        ("8m", 8 << 20),
        ("2 GB", 2_000_000_000),
        ("2 GiB", 2 << 30),
        ("1.5k", 1536),
        ("1T", 1 << 40),
        ("100B", 100),
        (4096, 4096),
        ("0", 0),
    ],
)
def test_a_size_is_read_as_people_type_it(text: str | int, size: int) -> None:
    """KiB and K are 1,024 bytes, kB is 1,000."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "B", "MiB", "-1", "-1M", "8X", "8 M iB x", "inf", "infK", "nan", "nanM", -5]
)
def test_what_is_no_size_is_refused(text: str | int) -> None:
    """The message says what would be one."""
    with pytest.raises(ValueError, match=r"not a size: .*write bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("symlink_mode", "pointer", SymlinkMode.POINTER),
        ("symlink_mode", SymlinkMode.COPY, SymlinkMode.COPY),
        ("part_size", "8MiB", 8 << 20),
        ("max_attempts", "5", 5),
        ("keep_done", "3600", 3600.0),
        ("keep_done", "30d", 30 * 86400.0),
        ("keep_done", 0, 0.0),
        ("allow_unsafe_create", "1", True),
        ("allow_unsafe_create", "True", True),
        ("allow_unsafe_create", "no", False),
        ("allow_unsafe_create", False, False),
        ("max_bandwidth", "50MiB", 50 << 20),
        ("stall_timeout", "2m", 120.0),
        ("stall_timeout", "1500ms", 2.0),
        ("endpoint", "https://minio.example:9000/", "https://minio.example:9000"),
        ("endpoint", "http://[::1]:9000", "http://[::1]:9000"),
        ("region", "eu-west-1", "eu-west-1"),
        ("profile", "training", "training"),
        ("addressing_style", "path", "path"),
        ("storage_class", "STANDARD_IA", "STANDARD_IA"),
        ("sse", "aws:kms", "aws:kms"),
        ("kms_key_id", "alias/artifacts", "alias/artifacts"),
        ("acl", "bucket-owner-full-control", "bucket-owner-full-control"),
        ("tags", "team=vision&keep=", "team=vision&keep="),
        ("tags", "who=Jörg Ü", "who=J%C3%B6rg%20%C3%9C"),
        ("metadata", "project=fox&gpu-count=8", "project=fox&gpu-count=8"),
        ("requester_pays", "yes", True),
        ("ca_bundle", "/etc/ssl/ours.pem", "/etc/ssl/ours.pem"),
    ],
)
def test_an_option_is_read_from_text_or_from_its_value(key: str, given: Any, value: Any) -> None:
    """From the environment as from Python, and the same after it was stored."""
    options = Options().changed_by({key: given})
    assert getattr(options, key) == value
    assert Options().changed_by(json.loads(json.dumps(options.as_json()))) == options


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("symlink_mode", "hard"),
        ("part_size", "0"),
        ("part_size", -5),
        ("part_size", "much"),
        ("max_attempts", "0"),
        ("max_attempts", "often"),
        ("keep_done", "-1"),
        ("keep_done", "nan"),
        ("keep_done", "soon"),
        ("allow_unsafe_create", "perhaps"),
        ("max_attempts", "1.5"),
        ("max_bandwidth", "0"),
        ("max_bandwidth", "fast"),
        ("stall_timeout", "0"),
        ("stall_timeout", "soon"),
        ("endpoint", "minio.example:9000"),
        ("endpoint", "ftp://minio.example"),
        ("endpoint", "https://"),
        ("endpoint", "https://minio.example?region=x"),
        ("region", " eu-west-1"),
        ("region", "eu\nwest"),
        ("profile", "a\0b"),
        ("addressing_style", "dns"),
        ("storage_class", "\t"),
        ("sse", "kms"),
        ("tags", "team"),
        ("tags", "=vision"),
        ("metadata", "project"),
        ("metadata", "a b=c"),
        ("metadata", "a%0d%0ax-amz-acl=public-read"),
        ("metadata", "ü=c"),
        ("metadata", "Uploader-Id=mine"),
        ("requester_pays", "maybe"),
        ("ca_bundle", "a\nb"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_refused(key: str, given: Any) -> None:
    """The message names the option."""
    with pytest.raises(ValueError, match=f"option {key}: "):
        Options().changed_by({key: given})


@pytest.mark.parametrize("scheme", ["https", "ftp"])
def test_an_endpoint_with_credentials_is_refused_without_repeating_them(scheme: str) -> None:
    """It would be stored in the clear; the message goes into logs."""
    with pytest.raises(ValueError, match="credentials do not belong in a URL") as refused:
        Options().changed_by({"endpoint": f"{scheme}://user:hush@minio.example?x=1"})
    assert "hush" not in str(refused.value)


def test_a_relative_file_is_remembered_as_an_absolute_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs in another directory."""
    monkeypatch.chdir("/")
    assert Options().changed_by({"ca_bundle": "etc/ours.pem"}).ca_bundle == "/etc/ours.pem"


@pytest.mark.parametrize("field", fields(Options), ids=lambda field: field.name)
def test_an_empty_text_puts_an_option_back(field: Field[Any]) -> None:
    """Each of them, whatever its type."""
    other: Any = {field.name: "something else"}
    changed = Options(**other)
    assert changed.changed_by({field.name: ""}) == Options()


def test_pairs_come_back_as_they_were_given() -> None:
    """However they were escaped."""
    options = Options().changed_by({"tags": "a=1 2&b=%26&c=ü&d="})
    assert pairs_of(options.tags) == {"a": "1 2", "b": "&", "c": "ü", "d": ""}
    assert pairs_of(None) == {}


def test_an_option_of_s3_means_nothing_to_a_directory() -> None:
    """Given, it is refused by its name; a default and what is of every store are not."""
    options = Options().changed_by({"endpoint": "http://minio", "region": "x", "part_size": 1})
    options.require_fit("s3")
    with pytest.raises(ValueError, match=r"option endpoint, region: only for s3://.*, not file://"):
        options.require_fit("file")
    Options(max_bandwidth=1, allow_unsafe_create=True, stall_timeout=1.0).require_fit("file")


def test_only_what_fits_is_taken_from_options_that_nobody_gave_on_purpose() -> None:
    """A shell's variables are for all that is started there."""
    given = {"endpoint": "http://minio", "part_size": "8M"}
    assert fitting(given, "file") == {"part_size": "8M"}
    assert fitting(given, "s3") == given


def test_an_option_that_does_not_exist_is_refused() -> None:
    """A misspelt one is not silently without effect."""
    with pytest.raises(ValueError, match=r"no such option: part_sise; there are: .*part_size"):
        Options().changed_by({"part_sise": 1})


def test_only_what_is_given_changes() -> None:
    """None means: as it was."""
    before = Options(part_size=1 << 20, max_attempts=3)
    after = before.changed_by({"part_size": None, "max_attempts": 4})
    assert (after.part_size, after.max_attempts) == (1 << 20, 4)


def test_only_what_differs_from_the_defaults_is_stored() -> None:
    """A later version may have better defaults."""
    assert Options().as_json() == {}
    assert Options(max_attempts=3).as_json() == {"max_attempts": 3}


def test_the_environment_names_every_option() -> None:
    """An empty variable is none, and others are not looked at."""
    environ = {"UPLOADER_PART_SIZE": "8M", "UPLOADER_MAX_ATTEMPTS": "", "UPLOADER_SPOOL": "/x"}
    assert from_environment(environ) == {"part_size": "8M"}
    names = [field.name for field in fields(Options)]
    assert list(from_environment({f"UPLOADER_{name.upper()}": "x" for name in names})) == names


def test_a_spool_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else in the user's state directory, one for each destination."""
    monkeypatch.setenv("UPLOADER_SPOOL", "/named")
    assert default_spool("file:///a") == Path("/named")
    monkeypatch.delenv("UPLOADER_SPOOL")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_spool("file:///a").parent == Path("/state/uploader")
    assert default_spool("file:///a") == default_spool("file:///a") != default_spool("file:///b")
