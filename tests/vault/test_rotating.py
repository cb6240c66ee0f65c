"""Keys get new versions; what older ones signed and wrapped stays good, and what is retired stays shut."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.rotating_parts import keepers, made_at, vault_alone
from vault import marks, matching, notices, rotating
from vault.authority import LEAD, keys, sign
from vault.client import Refused
from vault.door import Door
from vault.envelope import Envelope
from vault.errors import BadRequest, KeeperError, MatchRefused, TooMany, VaultAway
from vault.roots import SEALS
from vault.seal import Seal
from vault.secret import Secret
from vault.signatures import check, split
from vault.table import Keeper
from vault.transit import Transit

Both = tuple[list[Keeper], Door]


@pytest.fixture(scope="module")
def alone() -> Iterator[KeeperParts]:
    """One vault for all of them: each test has a key of its own."""
    with vault_alone() as parts:
        yield parts


@pytest.fixture
def both(alone: KeeperParts, clock: Clock) -> Both:
    return keepers(alone, clock)


def test_nothing_is_signed_with_a_version_that_another_keeper_may_not_know(both: Both, clock: Clock) -> None:
    """One asked for the keys just before the rotation, and believes them for a minute: what the other signs verifies there, at
    each moment; and in the end the new version signs, and the old signatures verify still."""
    (one, other), door = both
    old = sign(one, "authority", b"before")
    keys(other)
    door.rotate("authority")
    used: list[int] = []
    for seconds in (0, 30, 59, 61, 200, 290, 330, 400):
        clock.now = made_at(one, "authority") + timedelta(seconds=seconds)
        made = sign(one, "authority", b"now")
        check(b"now", made, keys(other))
        check(b"before", old, keys(other))
        used.append(split(made)[0])
    assert used == [1, 1, 1, 1, 1, 1, 2, 2]
    assert door.key_version("authority").used_from == made_at(one, "authority") + LEAD


def test_a_key_is_rotated_once_an_hour_and_no_other_key_at_all(both: Both, clock: Clock) -> None:
    (one, _), door = both
    assert door.rotate("audit").version == 2
    with pytest.raises(TooMany):
        door.rotate("audit")
    clock.forward(minutes=61)
    assert door.rotate("audit").version == 3
    for bad in ("", "x", "payload/../authority", "PAYLOAD", "../../sys"):
        with pytest.raises(BadRequest):
            door.rotate(bad)
    lost = replace(one, transit=Transit(one.vault, "counterseal-kv/data/people"))
    with pytest.raises(VaultAway):
        rotating.key_version(lost, {"key": "audit"})


def test_what_was_wrapped_moves_and_only_then_and_a_day_later_is_the_old_version_shut(both: Both, clock: Clock) -> None:
    (one, _), door = both
    old, key = one.transit.data_key("payload")
    door.rotate("payload")
    assert door.unwrap(old).key.reveal() == key.reveal()
    stranger = "vault:v1:" + base64.b64encode(b"x" * 60).decode()
    moved = door.rewrap([old, stranger, "no ciphertext"])
    assert list(moved) == [old]
    assert moved[old].startswith("vault:v2:")
    with pytest.raises(BadRequest):
        door.retire_payload()
    assert door.key_version("payload").oldest == 1
    clock.forward(days=1, minutes=1)
    door.retire_payload()
    door.retire_payload()
    assert door.key_version("payload").oldest == 2
    with pytest.raises(BadRequest):
        door.unwrap(old)
    assert door.unwrap(moved[old]).key.reveal() == key.reveal()


class Older(Transit):
    """The vault of an instance whose policy knows of no rotation."""

    def rotate(self, key: str) -> None:
        raise Refused(403, f"keys/{key}/rotate", ["permission denied"])


def test_an_older_policy_is_said_with_what_an_operator_types(both: Both, clock: Clock) -> None:
    (one, _), _ = both
    clock.forward(days=2)
    theirs = replace(one.settings, vault_address="https://vault.example:8200")
    for settings, words in (
        (theirs, "counterseal vault policy --hcl | bao policy write counterseal-keeper -"), (one.settings, "made anew"),
    ):
        with pytest.raises(KeeperError) as caught:
            rotating.rotate(replace(one, settings=settings, transit=Older(one.vault)), {"key": "audit"})
        assert words in caught.value.hint


def test_the_policy_lets_the_keeper_rotate_and_retire_and_no_more(both: Both) -> None:
    (one, _), _ = both
    for path, body in (
        ("keys/payload/config", {"deletion_allowed": True}), ("keys/payload/config", {"exportable": True}),
        ("keys/payload/config", {"min_decryption_version": 1, "allow_plaintext_backup": True}), ("keys/authority/config", {}),
        ("keys/audit/config", {"min_decryption_version": 1}), ("keys/payload/trim", {"min_available_version": 1}),
        ("keys/other/rotate", {}), ("rewrap/other", {"ciphertext": "x"}),
    ):
        with pytest.raises(Refused) as caught:
            one.vault.write(f"counterseal-transit/{path}", body)
        assert caught.value.status == 403, path


def test_what_one_keeper_sealed_opens_at_the_other_before_and_after_its_key_is_replaced(both: Both, clock: Clock) -> None:
    """Begun sign-ins and challenges, at each moment; and the old key seals and opens nothing when none of them can live."""
    (one, other), door = both
    lately = [one.seal.seal("offer", {"n": 0}, now=clock(), lifetime=900)]
    assert other.seal.open("offer", lately[0], now=clock())
    assert door.rotate("keeper").version == 2
    with pytest.raises(TooMany):
        door.rotate("keeper")
    for _step in range(13):
        clock.forward(seconds=55)
        lately = [*lately, *(each.seal.seal("offer", {"n": 1}, now=clock(), lifetime=900) for each in (one, other))][-24:]
        for blob in lately:
            assert one.seal.open("offer", blob, now=clock())
            assert other.seal.open("offer", blob, now=clock())
    first = SEALS.all(one)[0]
    assert SEALS.used(one).version == 2
    old = Seal(first.root).seal("offer", {"n": 0}, now=clock(), lifetime=10**6)
    clock.forward(hours=1)
    with pytest.raises(BadRequest):
        one.seal.open("offer", old, now=clock())
    assert one.kv.read("keeper/seal") is not None, "the policy lets nobody take one back"


def waiting(action: str, held: datetime, mark: str = "") -> Envelope:
    return cast(Envelope, {"action": action, "mark": mark, "created_at": held.strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_the_mark_of_a_call_that_waits_says_the_same_when_its_key_is_replaced(both: Both, clock: Clock) -> None:
    (one, other), door = both
    before = {decoy: door.mark("act_1", decoy=decoy) for decoy in (True, False)}
    assert door.rotate("marks").version == 2
    for _step in range(4):
        after = {decoy: marks.of(one, "act_1", decoy=decoy) for decoy in (True, False)}
        for each in (one, other):
            for decoy in (True, False):
                assert marks.is_decoy(each, waiting("act_1", clock(), before[decoy])) is decoy
                assert marks.is_decoy(each, waiting("act_1", clock(), after[decoy])) is decoy
            with pytest.raises(BadRequest):
                marks.is_decoy(each, waiting("act_2", clock(), before[False]))
        clock.forward(minutes=2)
    assert after != before


def test_a_number_that_was_shown_stays_good_and_a_later_call_has_one_alone(both: Both, clock: Clock) -> None:
    """A call that waited when the key was replaced is confirmed by the number of before or by that of now. For one that is held
    later the number of before is as wrong as any."""
    (one, other), door = both
    held, shown = clock(), {f"act_{n}": matching.number(one, f"act_{n}", f"d{n}") for n in range(20)}
    assert door.rotate("match").version == 2
    clock.forward(minutes=20)
    fresh = {action: matching.number(other, action, f"d{action[4:]}") for action in shown}
    first, second, third = [action for action in shown if shown[action] != fresh[action]][:3]
    assert matching.matched(other, waiting(first, held), f"d{first[4:]}", shown[first])
    assert matching.matched(other, waiting(second, held), f"d{second[4:]}", fresh[second])
    with pytest.raises(MatchRefused):
        matching.matched(other, waiting(third, clock()), f"d{third[4:]}", shown[third])
    assert matching.matched(other, waiting(third, clock()), f"d{third[4:]}", fresh[third])


def test_an_address_that_was_sealed_opens_for_years_after_its_key_was_replaced(both: Both, clock: Clock) -> None:
    (one, other), door = both
    old = door.channel_seal(channel="chn_1", url=Secret("ntfy://desk"))
    assert door.rotate("channels").version == 2
    for forward in (timedelta(seconds=1), timedelta(minutes=6), timedelta(days=3600)):
        clock.forward(seconds=forward.total_seconds())
        fresh = notices.channel_seal(one, {"channel": "chn_1", "url": "ntfy://desk"})["sealed"]
        for sealed in (old, fresh):
            assert notices.channel_open(other, {"channel": "chn_1", "sealed": sealed})["url"] == "ntfy://desk"


def test_push_services_know_this_installation_by_its_newest_key_alone(both: Both, clock: Clock) -> None:
    """Both keepers change over at one moment, and no browser is asked for a key that is not used yet."""
    (one, other), door = both
    before = door.push_key()
    assert door.rotate("push").version == 2
    clock.forward(minutes=4)
    assert {notices.push_key(each, {})["key"] for each in (one, other)} == {before}
    clock.forward(minutes=2)
    (after,) = {notices.push_key(each, {})["key"] for each in (one, other)}
    assert after != before
    with pytest.raises(TooMany):
        door.rotate("push")


def test_all_that_the_keeper_keeps_is_listed_with_its_age(both: Both) -> None:
    _, door = both
    found = {(one.kind, one.name): one for one in door.ages()}
    assert {name for kind, name in found if kind == "key"} == {
        "authority", "audit", "payload", "app", "keeper", "marks", "match", "channels", "push",
    }
    assert "asked again" in found["key", "push"].how
    spool = next(one for (kind, _), one in found.items() if kind == "spool")
    assert spool.next is not None
    assert spool.next > spool.since
