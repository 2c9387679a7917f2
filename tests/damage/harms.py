"""Say what can happen to rows: edits by hand, each with what is found of it."""

from __future__ import annotations

from typing import NamedTuple

JOURNAL = "UPDATE ack_queue_journal SET data = ? WHERE _id = (SELECT seq FROM upload WHERE id = ?)"


class Harm(NamedTuple):
    """One edit of one upload's rows."""

    statement: str  #: of SQL; the last `?` is the upload's id
    values: tuple[object, ...]
    found: str  #: words of the dead letter's error


def in_item(path: str, value: object, found: str) -> Harm:
    """Return the edit of a key of the journal's item."""
    statement = (
        f"UPDATE ack_queue_journal SET data = CAST(json_set(CAST(data AS TEXT), '$.{path}', ?) "
        "AS BLOB) WHERE _id = (SELECT seq FROM upload WHERE id = ?)"
    )
    return Harm(statement, (value,), found)


def in_row(column: str, value: object, found: str) -> Harm:
    """Return the edit of a column of `upload`."""
    return Harm(f"UPDATE upload SET {column} = ? WHERE id = ?", (value,), found)


#: name of the upload that it happens to -> what happens
HARMS: dict[str, Harm] = {
    "item-no-json": Harm(JOURNAL, (b"{'id': 1",), "no JSON object"),
    "item-no-object": Harm(JOURNAL, (b"[1, 2]",), "no JSON object"),
    "item-no-utf8": Harm(JOURNAL, (b"\xff\xfe{}",), "no JSON object"),
    "item-text": Harm(JOURNAL, ("{}",), "no JSON object"),
    "item-number": Harm(JOURNAL, (17,), "no JSON object"),
    "item-deep": Harm(JOURNAL, (b"[" * 100_000,), "no JSON object"),
    "item-huge": Harm(JOURNAL, (b'{"id": "' + b"x" * (8 << 20) + b'"}',), "do not agree on its id"),
    "item-gone": Harm(
        "DELETE FROM ack_queue_journal WHERE _id = (SELECT seq FROM upload WHERE id = ?)",
        (),
        "gone",
    ),
    "item-pickle": Harm(JOURNAL, (b"\x80\x04cos\nsystem\n(S'true'\ntR.",), "no JSON object"),
    "item-other-name": in_item("name", "somebody/else", "do not agree on its name"),
    "item-other-id": in_item("id", "../../../etc/passwd", "do not agree on its id"),
    "item-blocks-no-base64": in_item("blocks", "!!", "Error"),
    "item-blocks-short": in_item("blocks", "AAA=", "error"),
    "item-blocks-too-many": in_item("blocks", "AAAA" * 400, "not those of a file of its size"),
    "item-blocks-gone": in_item("blocks", None, "Error"),
    "item-block-zero": in_item("block", 0, "not those of a file of its size"),
    "item-crc": in_item("crc32c", 1, "do not agree on its checksum"),
    "item-crc-text": in_item("crc32c", "x", "do not agree on its checksum"),
    "row-id-leaves": in_row("id", "../../../../../../../../etc/passwd", "do not agree on its id"),
    "row-id-bytes": in_row("id", b"\xff\x00", "its id is b"),
    "row-name-leaves": in_row("name", "../../escaped", "do not agree on its name"),
    "row-name-other": in_row("name", "healthy/one", "do not agree on its name"),
    "row-name-nul": in_row("name", "a\0b", "do not agree on its name"),
    "row-name-bytes": in_row("name", b"\xff\xfe", "its name is b"),
    "row-name-no-utf8": Harm(
        "UPDATE upload SET name = CAST(x'fffe' AS TEXT) WHERE id = ?", (), "agree on its name"
    ),
    "row-size-less": in_row("size", 3, "do not agree on its size"),
    "row-size-more": in_row("size", 1 << 50, "do not agree on its size"),
    "row-size-negative": in_row("size", -1, "do not agree on its size"),
    "row-size-text": in_row("size", "many", "its size is 'many'"),
    "row-crc": in_row("crc32c", 1, "do not agree on its checksum"),
    "row-kind": in_row("kind", "device", "is not a valid Kind"),
    "row-kind-symlink": in_row("kind", "symlink", "do not agree on its kind"),
    "row-target": in_row("target", "/etc/passwd", "do not agree on its target"),
    "row-overwrite": in_row("overwrite", 1, "do not agree on its overwrite"),
    "row-receipt-no-json": in_row("receipt", "{", "JSONDecodeError"),
    "row-receipt-deep": in_row("receipt", "[" * 100_000, "RecursionError"),
    "row-receipt-strange": in_row("receipt", '{"a": 1}', "TypeError"),
    "row-error-class": in_row("error_class", "nonsense", "not a valid ErrorClass"),
    "row-session-no-part-size": in_row("session", "../../../etc/passwd", "part_size"),
    "row-part-size-zero": Harm(
        "UPDATE upload SET session = '.uploader-x', part_size = ? WHERE id = ?", (0,), "part_size"
    ),
    "row-part-size-tiny": Harm(
        "UPDATE upload SET session = '.uploader-x', part_size = ? WHERE id = ?", (1,), "part_size"
    ),
}

#: both copies changed alike, to what is judged by itself: column, value, what is found
TWICE: dict[str, tuple[str, object, str]] = {
    "both-names-leave": ("name", "../../escaped", "contains '..'"),
    "both-names-nul": ("name", "a\0b", "control character"),
    "both-ids-leave": ("id", "../../../../../../../etc/passwd", "no id of an upload"),
    "both-sizes-negative": ("size", -1, "size -1"),
}

#: what recovery puts right: column and value
MENDED: dict[str, tuple[str, object]] = {
    "state-active": ("state", "active"),
    "waits-for-nothing": ("waiting_on", -5),
    "waits-till-doomsday": ("not_before", 1e300),
}
