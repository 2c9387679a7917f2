"""Fuzz what people, scripts and files give: names, URLs, options, sizes, durations, pointers."""

from __future__ import annotations

import math
import os
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.fuzzing import TEXTS, fuzzed
from uploader import url
from uploader.clock import parse_duration
from uploader.config import Options, pairs_of, parse_size
from uploader.model import check_link, check_name
from uploader.place import Place
from uploader.spool import items, staging

SEGMENTS = st.sampled_from(["..", ".", "", "a", "..a", "~", "\0", "\n", "\u202e", "a" * 300])
NAMES = TEXTS | st.lists(SEGMENTS, max_size=6).map("/".join)
SECRET = "s3cr3t"


@fuzzed
@given(NAMES)
def test_a_name_is_refused_or_stays_below_the_destination(name: str) -> None:
    """Whatever is taken is a relative path without a way up, has no control character, and fits."""
    with suppress(ValueError):
        _is_safe(check_name(name))


def _is_safe(taken: str) -> None:
    root = "/place/of/it"
    assert os.path.normpath(f"{root}/{taken}") == f"{root}/{taken}"
    assert 0 < len(taken.encode()) <= 1024
    assert not any(unicodedata.category(one) == "Cc" for one in taken)
    assert check_name(taken) == taken


@fuzzed
@given(NAMES, NAMES)
def test_a_link_is_refused_or_joins_two_names(target: str, name: str) -> None:
    """Both are names, and they are not the same."""
    try:
        one, other = check_link(target, name)
    except ValueError:
        return
    assert check_name(one) != check_name(other)


@pytest.mark.parametrize("value", [None, 1, b"name", Path("name"), ["name"], 1.5, object()])
def test_a_name_of_another_type_is_a_type_error(value: Any) -> None:
    """Bytes and paths are not guessed at."""
    with pytest.raises(TypeError, match="must be a str"):
        check_name(value)


URLS = TEXTS | st.tuples(
    st.sampled_from(["s3", "gs", "file", "http", "S3", ""]),
    st.sampled_from(["bucket", "", "[", "[::1", "b:99999", "a b", "bücket", "..", "b?x", "b#"]),
    TEXTS,
    st.sampled_from(["", "?endpoint=http://h", "?region=", "?part_size=1", "?x=1", "#", "?=&&"]),
).map(lambda parts: f"{parts[0]}://{parts[1]}/{parts[2]}{parts[3]}")


@fuzzed
@given(URLS)
@example("s3://[")
@example("file:///\ud800")
@example("\ud800")
def test_a_url_is_refused_or_has_one_spelling(text: str) -> None:
    """What was read is written in the form that reads the same again."""
    try:
        parsed = url.parse(text)
        Place.of(text)
    except ValueError:
        return
    assert url.parse(str(parsed)) == parsed
    assert ".." not in parsed.path.split("/")


@fuzzed
@given(
    st.sampled_from(["s3", "gs", "file", "http", "x"]),
    st.sampled_from(["bucket", "h:1", "", "[::1]", "h/p"]),
    TEXTS,
)
def test_no_message_repeats_credentials_of_a_url(scheme: str, rest: str, more: str) -> None:
    """They are never taken, wherever they stand, and the message says where they belong."""
    for text in (
        f"{scheme}://AKIAKEY:{SECRET}@{rest}/{more}",
        f"s3://bucket?endpoint=https://AKIAKEY:{SECRET}@{rest}",
    ):
        with pytest.raises(ValueError, match="credentials do not belong") as caught:
            Place.of(text)
        assert SECRET not in str(caught.value)


VALUES: st.SearchStrategy[Any] = (
    TEXTS
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.binary(max_size=8)
    | st.lists(TEXTS, max_size=2)
)
OPTIONS = st.dictionaries(st.sampled_from([*vars(Options())]) | TEXTS, VALUES, max_size=5)


@fuzzed
@given(OPTIONS, st.sampled_from(["s3", "gs", "file"]))
@example({"part_size": "1e300"}, "s3")
@example({"part_size": "1e308T"}, "s3")
@example({"stall_timeout": "9" * 400}, "s3")
@example({"keep_done": "9" * 400 + "d"}, "file")
@example({"max_attempts": "9" * 5000}, "s3")
@example({"endpoint": "http://["}, "s3")
@example({"metadata": "\ud800=1"}, "gs")
def test_options_are_refused_or_come_back_from_what_is_stored(
    given_options: dict[str, Any], scheme: str
) -> None:
    """Numbers are finite, texts have no control characters: they become headers."""
    try:
        options = Options().changed_by(given_options)
        options.require_fit(scheme)
    except ValueError:
        return
    assert Options().changed_by(options.as_json()) == options
    for value in vars(options).values():
        assert not isinstance(value, float) or math.isfinite(value)
        assert not isinstance(value, str) or value.isprintable()
    for key, value in pairs_of(options.metadata).items():
        assert key.isascii()
        assert "\n" not in key + value


@fuzzed
@given(TEXTS | st.integers() | st.sampled_from(["1e308T", "infB", "-1", "1_0K", "0x10", "1e30TiB"]))
def test_a_size_is_refused_or_fits_a_file(text: Any) -> None:
    """No text makes it overflow, or negative."""
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert isinstance(size, int)
    assert 0 <= size < 1 << 63


@fuzzed
@given(TEXTS | st.from_regex(r"\d{1,400}(ms|s|m|h|d)?(\d+[smhd])*"))
def test_a_duration_is_refused_or_can_be_waited_for(text: str) -> None:
    """A thousand digits are no duration, nor are those of which Python makes infinity."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0


@fuzzed
@given(st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_pointer_file_is_refused_or_names_an_artifact(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Its text is whatever a training script wrote there."""
    path = tmp_path_factory.getbasetemp() / "x.symlink"
    path.write_bytes(content)
    source = staging.open_source(os.fspath(path))
    try:
        target = items.pointer_text(source)
    except ValueError:
        return
    finally:
        source.close()
    assert check_name(target) == target
