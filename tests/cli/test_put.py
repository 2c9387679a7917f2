"""`uploader init`, `put` and `link` bring artifacts into the spool, durably, and say their ids."""

from __future__ import annotations

import signal

import pytest

from tests.cli.shell import Shell


def test_init_makes_a_spool_that_remembers(shell: Shell) -> None:
    """Its destination, its limits and its options; again it changes what is given, and no more."""
    ended = shell.run(
        "init", "--destination", shell.url, "--max-bytes", "2KiB", "--part-size", "8MiB"
    )
    assert (ended.returncode, ended.stdout) == (0, f"{shell.spool_path}\n")
    assert shell.run("init", "--destination", shell.url, "--symlink-mode", "copy").returncode == 0
    with shell.spool() as spool:
        assert spool.remembered.get("max_bytes") == "2048"
        assert spool.options.part_size == 8 << 20
        assert spool.options.symlink_mode == "copy"


def test_init_without_a_spool_uses_the_state_directory(shell: Shell) -> None:
    """And says where that is; `put` with the same destination finds it."""
    state = str(shell.folder / "state")
    made = shell.run("init", "--destination", shell.url, spool=False, XDG_STATE_HOME=state)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"{state}/uploader/")
    source = shell.file()
    put = shell.run("put", "--destination", shell.url, source, spool=False, XDG_STATE_HOME=state)
    listed = shell.run("ls", spool=False, UPLOADER_SPOOL=made.stdout.strip())
    assert put.stdout.strip() in listed.stdout


def test_put_prints_the_id_and_makes_the_spool(shell: Shell) -> None:
    """The name is the file's base name unless one is given; run and rank are kept."""
    source = shell.file("weights", "out/ep1.pt")
    first = shell.run("put", "--destination", shell.url, source, "--run", "r7", "--rank", 3)
    second = shell.run("put", source, "ckpt/ep1.pt", RUN_NAME="r8", RANK="4")
    with shell.spool() as spool:
        uploads = {one.id: (one.name, one.run, one.rank) for one in spool.uploads()}
    assert uploads == {
        first.stdout.strip(): ("ep1.pt", "r7", 3),
        second.stdout.strip(): ("ckpt/ep1.pt", "r8", 4),
    }


def test_put_r_spools_every_file_below_a_directory(shell: Shell) -> None:
    """As PREFIX/relative/path, one id a line."""
    for name in ("a", "deep/er/b", "deep/c"):
        shell.file(name, f"tree/{name}")
    shell.spool().close()
    ended = shell.run("put", "-r", "tree", "run/7")
    with shell.spool() as spool:
        uploads = spool.uploads()
    assert [one.name for one in uploads] == ["run/7/a", "run/7/deep/c", "run/7/deep/er/b"]
    assert ended.stdout.split() == [one.id for one in uploads]


def test_put_r_names_what_it_cannot_spool_and_spools_the_rest(shell: Shell) -> None:
    """Without a prefix the names are the relative paths; the exit code tells of the failure."""
    shell.file("x", "tree/good")
    (shell.folder / "tree/dangling").symlink_to("nowhere")
    shell.spool().close()
    ended = shell.run("put", "-r", "tree")
    assert ended.returncode == 2
    assert "not spooled: tree/dangling: No such file or directory" in ended.stderr
    with shell.spool() as spool:
        assert [one.name for one in spool.uploads()] == ["good"]


def test_wait_returns_when_it_has_arrived(shell: Shell) -> None:
    """Of a file and of a symlink; the agent that runs does the work."""
    shell.spool().close()
    shell.start_supervisor("run", "--workers", 1)
    assert shell.run("put", "--wait", shell.file("weights"), "one").returncode == 0
    assert shell.run("link", "--wait", "one", "latest").returncode == 0
    assert (shell.remote / "latest").read_text() == "weights"


def test_wait_says_when_nobody_uploads_and_ends_at_its_timeout(shell: Shell) -> None:
    """Exit code 4; what was put stays safe in the spool."""
    shell.spool().close()
    ended = shell.run("put", "--wait", "--timeout", "50ms", shell.file(), "one")
    assert ended.returncode == 4
    assert "nobody uploads from this spool now; in another shell: uploader drain" in ended.stderr
    assert "one is still ready after 0.05 s; it is safe in the spool" in ended.stderr
    assert shell.state(ended.stdout.strip()) == "ready"


def test_ctrl_c_ends_the_wait_and_loses_nothing(shell: Shell) -> None:
    """Exit code 130 and one line; what was put stays in the spool."""
    shell.spool().close()
    waiting = shell.start("put", "--wait", shell.file(), "one")
    assert waiting.stdout is not None
    assert waiting.stderr is not None
    upload = waiting.stdout.readline().strip()
    assert "nobody uploads" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(30) == 130
    assert waiting.stderr.read() == "uploader: interrupted\n"
    assert shell.state(upload) == "ready"


def test_wait_fails_with_a_dead_letter(shell: Shell) -> None:
    """Exit code 3, with the destination's own words."""
    shell.spool().close()
    shell.occupy("taken")
    shell.start_supervisor("run", "--workers", 1)
    ended = shell.run("put", "--wait", shell.file(), "taken")
    assert ended.returncode == 3
    assert "taken is dead: taken already exists, but overwrite was set to False" in ended.stderr


def test_a_pending_name_is_refused_unless_it_is_overwritten(shell: Shell) -> None:
    """Exit code 2 and the way out; with --overwrite the older version is superseded."""
    older = shell.put("one", "older")
    refused = shell.run("put", shell.file(), "one")
    assert refused.returncode == 2
    assert "already enqueued and overwrite=False" in refused.stderr
    assert shell.run("put", "--overwrite", shell.file(), "one").returncode == 0
    assert shell.state(older) == "superseded"


def test_exit_code_7_says_that_the_spool_is_full(shell: Shell) -> None:
    """Nothing of the refused file stays behind; what fits is still taken."""
    shell.spool(max_bytes=10).close()
    shell.put("one", "12345678")
    ended = shell.run("put", shell.file("123"), "two")
    assert ended.returncode == 7
    assert "is full: 8 bytes wait in it, 3 more would pass its limit of 10" in ended.stderr
    assert f"uploader drain --spool {shell.spool_path}" in ended.stderr
    assert list((shell.spool_path / "staging").iterdir()) == []
    assert shell.run("put", shell.file("12"), "three").returncode == 0


def test_when_full_block_waits_for_room(shell: Shell) -> None:
    """It is spooled once something was uploaded or cancelled."""
    shell.spool(max_bytes=10).close()
    upload = shell.put("one", "12345678")
    source = shell.file("123", "other")
    waiting = shell.start("put", "--when-full", "block", source, "two")
    assert waiting.stderr is not None
    assert "waiting for room" in waiting.stderr.readline()
    with shell.spool() as spool:
        spool.cancel(upload)
    assert waiting.wait(30) == 0


def test_a_symlink_file_is_spooled_as_the_symlink(shell: Shell) -> None:
    """A file named NAME.symlink is how later Composer versions log one; its text is the target."""
    shell.spool().close()
    ended = shell.run("put", shell.file("ckpt/ep1.pt\n", "latest.symlink"), "ckpt/latest.symlink")
    with shell.spool() as spool:
        upload = spool.upload(ended.stdout.strip())
    assert (upload.kind, upload.name, upload.target) == ("symlink", "ckpt/latest", "ckpt/ep1.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["put", "source", "--destination", "file:///elsewhere"], "uploads to file://"),
        (["put", "source", "--destination", "ftp://host/x"], "unknown destination 'ftp://host/x'"),
        (["init"], "say where to upload to: --destination URL"),
        (["put", "."], "to spool every file in it: -r"),
        (["put", "-r", "source"], "source is not a directory; leave out -r"),
        (["link", "one", "one"], "a symlink cannot point to itself"),
    ],
)
def test_what_cannot_be_is_an_error_of_usage(
    shell: Shell,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2 and one line that says what to do; nothing is spooled."""
    shell.file()
    shell.spool().close()
    monkeypatch.chdir(shell.folder)
    with shell.in_process() as run_command:
        assert run_command([*arguments, "--spool", str(shell.spool_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("uploader: ")
    assert said.count("\n") == 1
    assert message in said
    with shell.spool() as spool:
        assert spool.uploads() == []
