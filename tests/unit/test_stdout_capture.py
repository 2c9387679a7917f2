"""Hold how printed lines are copied."""

from __future__ import annotations

import io
import threading

from destination.stdout_capture import MAX_PARTIAL, StreamCapture


def test_two_captures_may_be_closed_in_either_order() -> None:
    """The first to be closed does not cut the second off, nor come back with it."""
    stream, first, second = io.StringIO(), list[str](), list[str]()
    one = StreamCapture(stream, first.append)
    two = StreamCapture(stream, second.append)
    one.close()
    stream.write("to the second only\n")
    two.close()
    stream.write("to none\n")
    assert (first, second) == ([], ["to the second only"])
    assert stream.getvalue() == "to the second only\nto none\n"


def test_a_capture_that_prints_while_it_takes_does_not_run_in_circles() -> None:
    """What is printed meanwhile goes to the stream alone."""
    stream, taken = io.StringIO(), list[str]()

    def take(line: str) -> None:
        taken.append(line)
        stream.write("warning\n")

    StreamCapture(stream, take)
    stream.write("hello\n")
    assert taken == ["hello"]
    assert stream.getvalue() == "warning\nhello\n"


def test_a_line_without_end_is_kept_within_bounds_and_not_lost() -> None:
    """A progress bar never ends its line: it is passed on in pieces, the last at close."""
    stream, taken = io.StringIO(), list[str]()
    capture = StreamCapture(stream, taken.append)
    for _ in range(3):
        stream.write("x" * (MAX_PARTIAL // 2))
    stream.write("y")
    assert [len(line) for line in taken] == [MAX_PARTIAL // 2 * 3]
    capture.close()
    assert taken[1:] == ["y"]


def test_threads_lose_no_lines_to_each_other() -> None:
    """One prints in the middle of another's line, and while another's line is being taken."""
    stream, taken = io.StringIO(), list[str]()

    def print_in_a_thread(text: str) -> None:
        thread = threading.Thread(target=stream.write, args=(text,))
        thread.start()
        thread.join(10)

    def take(line: str) -> None:
        if line == "slow":
            print_in_a_thread("meanwhile\n")
        taken.append(line)

    StreamCapture(stream, take)
    stream.write("one ")
    print_in_a_thread("between\n")
    stream.write("line\n")
    stream.write("slow\n")
    assert taken == ["between", "one line", "meanwhile", "slow"]
