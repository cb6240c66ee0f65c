"""The authority for client certificates is replaced: believed before it signs, and while anything lives that it signed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.clock import Clock
from tests.csr import authority, csr, new_key
from tests.keeper_parts import KeeperParts
from tests.rotating_parts import keepers, vault_alone
from tests.vault.places import POLICY, Place, seen, wrong
from vault import issuers
from vault.client import Refused
from vault.door import Door
from vault.errors import BadRequest, KeeperError, TooMany
from vault.issuers import Issuer, believed, signing, signs_from
from vault.rotating import rotate
from vault.table import Keeper, make
from webapp.oauth import rfc8705

CLIENT = "client_01example"
LEAD = timedelta(hours=168)


@pytest.fixture
def alone() -> Iterator[KeeperParts]:
    with vault_alone() as parts:
        yield parts


def certified(door: Door) -> bytes:
    given = door.certify(client=CLIENT, csr=csr(new_key()))
    return x509.load_pem_x509_certificate(given.pem.encode()).public_bytes(Encoding.DER)


def good(door: Door, der: bytes) -> bool:
    """As the app sees it, apart from its time."""
    try:
        rfc8705.read(der, door.client_anchors())
    except rfc8705.BadCertificate:
        return False
    return True


def signed_by(door: Door, der: bytes) -> int:
    """Which of those that are believed, the newest first."""
    found = x509.load_der_x509_certificate(der)
    for at, pem in enumerate(door.client_anchors()):
        try:
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(pem.encode()))
        except Exception:  # another's key: of whichever kind
            continue
        return at
    raise AssertionError("none that is believed")


def test_a_new_authority_is_believed_before_it_signs_and_the_old_one_until_all_it_signed_has_ended(
    alone: KeeperParts, clock: Clock
) -> None:
    """At every moment, at each of two keepers: what the house signs now, and what it signed within the last day, is good."""
    both, door = keepers(alone, clock)
    first = certified(door)
    assert door.rotate("ca").version == 2
    with pytest.raises(TooMany):
        door.rotate("ca")
    (age,) = [one for one in door.ages() if one.kind == "ca"]
    assert age.next is None
    assert "the newest signs from" in age.how
    lately = [first]
    for step in range(16):  # to eight days, and a day and some minutes
        for _ in both:
            assert all(good(door, one) for one in lately), step
            assert len(door.client_anchors()) == 2
            fresh = certified(door)
            assert signed_by(door, fresh) == (0 if clock() >= door.key_version("ca").used_from else 1)
            lately.append(fresh)
            door.__dict__["_authority"].clear()
        lately = lately[-4:]
        clock.forward(hours=12)
    clock.forward(hours=13)
    door.__dict__["_authority"].clear()
    assert len(door.client_anchors()) == 1
    assert not good(door, first), "of the first one nothing can be left"
    assert good(door, certified(door))
    assert door.key_version("ca").oldest == 2
    assert door.rotate("ca").version == 3


def test_two_keepers_that_rotate_at_once_make_one(alone: KeeperParts, clock: Clock) -> None:
    both, door = keepers(alone, clock)
    said: list[str] = []
    barrier = threading.Barrier(len(both))

    def once(keeper: Keeper) -> None:
        issuers.of(keeper)
        barrier.wait(30)
        try:
            said.append(str(rotate(keeper, {"key": "ca"})["version"]))
        except TooMany as error:
            said.append(error.code)

    threads = [threading.Thread(target=once, args=(one,)) for one in both]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert sorted(said) == ["2", "too_many"]
    assert door.key_version("ca").version == 2


def test_a_stolen_token_makes_no_authority_of_another_kind_or_name(keeper: KeeperParts) -> None:
    vault, wanted = keeper.inside().vault, {
        "common_name": "Counterseal client authority 9", "issuer_name": "client-authority-9", "ttl": "87600h", "key_type": "ec",
        "key_bits": "256", "max_path_length": "0",
    }
    for kind, changed in (
        ("internal", {"common_name": "Bank"}), ("internal", {"max_path_length": "3"}), ("internal", {"ttl": "999999h"}),
        ("internal", {"issuer_name": "default"}), ("internal", {"alt_names": "bank.example"}), ("exported", {}), ("existing", {}),
    ):
        with pytest.raises(Refused) as refused:
            vault.write(f"counterseal-pki/root/rotate/{kind}", {**wanted, **changed})
        assert refused.value.status == 403, changed
    only = issuers.of(keeper.inside())[0]
    for method, path, body in (
        ("DELETE", f"issuer/{only.id}", None), ("POST", f"issuer/{only.id}", {"issuer_name": "x"}),
        ("POST", "config/issuers", {"default": only.id}), ("POST", f"issuer/{only.id}/sign-verbatim", {"csr": csr(new_key())}),
        ("POST", f"issuer/{only.id}/sign/client", {"csr": csr(new_key()), "uri_sans": "https://bank.example"}),
    ):
        with pytest.raises(Refused) as denied:
            vault.request(method, f"counterseal-pki/{path}", body)
        assert denied.value.status == 403, path


def test_a_policy_from_before_goes_on_signing_and_says_what_to_type(place: Place) -> None:
    """And the doctor: nothing is wrong before a rotation, nor after."""

    def keeper() -> Keeper:
        from vault.settings import load

        return make(load(place.instance, evaluation=False, environ={}))

    def older(text: str) -> str:
        start = text.index("# The next authority for them")
        return text[:start] + text[text.index("# Its own token"):]

    place.policy(older)
    old = keeper()
    assert issuers.of(old)[0].default
    from vault.pki import certify

    asked = {"client": CLIENT, "csr": csr(new_key()), "lifetime": 600}
    assert certify(old, asked)["serial"]
    with pytest.raises(KeeperError) as refused:
        rotate(old, {"key": "ca"})
    assert POLICY in refused.value.hint
    place.policy(lambda text: text)
    assert rotate(old, {"key": "ca"})["version"] == 2
    assert certify(old, asked)["serial"]
    assert wrong(seen(place.instance)) == []
    old.vault.wire.close()


def test_an_operators_own_authority_is_the_operators_to_replace(place: Place) -> None:
    from vault.ages import ages
    from vault.pki import client_ca
    from vault.settings import load

    made = place.write("counterseal-pki/root/generate/internal", {"common_name": "Bank's own", "key_type": "ec", "ttl": "8760h"})
    place.write("counterseal-pki/config/issuers", {"default": made["data"]["issuer_id"]})
    keeper = make(load(place.instance, evaluation=False, environ={}))
    assert [one.strip() for one in client_ca(keeper, {})["anchors"]] == [made["data"]["certificate"].strip()]
    with pytest.raises(KeeperError) as refused:
        rotate(keeper, {"key": "ca"})
    assert "operator's" in refused.value.hint
    (age,) = [one for one in ages(keeper, {})["secrets"] if one["kind"] == "ca"]
    assert age["next"]
    assert "by an operator" in age["how"]
    keeper.vault.wire.close()


def _made(*days: float) -> list[Any]:
    class At(Issuer):
        made = property(lambda self: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=float(self.name)))

    certificate = authority(f"Counterseal client authority 2 after {LEAD // timedelta(hours=1)} h")[1]
    return [At(str(day), str(day), False, (), certificate) for day in days]


@pytest.mark.parametrize(("day", "signs", "good"), [
    (0, 0, (0, 10)), (9.9, 0, (0, 10)), (16.9, 0, (0, 10)), (17, 10, (0, 10)), (18, 10, (0, 10)), (18.1, 10, (10,)),
    (99, 10, (10,)),
])
def test_which_signs_and_which_are_believed(day: float, signs: int, good: tuple[int, ...]) -> None:
    found, now = _made(0, 10), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    assert signing(found, now, LEAD).name == str(signs)
    assert tuple(int(one.name) for one in believed(found, now, LEAD)) == good
    assert signs_from(found, 1, LEAD) == datetime(2026, 1, 18, tzinfo=UTC)


def test_what_the_one_before_signed_is_believed_though_the_lead_was_lowered_since() -> None:
    """It signed until then: certificates of that day live on."""
    found, hour = _made(0, 10), timedelta(hours=1)
    lowered = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=12)
    assert signing(found, lowered, hour).name == "10"
    assert len(believed(found, lowered, hour)) == 2
    assert len(believed(found, lowered + timedelta(days=7), hour)) == 1


def test_an_unknown_key_is_said_with_those_there_are(keeper: KeeperParts) -> None:
    with pytest.raises(BadRequest) as refused:
        rotate(keeper.inside(), {"key": "seal"})
    assert "app, keeper, marks, match, channels, push, ca" in refused.value.hint
