"""Hold how destination URLs are read and spelled."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.url import parse


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("file:///mnt/artifacts", "file:///mnt/artifacts"),
        ("file://localhost/mnt/artifacts/", "file:///mnt/artifacts"),
        ("file:///mnt//a/../b/./c", "file:///mnt/b/c"),
        ("file:///with%20space/ü", "file:///with%20space/%C3%BC"),
        ("/mnt/artifacts", "file:///mnt/artifacts"),
        ("/odd?name#here", "file:///odd%3Fname%23here"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/runs/", "s3://bucket/runs"),
        ("s3://bucket//runs", "s3://bucket/runs"),
        ("s3://bucket/a%20b/ü", "s3://bucket/a%20b/%C3%BC"),
        ("s3://bucket/what%3F%23", "s3://bucket/what%3F%23"),
        ("s3://bucket/a..b/...", "s3://bucket/a..b/..."),
        ("s3://bucket/mail@home", "s3://bucket/mail%40home"),
        ("s3://bucket/runs?region=eu-west-1", "s3://bucket/runs"),
        ("gs://bucket", "gs://bucket"),
        ("gs://my.bucket_1/runs//?user_project=p", "gs://my.bucket_1/runs"),
        ("gs://bucket/a%20b/ü%23", "gs://bucket/a%20b/%C3%BC%23"),
    ],
)
def test_a_destination_has_one_spelling(url: str, spelled: str) -> None:
    """It is stored and compared in that one, which reads back as itself."""
    assert str(parse(url)) == spelled
    assert str(parse(spelled)) == spelled


def test_a_relative_path_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs in another directory."""
    monkeypatch.chdir("/")
    assert parse("some/where").path == "/some/where"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_comes_back_from_its_url(name: str) -> None:
    """Whatever characters it has."""
    path = os.path.normpath(f"/root/{name}")
    if not path.startswith("//"):
        assert parse(f"file://{quote(path)}").path == path


def test_options_stand_in_the_query() -> None:
    """Named as the flags or as the fields; an empty one is told from none; the last one counts."""
    url = "s3://bucket/runs?storage-class=GLACIER&region=x&kms_key_id=&region=y&tags=a%3D1%26b%3D2"
    destination = parse(url)
    assert (destination.bucket, destination.path) == ("bucket", "runs")
    assert destination.options == {
        "storage_class": "GLACIER", "region": "y", "kms_key_id": "", "tags": "a=1&b=2"
    }  # fmt: skip
    assert destination == parse("s3://bucket/runs"), "how one uploads there is not where"


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAKEY:hush@bucket/runs",
        "s3://hush@bucket",
        "gs://hush@bucket",
        "gs://user:hush@bucket/runs?credentials_file=x#y",
        "http://user:hush@minio/bucket",
        "file://user:hush@host/x",
        "s3://bucket/runs?endpoint=http://a:hush@b#there",
        "s3:///runs?endpoint=http://a:hush@b",
        "s3://bucket/../x?endpoint=http://a:hush@b",
        "s4://bucket/runs?endpoint=http://a:hush@b",
    ],
)
def test_a_message_never_repeats_credentials(url: str) -> None:
    """People put them there, and messages go into logs."""
    with pytest.raises(ValueError, match="destination") as refused:
        parse(url)
    assert "hush" not in str(refused.value)
    assert "AKIAKEY" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (None, "is empty"),
        ("s4://bucket/prefix", "unknown destination .*file://, s3://, gs://"),
        ("file://host/path", "three slashes"),
        ("file://relative", "three slashes"),
        ("file:///a%00b", "NUL"),
        ("/a\0b", "NUL"),
        ("file:///mnt/run?1", "%3F"),
        ("file:///mnt/run#1", "%23"),
        ("s3://key:secret@bucket/runs", "credentials do not belong in a URL; set AWS_ACCESS_KEY"),
        ("gs://token@bucket/runs", "not belong in a URL; set GOOGLE_APPLICATION_CREDENTIALS or "),
        ("s3://", "no bucket is named, as in s3://bucket/prefix"),
        ("gs://", "no bucket is named, as in gs://bucket/prefix"),
        ("gs://bucket/run#1712", "write # as %23"),
        ("s3:///runs", "no bucket is named"),
        ("s3://bucket/run#1", "write # as %23"),
        ("s3://bucket/run#", "write # as %23"),
        ("s3://bucket/a//b", "segment"),
        ("s3://bucket/../other", "segment"),
        ("s3://bucket/%2e%2e/other", "segment"),
        ("s3://bucket/a/./b", "segment"),
        ("s3://bucket/a%0ab", "no text"),
    ],
)
def test_a_bad_destination_is_refused(url: str, says: str) -> None:
    """With what is wrong, rather than with another directory."""
    with pytest.raises(ValueError, match=says):
        parse(url)
