"""A file that is not whole, not ours to open, or not what it says it is, does not open; and says so in words."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from webapp.backup import commands, contents, restoring, sealed
from webapp.errors import BadInput
from webapp.supervisor import left
from webapp.web.house import utc_now

TEXT = os.urandom(150_000)
"""Three chunks."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    path = tmp_path_factory.mktemp("keys") / "identity"
    path.with_suffix(".pub").write_text(sealed.make_identity(path) + "\n")
    return sealed.recipients(path.with_suffix(".pub")), sealed.identities(path)


def closed(to: list[Any], content: bytes = TEXT) -> bytes:
    out = io.BytesIO()
    sealed.seal(lambda stream: put(stream, content), out, to)
    return out.getvalue()


def put(stream: BinaryIO, content: bytes) -> None:
    stream.write(content)


def opened(content: bytes, keys: list[Any]) -> bytes:
    return sealed.unseal(io.BytesIO(content), keys, lambda stream: stream.read())


def test_who_has_the_identity_reads_it_and_nobody_else(keys: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    to, identities = keys
    file = closed(to)
    assert TEXT[:64] not in file
    assert opened(file, identities) == TEXT
    sealed.make_identity(tmp_path / "other")
    with pytest.raises(BadInput, match="another recipient"):
        opened(file, sealed.identities(tmp_path / "other"))


def test_a_flipped_bit_anywhere_is_seen(keys: tuple[list[Any], list[Any]]) -> None:
    """In the version, the recipient's stanza, the MAC, the nonce, and the first, a middle and the last chunk."""
    to, identities = keys
    file = closed(to)
    mac = file.index(b"\n--- ") + 5
    for place in (3, 30, 60, 110, mac, mac + 45, mac + 60, mac + 70_000, len(file) - 20, len(file) - 1):
        bad = bytearray(file)
        bad[place] ^= 1
        with pytest.raises(BadInput):
            opened(bytes(bad), identities)


def test_a_file_that_was_cut_off_or_added_to_is_none(keys: tuple[list[Any], list[Any]]) -> None:
    """At the end of a chunk too: the last chunk says that it is the last."""
    to, identities = keys
    file = closed(to)
    start = file.index(b"\n--- ") + 5 + 44 + 16
    for end in (0, 10, 120, start, start + 65_552, start + 2 * 65_552, len(file) - 1):
        with pytest.raises(BadInput):
            opened(file[:end], identities)
    with pytest.raises(BadInput):
        opened(file + b"more", identities)


def test_what_was_read_is_not_believed_before_the_last_chunk_verified(keys: tuple[list[Any], list[Any]]) -> None:
    """Whoever reads stops where the archive ends; what comes behind is read all the same."""
    to, identities = keys
    bad = bytearray(closed(to))
    bad[-1] ^= 1
    with pytest.raises(BadInput, match="not whole"):
        sealed.unseal(io.BytesIO(bytes(bad)), identities, lambda stream: stream.read(10))


def test_an_error_while_reading_or_writing_is_raised(keys: tuple[list[Any], list[Any]]) -> None:
    class Full(io.BytesIO):
        def write(self, _content: Any) -> int:
            raise OSError(28, "No space left on device")

    def fails(_stream: BinaryIO) -> None:
        raise BadInput("the database went away")

    to, identities = keys
    with pytest.raises(BadInput, match="No space left"):
        sealed.seal(lambda stream: put(stream, TEXT * 10), Full(), to)
    with pytest.raises(BadInput, match="went away"):
        sealed.seal(fails, io.BytesIO(), to)
    with pytest.raises(BadInput, match="went away"):
        sealed.unseal(io.BytesIO(closed(to, TEXT * 10)), identities, fails)


def test_keys_in_the_wrong_place_are_refused_and_never_shown(tmp_path: Path) -> None:
    identity, other = tmp_path / "identity", tmp_path / "other"
    recipient = sealed.make_identity(identity)
    assert identity.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadInput, match="never written over"):
        sealed.make_identity(identity)
    with pytest.raises(BadInput, match="is an identity") as raised:
        sealed.recipients(identity)
    assert "AGE-SECRET" not in raised.value.hint + raised.value.detail
    for text in ("", "# nothing\n", "age1nonsense\n", "\udcff", recipient):
        other.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(BadInput):
            sealed.identities(other)


def manifest(*files: str, **changed: Any) -> bytes:
    return json.dumps({
        "format": contents.FORMAT, "id": "bak_" + "0" * 26, "taken_at": "2026-01-01T00:00:00+00:00", "schema": "0001",
        "evaluation": False, "entries": 0, "checkpoint": "", "files": list(files), **changed,
    }).encode()


def archive(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                made.addfile(member)
            else:
                contents.put(made, member[0], io.BytesIO(member[1]), len(member[1]))
    return out.getvalue()


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


HEAD = (contents.MANIFEST, manifest("counterseal.toml"))
HOSTILE: dict[str, Callable[[], bytes]] = {
    "no archive": lambda: b"nothing of the kind" * 100,
    "empty": lambda: archive(),
    "no manifest first": lambda: archive(("counterseal.toml", b"x"), HEAD),
    "a path that leads out": lambda: archive(HEAD, ("../outside.yaml", b"x")),
    "a path that leads out below a folder of ours": lambda: archive(HEAD, ("providers/../../outside.yaml", b"x")),
    "an absolute path": lambda: archive(HEAD, ("/tmp/outside.yaml", b"x")),
    "a place of its own choosing": lambda: archive(HEAD, ("run/control.sock", b"x")),
    "an executable place": lambda: archive(HEAD, ("providers/x.py", b"x")),
    "a symbolic link": lambda: archive(HEAD, link("counterseal.toml", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": lambda: archive(HEAD, link("counterseal.toml", tarfile.LNKTYPE, contents.MANIFEST)),
    "a device": lambda: archive(HEAD, link("counterseal.toml", tarfile.CHRTYPE, "")),
    "a folder": lambda: archive(HEAD, link("providers", tarfile.DIRTYPE, "")),
    "a file twice": lambda: archive(HEAD, ("counterseal.toml", b"x"), ("counterseal.toml", b"y")),
    "files that are missing": lambda: archive(HEAD, ("counterseal.toml", b"x")),
    "a manifest that is no object": lambda: archive((contents.MANIFEST, b"[]")),
    "a manifest that is no JSON": lambda: archive((contents.MANIFEST, b"{")),
    "a manifest with an id of its own": lambda: archive((contents.MANIFEST, manifest(id="../x"))),
    "another format": lambda: archive((contents.MANIFEST, manifest(format="counterseal-backup/9"))),
    "a newer schema": lambda: archive((contents.MANIFEST, manifest(schema="9999"))),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_somebody_else_made_for_us_puts_nothing_anywhere(
    what: str, keys: tuple[list[Any], list[Any]], tmp_path: Path
) -> None:
    """The recipient is no secret: whoever knows it can make a file that opens."""
    to, identities = keys
    file, room = tmp_path / "hostile", tmp_path / "room"
    file.write_bytes(closed(to, HOSTILE[what]()))
    room.mkdir()
    with pytest.raises(BadInput):
        restoring.restore(file, instance=room / "i", identities=identities, checkpoint=None, clock=utc_now)
    assert list(room.iterdir()) == []
    assert {one.name for one in tmp_path.iterdir()} == {"hostile", "room"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_is_told_to_stop_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Also where the terminal is gone: what is half restored has the vault's key in clear."""
    before = signal.getsignal(number)
    signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            _restore_and_be_told(tmp_path, number)
        assert list(tmp_path.iterdir()) == []
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def _restore_and_be_told(folder: Path, number: signal.Signals) -> None:
    with commands._in_order(), left.workplace(folder / "i") as staging:
        (staging / "seal.key").write_text("in clear")
        signal.raise_signal(number)


def test_only_an_empty_folder_is_filled(
    keys: tuple[list[Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, identities = keys
    file, full, target, gone = tmp_path / "f", tmp_path / "full", tmp_path / "target", tmp_path / "gone"
    file.write_bytes(closed(to, archive(HEAD)))
    full.mkdir()
    (full / "counterseal.toml").write_text("mine")
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(gone)
    monkeypatch.setattr(os, "getuid", lambda: target.stat().st_uid + 1)
    with pytest.raises(BadInput, match="belongs to"):
        restoring.restore(file, instance=target, identities=identities, checkpoint=None, clock=utc_now)
    monkeypatch.undo()
    for folder in (full, tmp_path / "link", tmp_path / "dangling", file, gone / "below"):
        with pytest.raises(BadInput, match=r"empty|link|not there"):
            restoring.restore(file, instance=folder, identities=identities, checkpoint=None, clock=utc_now)
    assert (full / "counterseal.toml").read_text() == "mine"
    assert not any(target.iterdir())
    assert not gone.exists()
