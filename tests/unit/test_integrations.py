"""Hold the adapters to the frameworks' hooks.

The frameworks are gigabytes, so each test puts a stand-in for the base class into `sys.modules`: no
more than the names that the adapter imports. What the framework calls, and when, is written out in
the tests from its documentation.
"""

from __future__ import annotations

import importlib
import pathlib
import sys
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from destination import Event, Logger, LoggerDestination, LogLevel, State

CHECKPOINT = b"weights"


class _Recorder(LoggerDestination):
    """Keeps every call, as (method, arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        self.calls.append((event, state.run_name, getattr(state.timestamp, "batch", None)))

    def close(self, state: State, logger: Logger) -> None:
        self.calls.append(("close",))

    def post_close(self) -> None:
        self.calls.append(("post_close",))

    def log_data(self, state: State, log_level: LogLevel, data: dict[str, Any]) -> None:
        self.calls.append(("data", log_level, data))

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        self.calls.append(("file", log_level, artifact_name, file_path.read_bytes(), overwrite))

    def log_symlink_artifact(
        self,
        state: State,
        log_level: LogLevel,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        self.calls.append(
            ("symlink", log_level, existing_artifact_name, symlink_artifact_name, overwrite)
        )

    def get_file_artifact(
        self,
        artifact_name: str,
        destination: str,
        chunk_size: int = 0,
        progress_bar: bool = True,
        *,
        overwrite: bool = False,
    ) -> None:
        self.calls.append(("get", artifact_name, destination, chunk_size, progress_bar, overwrite))

    def can_log_file_artifacts(self) -> bool:
        return True


class Base:
    """Stands for every base class of the frameworks: their constructors take no arguments."""

    def __init__(self) -> None:
        self.base_was_made = True


def adapter(
    monkeypatch: pytest.MonkeyPatch, name: str, fakes: dict[str, dict[str, Any]]
) -> ModuleType:
    """Import an adapter afresh, with stand-ins for the modules that it imports."""
    for module_name, attributes in fakes.items():
        module = ModuleType(module_name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module_name, module)
    monkeypatch.delitem(sys.modules, f"destination.integrations.{name}", raising=False)
    return importlib.import_module(f"destination.integrations.{name}")


@pytest.fixture
def state() -> SimpleNamespace:
    """A framework's state, as far as it is read."""
    return SimpleNamespace(run_name="run", timestamp=SimpleNamespace(epoch=1, batch=2))


# -- Composer --------------------------------------------------------------------------------------


class TheirEvent(Enum):
    """Composer's own Event class: other objects, the same values, and later ones."""

    INIT = "init"
    BATCH_END = "batch_end"
    BEFORE_LOAD = "before_load"


class TheirLevel(Enum):
    """Composer's own LogLevel, an IntEnum there."""

    EPOCH = 2

    def __int__(self) -> int:
        return int(self.value)


@pytest.fixture
def composer(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, _Recorder]:
    """The adapter for Composer around a recorder."""
    fakes: dict[str, dict[str, Any]] = {
        "composer": {},
        "composer.loggers": {"LoggerDestination": Base},
    }
    recorder = _Recorder()
    module = adapter(monkeypatch, "composer", fakes)
    return module.ComposerDestination(recorder), recorder


def test_composer_takes_the_adapter_for_one_of_its_loggers(composer: tuple[Any, _Recorder]) -> None:
    """It is an instance of Composer's class, made by Composer's constructor."""
    assert isinstance(composer[0], Base)
    assert composer[0].base_was_made


def test_composers_events_become_ours_and_later_ones_are_passed_over(
    composer: tuple[Any, _Recorder], state: Any
) -> None:
    """Events are told apart by value, since the classes differ."""
    ours, recorder = composer
    for event in TheirEvent:
        ours.run_event(event, state, None)
    ours.close(state, None)
    ours.post_close()
    assert recorder.calls == [
        (Event.INIT, "run", 2),
        (Event.BATCH_END, "run", 2),
        ("close",),
        ("post_close",),
    ]


def test_composers_interface_up_to_v0_7_is_passed_on(
    composer: tuple[Any, _Recorder], state: Any, tmp_path: pathlib.Path
) -> None:
    """By keyword, as its Logger calls, with its own levels."""
    ours, recorder = composer
    path = tmp_path / "f"
    path.write_bytes(CHECKPOINT)
    level = TheirLevel.EPOCH
    ours.log_data(state, level, {"a": 1})
    ours.log_file_artifact(
        state=state, log_level=level, artifact_name="n", file_path=path, overwrite=True
    )
    ours.log_symlink_artifact(
        state=state,
        log_level=level,
        existing_artifact_name="n",
        symlink_artifact_name="l",
        overwrite=False,
    )
    ours.get_file_artifact("n", "out", 5, False)
    ours.get_file_artifact("n", "out", overwrite=True, progress_bar=False)
    assert ours.can_log_file_artifacts()
    assert recorder.calls == [
        ("data", LogLevel.EPOCH, {"a": 1}),
        ("file", LogLevel.EPOCH, "n", CHECKPOINT, True),
        ("symlink", LogLevel.EPOCH, "n", "l", False),
        ("get", "n", "out", 5, False, False),
        ("get", "n", "out", 2**20, False, True),
    ]


def test_composers_later_interface_is_bridged(
    composer: tuple[Any, _Recorder], state: Any, tmp_path: pathlib.Path
) -> None:
    """`upload_file` logs, `download_file` fetches."""
    ours, recorder = composer
    path = tmp_path / "f"
    path.write_bytes(CHECKPOINT)
    ours.upload_file(state, "n", path, overwrite=True)
    ours.download_file("n", "out", overwrite=True, progress_bar=False)
    assert ours.can_upload_files()
    assert recorder.calls == [
        ("file", LogLevel.FIT, "n", CHECKPOINT, True),
        ("get", "n", "out", 0, False, True),
    ]


# -- Lightning -------------------------------------------------------------------------------------


class _FileCheckpointIO(Base):
    """Lightning's default plugin, without torch."""

    def save_checkpoint(self, checkpoint: bytes, path: str, storage_options: Any = None) -> None:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_bytes(checkpoint)

    def load_checkpoint(self, path: str, map_location: Any = None) -> tuple[bytes, Any]:
        return pathlib.Path(path).read_bytes(), map_location

    def remove_checkpoint(self, path: str) -> None:
        pathlib.Path(path).unlink()


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The adapter for Lightning."""
    fakes: dict[str, dict[str, Any]] = {
        "lightning": {},
        "lightning.pytorch": {},
        "lightning.pytorch.callbacks": {"Callback": Base},
        "lightning.pytorch.plugins": {},
        "lightning.pytorch.plugins.io": {
            "CheckpointIO": Base,
            "TorchCheckpointIO": _FileCheckpointIO,
        },
    }
    return adapter(monkeypatch, "lightning", fakes)


def test_lightning_logs_a_checkpoint_once_it_is_written(
    lightning: ModuleType, tmp_path: pathlib.Path
) -> None:
    """Under its path below the root, braces and all, replacing one of that name."""
    recorder = _Recorder()
    plugin = lightning.UploadingCheckpointIO(recorder, run_name="run", root=tmp_path)
    path = tmp_path / "checkpoints" / "{rank}.ckpt"
    plugin.save_checkpoint(CHECKPOINT, str(path))
    assert recorder.calls == [("file", LogLevel.EPOCH, "checkpoints/{rank}.ckpt", CHECKPOINT, True)]
    assert plugin.load_checkpoint(path, "cpu") == (CHECKPOINT, "cpu")


def test_what_lightning_removes_stays_at_the_destination(
    lightning: ModuleType, tmp_path: pathlib.Path
) -> None:
    """Only the local file goes."""
    recorder = _Recorder()
    plugin = lightning.UploadingCheckpointIO(recorder, run_name="run", root=tmp_path)
    path = tmp_path / "a.ckpt"
    plugin.save_checkpoint(CHECKPOINT, path)
    plugin.remove_checkpoint(path)
    assert not path.exists()
    assert len(recorder.calls) == 1


def test_a_lightning_checkpoint_outside_the_root_is_an_error(
    lightning: ModuleType, tmp_path: pathlib.Path
) -> None:
    """It has no name; the file is written all the same."""
    plugin = lightning.UploadingCheckpointIO(_Recorder(), run_name="run", root=tmp_path / "root")
    with pytest.raises(ValueError, match=r"a\.ckpt"):
        plugin.save_checkpoint(CHECKPOINT, tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").exists()


def test_lightnings_hooks_become_events(lightning: ModuleType) -> None:
    """With the trainer's counts; the destination is closed at the end of fit only."""
    recorder = _Recorder()
    callback = lightning.UploadEvents(recorder, run_name="run")
    trainer = SimpleNamespace(current_epoch=0, global_step=0)
    callback.on_fit_start(trainer, None)
    trainer.global_step = 1
    callback.on_train_batch_end(trainer, None, None, None, 0)
    callback.on_train_epoch_end(trainer, None)
    callback.on_fit_end(trainer, None)
    callback.teardown(trainer, None, stage="fit")
    callback.teardown(trainer, None, stage="test")
    assert recorder.calls == [
        (Event.INIT, "run", 0),
        (Event.BATCH_END, "run", 1),
        (Event.EPOCH_END, "run", 1),
        (Event.FIT_END, "run", 1),
        ("close",),
        ("post_close",),
    ]


# -- transformers ----------------------------------------------------------------------------------


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The adapter for transformers."""
    return adapter(monkeypatch, "transformers", {"transformers": {"TrainerCallback": Base}})


def checkpoint_folder(output: pathlib.Path, step: int) -> None:
    """Write what the Trainer of two processes writes."""
    folder = output / f"checkpoint-{step}"
    (folder / "tokenizer").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer/vocab.json", "rng_state_0.pth", "rng_state_1.pth"):
        (folder / name).write_bytes(name.encode())


@pytest.mark.parametrize(
    ("rank", "names"),
    [
        (0, ["model.safetensors", "rng_state_0.pth", "tokenizer/vocab.json"]),
        (1, ["rng_state_1.pth"]),
    ],
)
def test_transformers_logs_the_folder_that_was_saved(
    transformers: ModuleType, tmp_path: pathlib.Path, rank: int, names: list[str]
) -> None:
    """The saving process logs it; each process logs the one file that it wrote itself."""
    recorder = _Recorder()
    callback = transformers.UploadCheckpoints(recorder)
    args = SimpleNamespace(output_dir=str(tmp_path), should_save=rank == 0, process_index=rank)
    checkpoint_folder(tmp_path, 10)
    checkpoint_folder(tmp_path, 20)
    callback.on_save(args, SimpleNamespace(global_step=20), None, model=None)
    assert recorder.calls == [
        ("file", LogLevel.EPOCH, f"checkpoint-20/{name}", name.encode(), True) for name in names
    ]


def test_transformers_says_that_a_checkpoint_is_not_where_it_looks(
    transformers: ModuleType, tmp_path: pathlib.Path
) -> None:
    """A hyperparameter search writes elsewhere; no checkpoint is passed over without a word."""
    recorder = _Recorder()
    callback = transformers.UploadCheckpoints(recorder)
    checkpoint_folder(tmp_path / "run-1", 20)
    args = SimpleNamespace(output_dir=str(tmp_path), should_save=True, process_index=0)
    with pytest.warns(RuntimeWarning, match="there is no folder .*checkpoint-20"):
        callback.on_save(args, SimpleNamespace(global_step=20), None, model=None)
    args.should_save = False
    callback.on_save(args, SimpleNamespace(global_step=20), None, model=None)
    assert recorder.calls == []


@pytest.mark.parametrize(
    ("given", "of_args", "expected"),
    [("mine", "theirs", "mine"), (None, "theirs", "theirs"), (None, None, "output")],
)
def test_transformers_hooks_become_events(
    transformers: ModuleType,
    tmp_path: pathlib.Path,
    given: str | None,
    of_args: str | None,
    expected: str,
) -> None:
    """With a run name that is the same after a restart; the destination is closed at the end."""
    recorder = _Recorder()
    callback = transformers.UploadCheckpoints(recorder, run_name=given)
    args = SimpleNamespace(output_dir=str(tmp_path / "output"), run_name=of_args)
    state = SimpleNamespace(epoch=0.0, global_step=0)
    callback.on_train_begin(args, state, None)
    state.global_step = 1
    callback.on_step_end(args, state, None)
    callback.on_epoch_end(args, state, None)
    callback.on_train_end(args, state, None)
    assert recorder.calls == [
        (Event.INIT, expected, 0),
        (Event.BATCH_END, expected, 1),
        (Event.EPOCH_END, expected, 1),
        (Event.FIT_END, expected, 1),
        ("close",),
        ("post_close",),
    ]
