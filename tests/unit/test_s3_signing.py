"""Hold our signatures to botocore's: whatever is signed, both say the same."""

from __future__ import annotations

import datetime as dt
from unittest import mock
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from uploader.store.s3.signing import Keys, Signer

AT = 1_800_000_000.0  #: seconds since the epoch of every signature here

TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["if-match", "x-amz-acl", "x-amz-meta-a", "x-amz-tagging", "content-md5"]),
    st.builds("{} {}".format, TEXTS, TEXTS),
)


def by_botocore(
    method: str, path: str, query: str, headers: dict[str, str], token: str | None
) -> str:
    """Return the Authorization header that botocore makes."""
    url = f"https://bucket.example{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers={**headers, "X-Amz-Content-SHA256": "replaced"})
    request.context["client_config"] = mock.Mock(s3={"payload_signing_enabled": False})
    request.context["payload_signing_enabled"] = False
    moment = dt.datetime.fromtimestamp(AT, dt.timezone.utc)
    with mock.patch.object(auth, "get_current_datetime", return_value=moment):
        signer = auth.S3SigV4Auth(ReadOnlyCredentials("AKID", "secret", token), "s3", "eu-west-1")
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@given(
    method=st.sampled_from(["PUT", "HEAD"]),
    key=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    number=st.integers(1, 10_000),
    headers=HEADERS,
    token=st.none() | TEXTS,
)
def test_a_signature_is_that_of_botocore(
    method: str, key: str, number: int, headers: dict[str, str], token: str | None
) -> None:
    """For odd keys, queries, headers with spaces, and temporary credentials."""
    path = f"/prefix/{quote(key, safe='/~')}"
    query = f"partNumber={number}&uploadId=a%2Bb"
    signed = Signer("eu-west-1").signed(
        method, path, query, {**headers, "host": "bucket.example"}, Keys("AKID", "secret", token),
        at=AT,
    )  # fmt: skip
    assert signed["authorization"] == by_botocore(method, path, query, headers, token)


@pytest.mark.parametrize("changed", ["day", "secret"])
def test_the_kept_key_is_made_anew_when_it_must_be(changed: str) -> None:
    """A day later, or with renewed credentials, as a fresh signer would."""
    kept = Signer("eu-west-1")
    first, second = Keys("AKID", "secret", None), Keys("AKID", "another", None)
    kept.signed("PUT", "/key", "", {"host": "h"}, first, at=AT)
    keys, at = (first, AT + 86_400) if changed == "day" else (second, AT)
    fresh = Signer("eu-west-1").signed("PUT", "/key", "", {"host": "h"}, keys, at=at)
    assert kept.signed("PUT", "/key", "", {"host": "h"}, keys, at=at) == fresh
