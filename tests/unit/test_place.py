"""Hold what opens a store: it says where, how, and what was found out, and nothing secret."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import Any

import pytest

from uploader.config import Options
from uploader.place import Capabilities, Place, Way, ambient_of


def test_a_place_is_a_url_and_the_options_of_its_query() -> None:
    """Those given go over those of the query; the URL has one spelling, without them."""
    place = Place.of("s3://bucket/runs/?region=a&endpoint=http://minio:9000", {"region": "b"})
    assert place.url == "s3://bucket/runs"
    assert place.options == Options(region="b", endpoint="http://minio:9000")
    assert (place.destination.bucket, place.destination.path) == ("bucket", "runs")
    assert place.capabilities is None


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("s3://bucket?storage=COLD", {}, "no such option: storage; there are: "),
        ("s3://bucket?aws_secret_access_key=hush", {}, "no such option: aws_secret_access_key"),
        ("s3://bucket?sse=rot13", {}, "option sse: write one of "),
        ("file:///x", {"endpoint": "http://minio"}, "option endpoint: only for s3://"),
        ("gopher://x", {}, "unknown destination"),
    ],
)
def test_a_place_with_a_bad_option_is_refused(url: str, options: dict[str, Any], says: str) -> None:
    """By what is wrong with it, and without its value if that has no business there."""
    with pytest.raises(ValueError, match=says) as refused:
        Place.of(url, options)
    assert "hush" not in str(refused.value)


def test_a_place_travels_to_a_worker() -> None:
    """Whole; a worker that has the same need not be replaced."""
    place = Place("s3://b", Options(tags="a=1"), {"region": "x"}, Capabilities("http://e"))
    assert pickle.loads(pickle.dumps(place)) == place
    assert place != replace(place, capabilities=None)


@pytest.mark.parametrize("changed", [one.name for one in fields(Capabilities)])
def test_capabilities_come_back_as_they_were_stored(changed: str) -> None:
    """Each of them."""
    way = Way("5a", "http://minio:9000", "http://minio:9000/b/", "us-east-1", "s3", "")
    others: Any = {"endpoint": "http://minio:9000", "way": way}
    found = Capabilities(**{changed: others.get(changed, False)})
    assert Capabilities.from_text(found.as_text()) == found != Capabilities()


@pytest.mark.parametrize("text", [None, "", "{}", '{"endpoint": "x"}', '{"of": "another version"}'])
def test_capabilities_of_another_version_are_none(text: str | None) -> None:
    """They are found out anew, rather than guessed."""
    assert Capabilities.from_text(text) is None


def test_the_environment_says_where_a_bucket_is() -> None:
    """The variable for S3 alone goes before the one for all services; an empty one says nothing."""
    environ = {
        "AWS_ENDPOINT_URL": "http://all",
        "AWS_ENDPOINT_URL_S3": "http://s3",
        "AWS_REGION": "",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    assert ambient_of(environ) == {"endpoint": "http://s3", "region": "eu-west-1"}


def test_what_the_environment_says_now_goes_over_what_it_said() -> None:
    """Also by the other of two variables; an option of the spool's own goes over both."""
    place = Place("s3://b", ambient=ambient_of({"AWS_ENDPOINT_URL_S3": "http://then"}))
    now = {"AWS_ENDPOINT_URL": "http://now"}
    assert place.setting("endpoint", {}) == "http://then"
    assert place.setting("endpoint", now) == "http://now"
    assert place.setting("region", now) is None
    own = replace(place, options=Options(endpoint="http://own"))
    assert own.setting("endpoint", now) == "http://own"
