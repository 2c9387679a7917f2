"""Hold what a spool can be told to remember, and in which words."""

from __future__ import annotations

import json
import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from uploader.config import (
    SCHEMES_OF,
    Options,
    default_spool,
    fitting,
    from_environment,
    pairs_of,
    parse_size,
)
from uploader.model import SymlinkMode
from uploader.url import SCHEMES


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
        ("user_project", "example.com:my-project", "example.com:my-project"),
        ("user_project", "123456789012", "123456789012"),
        ("credentials_file", "/etc/gcp/key.json", "/etc/gcp/key.json"),
        ("impersonate_service_account", "up@my.iam.example", "up@my.iam.example"),
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
        ("user_project", "my project"),
        ("user_project", "projects/mine"),
        ("credentials_file", "a\nb"),
        ("impersonate_service_account", "uploads"),
        ("impersonate_service_account", "a@b, c@d"),
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


@pytest.mark.parametrize("given", ['{"private_key": "hush"}', '\n{\n"private_key": "hush"\n}'])
def test_the_content_of_a_credentials_file_is_refused_without_repeating_it(given: str) -> None:
    """Some services hand it out as a variable; only a path is stored."""
    with pytest.raises(ValueError, match="write the path of a file") as refused:
        Options().changed_by({"credentials_file": given})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("key", ["ca_bundle", "credentials_file"])
def test_a_relative_file_is_remembered_as_an_absolute_one(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent runs in another directory."""
    monkeypatch.chdir("/")
    assert Options().changed_by({key: "etc/ours"}).as_json() == {key: "/etc/ours"}


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


_CODE = re.compile(r"`(\w+)`")

#: Options for every destination; each of the others says for which it is.
FOR_ALL = {
    "symlink_mode", "part_size", "max_attempts", "keep_done", "allow_unsafe_create", "node_report",
    "max_bandwidth", "stall_timeout",
}  # fmt: skip


def test_every_other_option_says_for_which_destinations_it_is() -> None:
    """A new one is not taken for one of all by forgetting it."""
    assert {field.name for field in fields(Options)} == FOR_ALL | SCHEMES_OF.keys()
    assert {scheme for schemes in SCHEMES_OF.values() for scheme in schemes} <= set(SCHEMES)


def test_the_readme_lists_every_option_with_its_destinations() -> None:
    """The table there is the table here."""
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    _, _, after = readme.partition("| option | for | |\n|---|---|---|\n")
    rows = [row.split("|")[1:3] for row in after.partition("\n\n")[0].splitlines()]
    listed = {name: schemes.strip() for names, schemes in rows for name in _CODE.findall(names)}
    assert listed == dict.fromkeys(FOR_ALL, "all") | {
        name: ", ".join(schemes) for name, schemes in SCHEMES_OF.items()
    }


def test_an_option_of_others_is_refused_by_its_name() -> None:
    """And for which it is; a default and what is of every store are not."""
    options = Options(endpoint="http://minio", region="x", tags="a=1", part_size=1)
    options.require_fit("s3")
    s3_only = r"option region, tags: only for s3:// destinations, not "
    with pytest.raises(ValueError, match=rf"^{s3_only}gs://$"):
        options.require_fit("gs")
    either = "option endpoint: only for s3:// and gs:// destinations, not file://"
    with pytest.raises(ValueError, match=rf"^{either}; {s3_only}file://$"):
        options.require_fit("file")
    with pytest.raises(ValueError, match=r"^option user_project: only for gs:// .* not s3://$"):
        Options(user_project="p").require_fit("s3")
    Options(max_bandwidth=1, allow_unsafe_create=True, stall_timeout=1.0).require_fit("file")


KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"


@pytest.mark.parametrize(
    ("key", "for_gcs", "for_s3"),
    [
        ("acl", "bucketOwnerFullControl", "bucket-owner-full-control"),
        ("kms_key_id", KEY, "alias/artifacts"),
        ("kms_key_id", KEY, "arn:aws:kms:eu-west-1:1:key/2"),
    ],
)
def test_a_value_in_the_words_of_another_service_is_refused(
    key: str, for_gcs: str, for_s3: str
) -> None:
    """At the call, rather than as a dead letter."""
    Options().changed_by({key: for_s3}).require_fit("s3")
    Options().changed_by({key: for_gcs}).require_fit("gs")
    with pytest.raises(ValueError, match=f"option {key}: write .*, not '{for_s3}'"):
        Options().changed_by({key: for_s3}).require_fit("gs")


def test_only_what_fits_is_taken_from_options_that_nobody_gave_on_purpose() -> None:
    """A shell's variables are for all that is started there; a misspelt one is refused later."""
    given = {"endpoint": "http://minio", "part_size": "8M", "region": "x", "part_sise": "8M"}
    assert fitting(given, "file") == {"part_size": "8M", "part_sise": "8M"}
    assert fitting(given, "gs") == {key: given[key] for key in given if key != "region"}
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
