"""Translate options into arguments of requests: each where it belongs, no secret among them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from uploader.config import Options
from uploader.errors import AuthError
from uploader.store.base import ObjectMeta
from uploader.store.s3.arguments import (
    CRC32C,
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
    UPLOAD_ID,
    Arguments,
)

META = ObjectMeta("0123456789abcdef" * 2, 7, 0xAB, 1_700_000_000.25, "my run", 3)
KEY = bytes(range(32))
WITH_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no key in the environment but that of a test."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)


def arguments(**options: Any) -> Arguments:
    """Return the arguments that options lead to."""
    return Arguments(Options().changed_by(options))


def test_without_options_only_our_metadata_goes_with_an_object() -> None:
    """And nothing with any other request."""
    plain = arguments()
    assert plain.of_object(META) == {
        "Metadata": {
            UPLOAD_ID: META.upload_id,
            CRC32C: "000000ab",
            "uploader-mtime": "1700000000.25",
            "uploader-run": "my%20run",
            "uploader-rank": "3",
        }
    }
    assert plain.of_bytes == plain.of_source == plain.of_any == {}


def test_what_is_not_known_of_an_artifact_is_left_out() -> None:
    """A symlink has neither a checksum nor a time; an empty run is none."""
    metadata = arguments().of_object(ObjectMeta("a" * 32, 0, None, None, "", 0))["Metadata"]
    assert metadata == {UPLOAD_ID: "a" * 32, "uploader-rank": "0"}


@pytest.mark.parametrize("run", ["", "läuft", "a\nb", "100 % sure", "ゼロ"])
def test_metadata_is_always_ascii(run: str) -> None:
    """Headers are; what is not is percent-encoded, as S3 users expect."""
    given = arguments(metadata="who=Zoë&note=a+b")
    metadata = given.of_object(ObjectMeta("a" * 32, 0, None, None, run, 0))["Metadata"]
    assert all(value.isascii() and value.isprintable() for value in metadata.values())
    assert metadata["who"] == "Zo%C3%AB"
    assert metadata["note"] == "a%20b"


def test_a_persons_metadata_goes_beside_ours() -> None:
    """And never in its place: by the upload id a retry knows its own object."""
    metadata = arguments(metadata="mine=1").of_object(META)["Metadata"]
    assert metadata["mine"] == "1"
    assert metadata[UPLOAD_ID] == META.upload_id
    remembered = Options(metadata=f"{UPLOAD_ID}=forged")  # written by an older version
    assert Arguments(remembered).of_object(META)["Metadata"][UPLOAD_ID] == META.upload_id


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"acl": "bucket-owner-full-control"}, {"ACL": "bucket-owner-full-control"}),
        ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
        ({"tags": "team=vision&keep=yes"}, {"Tagging": "team=vision&keep=yes"}),
        ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
        ({"sse": "aws:kms:dsse"}, {"ServerSideEncryption": "aws:kms:dsse"}),
        ({"kms_key_id": "a-key"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key"}),
        (
            {"kms_key_id": "a-key", "sse": "aws:kms:dsse"},
            {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "a-key"},
        ),
    ],
)
def test_what_an_object_is_to_have_goes_with_what_makes_it(
    options: dict[str, str], expected: dict[str, str]
) -> None:
    """And with no part, head or list, which refuse it."""
    given = arguments(**options)
    made = given.of_object(META)
    del made["Metadata"]
    assert made == expected
    assert given.of_bytes == given.of_source == given.of_any == {}


def test_the_requester_pays_for_every_request() -> None:
    """One that does not say so is refused."""
    given = arguments(requester_pays="yes")
    pays = {"RequestPayer": "requester"}
    assert given.of_object(META).items() >= pays.items()
    assert given.of_bytes == given.of_any == pays


@pytest.mark.parametrize(
    ("variable", "text"),
    [(KEY_VARIABLE, base64.b64encode(KEY)), (KEY_VARIABLE, base64.b64encode(KEY) + b"\n")],
    ids=["plain", "with a newline"],
)
def test_a_customers_key_is_read_from_the_environment(
    variable: str, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with the bytes, with a copy's source, and never with a list."""
    monkeypatch.setenv(variable, text.decode())
    given = arguments(sse="customer")
    assert given.of_object(META).items() >= WITH_KEY.items()
    assert "ServerSideEncryption" not in given.of_object(META)
    assert given.of_bytes == WITH_KEY
    assert given.of_source == {
        "CopySourceSSECustomerAlgorithm": "AES256",
        "CopySourceSSECustomerKey": KEY,
    }
    assert given.of_any == {}


@pytest.mark.parametrize("content", [KEY, base64.b64encode(KEY), base64.b64encode(KEY) + b"\n"])
def test_a_customers_key_is_read_from_a_file(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw, or as in the variable; the file goes before the variable."""
    (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "key"))
    assert arguments(sse="customer").of_bytes == WITH_KEY


@pytest.mark.parametrize("text", ["", "hush!", base64.b64encode(b"hush").decode()])
def test_a_key_that_is_none_is_asked_for_without_repeating_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class auth: the artifacts wait for it."""
    monkeypatch.setenv(KEY_VARIABLE, text)
    with pytest.raises(AuthError, match=f"no customer key: .*; set {KEY_VARIABLE}") as refused:
        arguments(sse="customer")
    assert "hush" not in str(refused.value)


def test_a_key_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one sees which of two variables is wrong."""
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(AuthError, match=r"missing.*set UPLOADER_SSE_CUSTOMER_KEY"):
        arguments(sse="customer")


def test_a_key_in_the_environment_is_not_used_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the option encrypts with it."""
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(KEY).decode())
    assert arguments().of_bytes == {}
