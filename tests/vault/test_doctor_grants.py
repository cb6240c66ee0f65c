"""`counterseal vault doctor` finds every grant beyond the policy, wherever it comes from, and with an operator's token what the
keeper may not see: the audit devices, and the policy's text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.keeper_parts import until
from tests.vault.places import POLICY, Place, mended, seen, wrong
from tests.vault_nodes import running
from vault.operated import CONFIGURED

PAYROLL = 'path "finance/data/payroll" { capabilities = ["read"] }'


def far_away(place: Place) -> None:
    """No sample of what must be denied could have it: the vault lists it."""
    place.policy(lambda text: text + '\npath "finance/data/payroll/*" { capabilities = ["read", "list"] }\n')


def with_a_plus(place: Place) -> None:
    place.policy(lambda text: text + '\npath "counterseal-pki/issuer/+" { capabilities = ["update", "delete"] }\n')


def below_a_rule(place: Place) -> None:
    place.policy(lambda text: text + '\npath "counterseal-kv/data/people/anna" { capabilities = ["read"] }\n')


def other_parameters(place: Place) -> None:
    place.policy(lambda text: text.replace('"uri_sans" = ["spiffe://*"]', '"uri_sans" = []', 1))


def another_policy(place: Place) -> None:
    place.write("sys/policies/acl/payroll", {"policy": PAYROLL})
    place.write(f"auth/approle/role/{POLICY}", {"token_policies": [POLICY, "payroll"]})


def of_its_identity(place: Place) -> None:
    place.write("sys/policies/acl/payroll", {"policy": PAYROLL})
    made = place.write("auth/approle/login", {"role_id": POLICY, "secret_id": "its-secret-id"})
    place.write(f"identity/entity/id/{made['auth']['entity_id']}", {"policies": ["payroll"]})


def without_the_list(place: Place) -> None:
    place.policy(lambda text: text.replace("sys/internal/ui/resultant-acl", "sys/internal/ui/mounts"))


@pytest.mark.parametrize(("break_it", "words"), [
    (far_away, {"capabilities": "finance/data/payroll/*: the keeper has besides list, read"}),
    (with_a_plus, {"capabilities": "issuer/x: the keeper has besides delete, update"}),
    (below_a_rule, {"capabilities": "counterseal-kv/data/people/anna: the keeper lacks create, update"}),
    (other_parameters, {"capabilities": "counterseal-pki/sign/client: the keeper may give other parameters"}),
    (another_policy, {
        "capabilities": "finance/data/payroll: the keeper has besides read", "policies": "but: counterseal-keeper, payroll",
    }),
    (of_its_identity, {"capabilities": "finance/data/payroll: the keeper has besides read", "policies": "brings: payroll"}),
    (without_the_list, {"capabilities": "resultant-acl: the keeper lacks read"}),
])
def test_what_differs_is_found_and_what_it_says_mends_it(
    place: Place, break_it: Callable[[Place], None], words: dict[str, str]
) -> None:
    """Of the policy itself `test_doctor` types it."""
    break_it(place)
    found = wrong(seen(place.instance))
    assert {one[0] for one in found} == words.keys(), found
    for check, part in words.items():
        assert [one for one in found if one[0] == check and part in one[1]], found
    if "policies" in words:
        mended(place)


def audits(there: Place, operator: str) -> list[tuple[str, str]]:
    return [(one.state, one.words) for one in seen(there.instance, operator=operator) if one.check == "audit"]


def test_audit_devices_are_seen_with_an_operators_token(tmp_path: Path) -> None:
    """None there is, one, two, one that writes in clear, one that writes nowhere, and one that was taken away; and what it says
    can be typed, for names of files that are this test's."""
    with running() as nodes:
        there, node = Place(nodes, tmp_path), nodes.nodes[0]
        config, bare = node.folder / "config.hcl", (node.folder / "config.hcl").read_text()

        def typed(mend: str) -> None:
            """As an operator on the server's machine, whose files are elsewhere."""
            process = node.process
            assert process
            here = mend.replace("/etc/openbao/openbao.hcl", str(config)).replace("/var/log/openbao", str(node.folder))
            nodes.shell(f"systemctl() {{ kill -HUP {process.pid}; }}\n{here}")

        def declared_are(*devices: str) -> None:
            config.write_text(bare + "\n".join(devices))
            typed("systemctl reload openbao")
            until(lambda: len(nodes.ask("GET", "sys/audit")[1]["data"] or {}) == len(devices), "the devices are read again")

        (none,) = [one for one in seen(there.instance, operator=nodes.root) if one.check == "audit"]
        assert (none.state, none.words) == ("wrong", "The vault records nothing: it has no audit device.")
        typed(none.mend)
        until(lambda: bool(nodes.ask("GET", "sys/audit")[1]["data"]), "the device is there")
        assert [one[0] for one in audits(there, nodes.root)] == ["good", "look"], "one alone"
        assert wrong(seen(there.instance, operator=nodes.root)) == []
        assert (node.folder / "audit.log").stat().st_size
        first = CONFIGURED.partition("'")[2].partition("'")[0].replace("/var/log/openbao", str(node.folder))
        second = first.replace("main", "second").replace("audit.log", "second.log")
        declared_are(first, second)
        assert [one[0] for one in audits(there, nodes.root)] == ["good", "good"]
        clear = second.replace("second", "clear").replace('.log"', '.log" log_raw = "true"')
        declared_are(first, clear, first.replace("main", "none").replace(str(node.folder / "audit.log"), "discard"))
        said = audits(there, nodes.root)
        assert [one for one in said if one[0] == "wrong"] == [
            ("wrong", "clear/ records values in clear (log_raw), so tokens and keys too."),
            ("wrong", "none/ writes to discard: nothing is kept."),
        ]
        declared_are()
        assert [one[0] for one in audits(there, nodes.root)] == ["wrong"], "they were taken away"


def test_what_an_operators_token_does_not_open_is_said(place: Place) -> None:
    """A token of the namespace alone reads the policy and not the audit devices; one that is none opens nothing."""
    place.write("sys/policies/acl/reader", {"policy": f'path "sys/policies/acl/{POLICY}" {{ capabilities = ["read"] }}'})
    made = place.write("auth/token/create", {"policies": ["reader"]})["auth"]["client_token"]
    found = {one.check: one for one in seen(place.instance, operator=made)}
    assert (found["parameters"].state, found["audit"].state) == ("good", "look")
    assert "does not open" in found["audit"].words
    found = {one.check: one for one in seen(place.instance, operator="s.none")}
    assert (found["parameters"].state, found["audit"].state) == ("look", "look")
    assert "bao audit list" in found["audit"].mend


def test_a_grant_with_a_plus_is_found_in_the_policys_text(place: Place) -> None:
    """Wherever it points: the vault does not list it, and no sample asked for it."""
    place.policy(lambda text: text + '\npath "finance/+/payroll" { capabilities = ["read"] }\n')
    assert wrong(seen(place.instance)) == [], "the keeper cannot see it"
    told = ("capabilities", "finance/+/payroll: the policy counterseal-keeper has it besides.")
    assert told in wrong(seen(place.instance, operator=place.nodes.root))
