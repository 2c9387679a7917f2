"""Hold what opens a store: it says where, how, and what was found out, and nothing secret."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from uploader.config import Options
from uploader.place import AMBIENT_VARIABLES, Capabilities, Place, Way, ambient_of
from uploader.url import SCHEMES


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
        ("file:///x", {"endpoint": "http://minio"}, "option endpoint: only for s3:// and gs://"),
        ("gs://bucket?sse=AES256", {}, "option sse: only for s3:// destinations, not gs://"),
        ("gs://bucket?credentials_file=%7B%22hush", {}, "option credentials_file: write the path"),
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
    others: Any = {"endpoint": "http://minio:9000", "way": way, "compose": True}
    found = Capabilities(**{changed: others.get(changed, False)})
    assert Capabilities.from_text(found.as_text()) == found != Capabilities()


#: as a spool has them that was made before parts could be objects
OLDER = json.dumps(
    {key: value for key, value in asdict(Capabilities()).items() if key != "compose"}
)


@pytest.mark.parametrize(
    "text", [None, "", "{}", '{"endpoint": "x"}', '{"of": "another version"}', OLDER]
)
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
    assert ambient_of(environ, "s3") == {"endpoint": "http://s3", "region": "eu-west-1"}
    assert ambient_of(environ, "gs") == ambient_of(environ, "file") == {}


@pytest.mark.parametrize(
    ("said", "endpoint"),
    [
        ("http://localhost:9000", "http://localhost:9000"),
        ("https://storage.example/", "https://storage.example"),
        ("localhost:9000", "http://localhost:9000"),
        ("[::1]:9000/", "http://[::1]:9000"),
    ],
)
def test_an_emulator_of_gcs_is_named_with_a_scheme_or_without(said: str, endpoint: str) -> None:
    """Google's tools write either; the bundle of certificates is the one that `requests` reads."""
    environ = {"STORAGE_EMULATOR_HOST": said, "CURL_CA_BUNDLE": "/curl", "AWS_CA_BUNDLE": "/aws"}
    assert ambient_of(environ, "gs") == {"endpoint": endpoint, "ca_bundle": "/curl"}
    environ["REQUESTS_CA_BUNDLE"] = "/requests"
    assert ambient_of(environ, "gs")["ca_bundle"] == "/requests"
    assert "endpoint" not in ambient_of({"STORAGE_EMULATOR_HOST": ""}, "gs")


def test_every_scheme_says_by_which_variables_its_place_is_found() -> None:
    """And each variable stands for an option that such a destination has."""
    assert set(AMBIENT_VARIABLES) == set(SCHEMES)
    for scheme, variables in AMBIENT_VARIABLES.items():
        Options().changed_by(dict.fromkeys(variables, "https://x")).require_fit(scheme)


def test_what_the_environment_says_now_goes_over_what_it_said() -> None:
    """Also by the other of two variables; an option of the spool's own goes over both."""
    place = Place("s3://b", ambient=ambient_of({"AWS_ENDPOINT_URL_S3": "http://then"}, "s3"))
    now = {"AWS_ENDPOINT_URL": "http://now"}
    assert place.setting("endpoint", {}) == "http://then"
    assert place.setting("endpoint", now) == "http://now"
    assert place.setting("region", now) is None
    own = replace(place, options=Options(endpoint="http://own"))
    assert own.setting("endpoint", now) == "http://own"


def test_the_environment_is_asked_for_what_the_places_own_service_reads() -> None:
    """A shell may have the variables of both."""
    environ = {"AWS_ENDPOINT_URL": "http://aws", "STORAGE_EMULATOR_HOST": "google"}
    assert Place("s3://b").setting("endpoint", environ) == "http://aws"
    assert Place("gs://b").setting("endpoint", environ) == "http://google"
