"""Hold a store to its contract for symlinks, in each form, as `store/alias.py` makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uploader.errors import ConflictError, NotFoundError, PermanentError
from uploader.model import POINTER_SUFFIX, PutMode, Receipt, SymlinkMode
from uploader.store import alias
from uploader.store.base import ObjectStore
from uploader.store.foresight import foreseeing
from uploader.store.testing.given import Artifacts, content_of, is_there, names_in
from uploader.store.testing.given import unfinished as unfinished_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE


def link(
    store: ObjectStore,
    artifacts: Artifacts,
    target: str,
    name: str,
    *,
    form: SymlinkMode = SymlinkMode.POINTER,
    mode: PutMode = CREATE,
) -> Receipt:
    """Make a symlink, as an upload of its own."""
    meta = replace(artifacts.of(b"").meta, crc32c=None)
    return alias.link(store, target, name, mode, form=form, meta=meta)


def other_than(name: str, form: SymlinkMode) -> str:
    """Return the object that a symlink of this form must leave no trace of."""
    return name if form is SymlinkMode.POINTER else name + POINTER_SUFFIX


class Links:
    """Symlinks; a form that the store cannot make is refused, and that is asserted."""

    @pytest.fixture(params=SymlinkMode, ids=lambda form: form.value)
    def form(self, request: pytest.FixtureRequest) -> SymlinkMode:
        """Each form of symlink in turn."""
        asked: SymlinkMode = request.param
        return asked

    @pytest.fixture
    def makes(self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode) -> bool:
        """Tell whether the store makes this form; if it does not, assert that it says so."""
        artifacts.of(b"the target").put(store, "versions/1")
        if form in store.symlink_modes:
            return True
        with pytest.raises(PermanentError):
            link(store, artifacts, "versions/1", "refused", form=form)
        assert names_in(store) == ["versions/1"]
        return False

    def test_a_store_can_make_its_default_form(self, store: ObjectStore) -> None:
        """The first of those that it names; a pointer can always be made."""
        assert store.symlink_modes
        assert SymlinkMode.POINTER in store.symlink_modes

    def test_a_symlink_leads_to_its_target(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """By whatever form, from another directory, under an odd name."""
        for name in ("latest", "versions/latest", "elsewhere/deep/the latest ü"):
            if makes:
                link(store, artifacts, "versions/1", name, form=form)
                found = alias.resolve(store, name)
                assert content_of(store, found.name) == b"the target"
                assert (found.name == name) is (form is SymlinkMode.COPY)
        assert unfinished_in(store) == []

    def test_a_symlink_made_again_is_success(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """The answer was lost; the same upload finds its own symlink, in either mode."""
        if makes:
            meta = artifacts.of(b"").meta
            for mode in (CREATE, CREATE, OVERWRITE):
                alias.link(store, "versions/1", "latest", mode, form=form, meta=meta)
            assert content_of(store, alias.resolve(store, "latest").name) == b"the target"

    def test_a_target_that_is_not_there_is_an_error(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """Nothing becomes visible that points to nothing."""
        if makes:
            with pytest.raises(PermanentError, match="target does not exist: versions/2"):
                link(store, artifacts, "versions/2", "latest", form=form)
            assert names_in(store) == ["versions/1"]

    @pytest.mark.parametrize("existing", ["latest", "latest" + POINTER_SUFFIX])
    def test_either_form_of_a_name_counts_as_existing(
        self,
        store: ObjectStore,
        artifacts: Artifacts,
        form: SymlinkMode,
        makes: bool,
        existing: str,
    ) -> None:
        """Without overwrite a symlink replaces neither a file nor another symlink."""
        if makes:
            artifacts.of(b"versions/1").put(store, existing)
            with pytest.raises(ConflictError, match="already exists"):
                link(store, artifacts, "versions/1", "latest", form=form)
            assert content_of(store, existing) == b"versions/1"
            assert names_in(store) == [existing, "versions/1"]
            assert unfinished_in(store) == []

    @pytest.mark.parametrize("existing", ["latest", "latest" + POINTER_SUFFIX])
    def test_a_symlink_with_overwrite_replaces_either_form(
        self,
        store: ObjectStore,
        artifacts: Artifacts,
        form: SymlinkMode,
        makes: bool,
        existing: str,
    ) -> None:
        """The name then has one form only."""
        if makes:
            artifacts.of(b"nonsense").put(store, existing)
            link(store, artifacts, "versions/1", "latest", form=form, mode=OVERWRITE)
            assert content_of(store, alias.resolve(store, "latest").name) == b"the target"
            assert not is_there(store, other_than("latest", form))

    def test_a_symlink_with_overwrite_moves_to_another_target(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """As `latest` does at every checkpoint; the older target stays."""
        if makes:
            artifacts.of(b"newer").put(store, "versions/2")
            for target in ("versions/1", "versions/2"):
                link(store, artifacts, target, "latest", form=form, mode=OVERWRITE)
            assert content_of(store, alias.resolve(store, "latest").name) == b"newer"
            assert content_of(store, "versions/1") == b"the target"

    def test_a_file_with_overwrite_replaces_a_symlink(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """The name is the file then; the target is left alone."""
        if makes:
            link(store, artifacts, "versions/1", "latest", form=form)
            artifacts.of(b"a file").put(store, "latest", OVERWRITE)
            alias.drop_other_form(store, "latest", OVERWRITE, symlink=False)
            assert names_in(store) == ["latest", "versions/1"]
            assert alias.resolve(store, "latest").name == "latest"
            assert content_of(store, "latest") == b"a file"
            assert content_of(store, "versions/1") == b"the target"

    def test_a_file_without_overwrite_replaces_no_symlink(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """The store refuses it, or the look at the other form does."""
        if makes:
            link(store, artifacts, "versions/1", "latest", form=form)
            with pytest.raises(ConflictError, match="already exists"):
                put_file(store, artifacts, "latest")
            assert content_of(store, alias.resolve(store, "latest").name) == b"the target"

    def test_a_symlink_that_would_close_a_ring_is_refused(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """It would lead nowhere, and take the object that it replaces with it."""
        if makes and form is not SymlinkMode.COPY:
            link(store, artifacts, "versions/1", "a", form=form)
            link(store, artifacts, "a", "b", form=form)
            for name in ("versions/1", "a"):
                with pytest.raises(PermanentError, match="loop"):
                    link(store, artifacts, "b", name, form=form, mode=OVERWRITE)
            assert content_of(store, alias.resolve(store, "b").name) == b"the target"


class Pointers:
    """What only pointers can do, since they are plain objects that anybody may write."""

    def test_a_pointer_is_an_object_that_holds_the_full_name(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """As Composer writes and reads it."""
        artifacts.of(b"x").put(store, "versions/1")
        link(store, artifacts, "versions/1", "latest")
        assert content_of(store, "latest.symlink").decode() == store.full_name("versions/1")
        assert names_in(store) == ["latest.symlink", "versions/1"]

    def test_a_name_resolves_over_40_symlinks_and_no_more(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Forty are followed; the 41st is an error, and not taken for a missing object."""
        artifacts.of(b"the end").put(store, "0")
        for number in range(1, 42):
            pointer(store, artifacts, str(number), str(number - 1))
        assert alias.resolve(store, "40").name == "0"
        with pytest.raises(PermanentError, match="loop") as raised:
            alias.resolve(store, "41")
        assert not isinstance(raised.value, NotFoundError)

    def test_a_ring_of_symlinks_is_an_error(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """Made by somebody else; reading it ends all the same."""
        for name, target in (("a", "b"), ("b", "c"), ("c", "a")):
            pointer(store, artifacts, name, target)
        with pytest.raises(PermanentError, match="loop") as raised:
            alias.resolve(store, "b")
        assert not isinstance(raised.value, NotFoundError)

    def test_a_pointer_to_nothing_is_not_found(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """As its target is not."""
        pointer(store, artifacts, "latest", "gone")
        with pytest.raises(NotFoundError):
            alias.resolve(store, "latest")

    @pytest.mark.parametrize("text", [b"", b"../../etc/passwd", b"\xff\xfe", b"n" * 5000])
    def test_a_pointer_with_no_name_in_it_is_an_error(
        self, store: ObjectStore, artifacts: Artifacts, text: bytes
    ) -> None:
        """Nobody is led out of the place by an object that somebody wrote."""
        artifacts.of(text).put(store, "latest" + POINTER_SUFFIX)
        with pytest.raises(PermanentError, match="does not hold an artifact's name"):
            alias.resolve(store, "latest")

    def test_a_symlink_is_in_the_way_of_files_that_are_asked_for_together(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """What is told of many names at once is what would be told of each."""
        put_file(store, artifacts, "target")
        pointer(store, artifacts, "step-3", "target")
        names = [f"step-{number}" for number in range(10)]
        for times in range(2):
            foreseen = foreseeing(store, [alias.other_form(name, symlink=False) for name in names])
            refused = []
            for name in names:
                try:
                    put_file(foreseen, artifacts, name)
                except ConflictError:
                    refused.append(name)
            assert refused == (names if times else ["step-3"])


def put_file(store: ObjectStore, artifacts: Artifacts, name: str) -> None:
    """Put a file without overwrite, with the look at the name's other form that goes before."""
    alias.refuse_other_form(store, name, CREATE, symlink=False)
    artifacts.of(b"a file").put(store, name)


def pointer(store: ObjectStore, artifacts: Artifacts, name: str, target: str) -> None:
    """Write a pointer, whether or not its target is there."""
    artifacts.of(store.full_name(target).encode()).put(store, name + POINTER_SUFFIX)
