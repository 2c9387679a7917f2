"""Hold what is said on the wire to botocore's model of the API, and understand what comes back."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from uploader.store.http.refused import RefusedError
from uploader.store.http.reply import Answer
from uploader.store.s3 import dialect
from uploader.store.s3.dialect import HEADERS, QUERY, VERBS, request_of, understood

MODEL = ServiceModel(Loader().load_service_model("s3", "service-2"))
CALLED = {
    name: "".join(word.capitalize() for word in name.split("_")) for name in VERBS
}  #: as the API calls it

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def document(name: str, told: str) -> str:
    """Return an answer's document."""
    return f"<{name} {NAMESPACE}>{told}</{name}>"


BEGUN = document("InitiateMultipartUploadResult", "<UploadId>u 1</UploadId>")
MADE = document("CompleteMultipartUploadResult", '<ETag>"e-1"</ETag>')
FAILED = "<Error><Code>InternalError</Code><Message>Try again.</Message></Error>"


@pytest.mark.parametrize("operation", VERBS)
def test_a_request_begins_as_the_model_says(operation: str) -> None:
    """With its method, and with what in its query names the operation."""
    http = MODEL.operation_model(CALLED[operation]).http
    _, _, query = http["requestUri"].partition("?")
    assert VERBS[operation].method == http["method"]
    expected = [tuple(pair.split("=")) if "=" in pair else (pair, "") for pair in query.split("&")]
    assert set(VERBS[operation].query) == set(expected) - {("", "")}


@pytest.mark.parametrize("operation", VERBS)
def test_parameters_are_where_the_model_says(operation: str) -> None:
    """Each that the operation has, of those that are known.

    `ChecksumAlgorithm` has another name where a body comes with it; it is not sent there.
    """
    members = dict(MODEL.operation_model(CALLED[operation]).input_shape.members)
    if VERBS[operation].method == "PUT":
        del members["ChecksumAlgorithm"]
    for parameter, name in {**HEADERS, **QUERY}.items():
        if parameter in members:
            place = "querystring" if parameter in QUERY else "header"
            serialized = members[parameter].serialization
            assert (serialized["location"], serialized["name"].lower()) == (place, name.lower())


@pytest.mark.parametrize("parameter", [*HEADERS, *QUERY])
def test_every_parameter_is_one_of_an_operation(parameter: str) -> None:
    """A name that nobody takes would be a mistake in writing."""
    shapes = [MODEL.operation_model(called).input_shape for called in CALLED.values()]
    assert any(parameter in shape.members for shape in shapes)


def test_metadata_is_a_header_each() -> None:
    """In lower case, as it is signed."""
    request = request_of("put_object", {"Metadata": {"Uploader-Id": "5", "step": "7"}})
    assert request.headers == {"x-amz-meta-uploader-id": "5", "x-amz-meta-step": "7"}


def test_a_customers_key_goes_with_its_digest() -> None:
    """Both in base64; the service compares them."""
    headers = request_of("head_object", {"SSECustomerKey": b"k" * 32}).headers
    assert headers == {
        "x-amz-server-side-encryption-customer-key": "a2tr" * 10 + "a2s=",
        "x-amz-server-side-encryption-customer-key-md5": "mT2HRsMGJ5IX5C+0rreZ8Q==",
    }


def test_a_completion_lists_its_parts() -> None:
    """As XML, whatever is in a mark."""
    parts = [{"PartNumber": 1, "ETag": '"a<&>"'}, {"PartNumber": 2, "ETag": '"b"'}]
    given: dict[str, Any] = {"UploadId": "u", "MultipartUpload": {"Parts": parts}}
    request = request_of("complete_multipart_upload", given)
    root = ET.fromstring(request.document)
    assert request.query == {"uploadId": "u"}
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}CompleteMultipartUpload"
    assert [[child.text for child in part] for part in root] == [['"a<&>"', "1"], ['"b"', "2"]]


def test_an_answer_is_understood_as_boto3_tells_it() -> None:
    """What is looked at, and nothing else."""
    headers = {"etag": '"e"', "content-length": "5", "x-amz-meta-k": "v", "server": "x"}
    assert understood("head_object", Answer(200, headers, b"")) == {
        "ETag": '"e"',
        "ContentLength": "5",
        "Metadata": {"k": "v"},
    }


def test_a_listing_tells_its_keys() -> None:
    """As they are, whatever is in them, and whether there are more."""
    told = "<IsTruncated>false</IsTruncated><Contents><Key>a&amp;b</Key><Size>1</Size></Contents>"
    said = document("ListBucketResult", f"{told}<Contents><Key>é</Key></Contents>")
    found = understood("list_objects_v2", Answer(200, {}, said.encode()))
    assert found["IsTruncated"] == "false"
    assert [one["Key"] for one in found["Contents"]] == ["a&b", "é"]


@pytest.mark.parametrize(
    ("operation", "said", "told"),
    [
        ("create_multipart_upload", BEGUN, ("UploadId", "u 1")),
        ("complete_multipart_upload", f"\n \n{MADE}", ("ETag", '"e-1"')),  # AWS keeps it alive so
    ],
)
def test_what_is_told_in_a_document_is_understood(
    operation: str, said: str, told: tuple[str, str]
) -> None:
    """With or without a namespace."""
    for text in (said, said.replace(f" {NAMESPACE}", "")):
        name, value = told
        assert understood(operation, Answer(200, {}, text.encode()))[name] == value


def test_a_completion_that_fails_after_its_200_has_failed() -> None:
    """S3 says 200 first, and then what came of it."""
    with pytest.raises(RefusedError) as caught:
        understood("complete_multipart_upload", Answer(200, {}, FAILED.encode()))
    assert (caught.value.status, caught.value.code) == (200, "InternalError")


@pytest.mark.parametrize("operation", dialect._DOCUMENTS)
@pytest.mark.parametrize("said", ["", "<html><body>hello</body></html>", MADE[:-9], "rubbish"])
def test_a_document_that_is_not_the_one_expected_is_no_success(operation: str, said: str) -> None:
    """It may have been cut off, or come from something between us and the service."""
    with pytest.raises(ConnectionError):
        understood(operation, Answer(200, {}, said.encode()))


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        (FAILED, "InternalError", "Try again."),
        ("", "503", ""),
        ("<html>a proxy's page</html>", "503", ""),
        ("<Error><Code>SlowDown", "503", ""),
    ],
)
def test_a_refusal_carries_the_services_own_words(said: str, code: str, message: str) -> None:
    """Or its status, where there are none."""
    with pytest.raises(RefusedError) as caught:
        understood("put_object", Answer(503, {}, said.encode()))
    found = caught.value
    assert (found.status, found.code, found.message) == (503, code, message)


def test_a_document_that_would_fill_the_memory_is_refused() -> None:
    """Entities that stand for entities, and so on: a "billion laughs"."""
    laughs = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 100}">' for n in range(12)
    )
    bomb = f"<!DOCTYPE e [{laughs}]><Error><Code>&l11;</Code></Error>"
    with pytest.raises(RefusedError, match=r"^403 403"):
        understood("put_object", Answer(403, {}, bomb.encode()))
