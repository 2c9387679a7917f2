"""Hold what the words of a preemption notice mean, and where they are had."""

from __future__ import annotations

import pytest

from tests.servers.metadata import metadata_running
from uploader.drain.notice import NoticeWatch, Source, read_notice
from uploader.drain.notice_source import File, Gcp
from uploader.drain.terms import Deadline

SINCE = 1_800_000_000.0  #: 2027-01-15T08:00:00Z
AWS = Source("aws", "")
GCP = Source("gcp", "")
FILE = Source("file", "/run/preempted")


@pytest.mark.parametrize(
    ("source", "said", "seconds"),
    [
        (AWS, '{"action": "terminate", "time": "2027-01-15T08:02:00Z"}', 120),
        (AWS, '{"action": "hibernate"}', 120),  # it says no time
        (AWS, "[]", 120),
        (AWS, "<html>", 120),
        (GCP, "TRUE", 30),
        (FILE, "", 30),
        (FILE, " 25s\n", 25),
        (FILE, "90", 90),
        (FILE, "2m", 120),
        (FILE, "2027-01-15T08:00:45Z", 45),
        (FILE, "2027-01-15T09:00:45+01:00", 45),
        (FILE, "2027-01-15 08:00:45", 45),  # no zone: UTC
        (FILE, "1800000060", 60),  # of `date +%s`
        (FILE, "soon", 30),
        (FILE, "nan", 30),
        (FILE, "inf", 30),
        (FILE, "1e300", 30),
        (FILE, "9" * 5000, 30),
        (FILE, "9999-12-31T23:59:59-14:00", 30),  # in UTC, of no year that can be shown
        (FILE, "0001-01-01T00:00:00+14:00", 30),
        (AWS, '{"action": "stop", "time": "9999-12-31T23:59:59-01:00"}', 120),
    ],
)
def test_a_notice_says_when(source: Source, said: str, seconds: float) -> None:
    """Or the shortest time that its source gives; whatever is said, it is a notice."""
    notice = read_notice(source, said, SINCE)
    assert notice.at == SINCE + seconds
    NoticeWatch(source, Deadline())._take(notice)  # it can be told


def test_a_notice_that_is_not_understood_is_shown() -> None:
    """In part: it may be long."""
    assert "'soon'" in read_notice(FILE, "soon", SINCE).what
    assert "terminate" in read_notice(AWS, '{"action": "terminate"}', SINCE).what
    assert len(read_notice(AWS, "x" * 9999, SINCE).what) < 400


def test_the_services_are_found_as_their_sdks_find_them() -> None:
    """By the variables, else at the address that is the same on every machine."""
    assert Source.parse("aws", {}).address == "http://169.254.169.254"
    six = {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}
    assert Source.parse("aws", six).address == "http://[fd00:ec2::254]"
    other = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://x:1/", **six}
    assert Source.parse("aws", other).address == "http://x:1/"
    assert Source.parse("gcp", {}).address == "http://169.254.169.254"
    assert Source.parse("gcp", {"GCE_METADATA_HOST": "x:1"}).address == "http://x:1"
    assert Source.parse("file:/a:b", {}) == Source("file", "/a:b")


@pytest.mark.parametrize("text", ["", "azure", "file", "file:", "aws:x", "AWS"])
def test_another_source_is_a_value_error(text: str) -> None:
    """It says what there is."""
    with pytest.raises(ValueError, match="write aws, gcp or file:PATH"):
        Source.parse(text, {})


def test_an_empty_file_is_looked_at_twice(tmp_path: pytest.TempPathFactory) -> None:
    """Whoever makes it may be about to write to it: `echo 2m > file` does one after the other."""
    path = str(tmp_path) + "/notice"
    source = File(path)
    assert source.ask() is None
    with open(path, "w") as file:
        assert source.ask() is None
        file.write("2m")
    assert source.ask() == "2m"
    with open(path, "w"):
        assert source.ask() is None
    assert source.ask() == ""


def test_a_service_that_does_not_wait_is_not_asked_without_end() -> None:
    """A proxy in front of Compute Engine's may answer at once; nobody's core is burnt by that."""
    with metadata_running() as service:
        service.waits = False
        source = Gcp(f"http://{service.host}")
        assert source.ask() is None
        assert source.ask() is None
        assert source.pause > 1
        service.preempt()
        assert source.ask() == "TRUE"
