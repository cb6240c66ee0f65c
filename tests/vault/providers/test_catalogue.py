"""The catalogue: what nobody described is grave, and what an operator adds is read as strictly as what is shipped."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vault.providers.catalogue import GENERIC, SHIPPED, Catalogue, ProviderFacts, facts, load, looser
from vault.providers.reading import LARGEST

URLS = ("issuer", "authorize_url", "token_url", "refresh_url", "revoke_url", "userinfo_url", "jwks_url", "manual_revoke_url")
EVERY = load()
REAL = {name: one for name, one in EVERY.items() if name not in (*GENERIC, "key", "harbour")}
ALONE = ("quickbooks",)
"""There is no milder scope that does anything."""


def own(instance: Path, name: str, text: str) -> Path:
    path = instance / "providers" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_most_used_providers_are_there() -> None:
    wanted = "github github-app google microsoft slack slack-bot atlassian notion gitlab bitbucket linear asana hubspot"
    assert set(wanted.split()) <= set(EVERY)
    assert sum(one.kind != "key" for one in REAL.values()) >= 40
    assert sum(one.kind == "key" for one in REAL.values()) >= 8


@pytest.mark.parametrize("entry", REAL.values(), ids=REAL.keys())
def test_every_shipped_provider_can_be_connected_and_cites_where_its_facts_stand(entry: ProviderFacts) -> None:
    assert entry.docs
    assert all(urlsplit(url).scheme == "https" for url in entry.docs)
    assert all(getattr(entry, url).startswith("https://") for url in URLS if getattr(entry, url))
    assert entry.manual_revoke_url
    if entry.kind == "key":
        assert entry.create_url
        assert entry.key_words
        assert entry.placement_words
        return
    assert entry.authorize_url
    assert entry.token_url
    assert entry.account
    assert entry.revoke_style == "none" or entry.revoke_url
    assert entry.userinfo_url or entry.account != ("sub",)
    one_scope = not entry.quirks.scope_parameter
    assert one_scope or entry.name in ALONE or not entry.grave(entry.default_scopes)


@pytest.mark.parametrize("entry", EVERY.values(), ids=EVERY.keys())
def test_every_scope_is_put_in_words_that_a_person_understands(entry: ProviderFacts) -> None:
    assert entry.scopes
    for scope, found in entry.scopes.items():
        assert re.match(r"[A-Z][a-z]+,? ", found.words), found.words
        assert not found.words.endswith("."), found.words
        assert "scope" not in found.words.lower(), found.words
        assert scope not in found.words or scope.isalpha(), found.words


@pytest.mark.parametrize("entry", EVERY.values(), ids=EVERY.keys())
def test_what_a_scope_is_called_does_not_promise_less_than_its_effect(entry: ProviderFacts) -> None:
    """A word for something that cannot be undone stands in the words of no scope that counts as mild."""
    grave = re.compile(r"\b(delete|pay out|refund|void|void|at your cost)\b", re.IGNORECASE)
    mild = [one.words for one in entry.scopes.values() if one.effect in ("read", "write") and grave.search(one.words)]
    assert mild == []


def test_what_no_document_promises_is_no_lifetime() -> None:
    """Pages name a lifetime, or say that there is none, from documents alone; what is assumed only says when to renew."""
    assumed = {name for name, one in EVERY.items() if one.assumed_lifetime}
    assert {"airtable", "miro", "monday", "reddit", "salesforce", "slack", "todoist", "twitch"} <= assumed
    for one in EVERY.values():
        assert not (one.endless and one.rotates), f"{one.name}: a token without an end is not renewed"


def test_each_file_of_the_wheel_is_one_provider() -> None:
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == set(EVERY)
    assert all(len(path.read_text().splitlines()) < 300 for path in SHIPPED.iterdir())


def test_what_nobody_described_is_grave() -> None:
    github = EVERY["github"]
    assert github.grave(["repo", "delete_repo", "something:new"]) == {"delete_repo", "something:new"}


def test_a_provider_that_does_not_name_itself_has_a_callback_of_its_own() -> None:
    assert (EVERY["github"].callback, EVERY["harbour"].callback) == ("own", "shared")


def test_an_unknown_provider_is_shown_under_its_own_name() -> None:
    found = facts(EVERY, "acme-books", "oidc")
    assert (found.name, found.title, found.discovery) == ("acme-books", "Acme Books", True)


# -- placeholders ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "a/b", "a.evil.example", "evil.example/a", "a@evil.example", "a#", "a?b", "..", "a b", "a\n", "A", "a:1", "a%2f", "ä", "{x}",
    "-", "", "evil.example", "https://a", "a\\b",
]
HOLES = [(entry.name, hole) for entry in EVERY.values() for hole in entry.placeholders]


@pytest.mark.parametrize(("name", "hole"), HOLES)
def test_no_value_reaches_past_its_own_part_of_the_address(tmp_path: Path, name: str, hole: str) -> None:
    """Every hostile value is refused, or stays within the host that the operator may name."""
    whole_host = {"github-enterprise", "gitlab"}
    for index, value in enumerate(HOSTILE):
        instance = tmp_path / str(index)
        instance.mkdir()
        own(instance, "mine", f"extends: {name}\nvalues: {{{hole}: {json.dumps(value)}}}")
        found = load(instance)
        if value == "" or (name in whole_host and "example" in value and value.replace(".", "").isalpha()):
            continue
        if name == "microsoft" and value in ("a.evil.example", "evil.example"):
            assert urlsplit(found["mine"].token_url).hostname == "login.microsoftonline.com"
            continue
        assert "mine" in found.problems, (value, found.get("mine"))


def test_an_entry_is_filled_and_connects_nothing_before(tmp_path: Path) -> None:
    assert list(EVERY["shopify"].needs) == ["shop"]
    own(tmp_path, "our-shop", "extends: shopify\nvalues: {shop: acme-tea}")
    found = load(tmp_path)["our-shop"]
    assert found.needs == {}
    assert found.token_url == "https://acme-tea.myshopify.com/admin/oauth/access_token"
    assert found.manual_revoke_url.startswith("https://acme-tea.")
    assert EVERY["microsoft"].token_url == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    own(tmp_path, "our-desk", "extends: intercom\nvalues: {region: eu.intercom}")
    desk = load(tmp_path)["our-desk"]
    assert (desk.authorize_url, desk.token_url) == (
        "https://app.eu.intercom.com/oauth", "https://api.eu.intercom.io/auth/eagle/token"
    )
    assert EVERY["intercom"].authorize_url == "https://app.intercom.com/oauth"


# -- the operator's own files ----------------------------------------------------------------------------------------


def test_an_operators_file_extends_a_shipped_entry_under_a_name_of_its_own(tmp_path: Path) -> None:
    own(tmp_path, "own-gitlab", "extends: gitlab\ntitle: Our GitLab\nvalues: {host: git.example.com}\nscopes: {api: null}")
    found = load(tmp_path)["own-gitlab"]
    assert (found.title, found.token_url) == ("Our GitLab", "https://git.example.com/oauth/token")
    assert found.refresh_kills_previous
    assert "api" not in found.scopes
    assert found.effect("api") == "destroy"
    assert EVERY["gitlab"].token_url == "https://gitlab.com/oauth/token"


def test_one_own_file_may_extend_another(tmp_path: Path) -> None:
    own(tmp_path, "aaa", "extends: zzz\ntitle: First")
    own(tmp_path, "zzz", "extends: gitlab\ntitle: Last\nvalues: {host: git.example.com}")
    assert load(tmp_path)["aaa"].token_url == "https://git.example.com/oauth/token"


def test_nobody_changes_a_shipped_provider_unawares(tmp_path: Path) -> None:
    path = own(tmp_path, "github", "extends: github\nscopes: {delete_repo: {words: Tidy up, effect: read}}")
    found = load(tmp_path)
    assert "github" not in found
    assert "overrides: github" in found.problems["github"][0]
    path.write_text("overrides: github\nscopes: {delete_repo: {words: Tidy up, effect: read}}")
    found = load(tmp_path)
    assert found["github"].effect("delete_repo") == "read"
    assert "scopes.delete_repo.effect: destroy becomes read" in found.notes[0]


def test_an_override_that_cannot_be_read_does_not_fall_back_to_the_shipped_entry(tmp_path: Path) -> None:
    """It may have been meant to be stricter."""
    own(tmp_path, "github", "overrides: github\nscopes: {repo: {words: Change code, effect: lethal}}")
    found = load(tmp_path)
    assert "github" not in found
    assert facts(found, "github").effect("repo") == "destroy"
    assert "gitlab" in found


def test_a_link_that_leads_nowhere_does_not_fall_back_either(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "github.yaml").symlink_to(tmp_path / "gone.yaml")
    found = load(tmp_path, writers=frozenset({os.getuid()}))
    assert "github" not in found
    assert "cannot be read" in found.problems["github"][0]


def test_what_an_override_loosens_is_said() -> None:
    before = EVERY["google"]
    changes = {"narrows": True, "base_scopes": (*before.base_scopes, "profile")}
    assert len(looser(before, before.model_copy(update=changes))) == 2
    for challenge in (False, "public"):
        assert "pkce" in looser(before, before.model_copy(update={"pkce": challenge}))[0]
    assert "pkce" in looser(EVERY["slack"], EVERY["slack"].model_copy(update={"pkce": False}))[0]
    assert looser(EVERY["slack"], EVERY["slack"].model_copy(update={"pkce": True})) == []
    assert looser(before, before) == []


ERRORS = {
    "title: Erp\nkind: oauth\ntoken_url: http://erp.example/token": "providers/erp.yaml:3: token_url: a provider's address",
    "title: Erp\nkind: oauth\ntoken_url: https://u:p@erp.example/token": "erp.yaml:3: token_url: ",
    "title: Erp\nkind: saml": "erp.yaml:2: kind: one of oidc, oauth or key is expected",
    "title: Erp\nkind: oauth\n\nverify: false": "erp.yaml:4: verify: this key is not known here",
    "kind: oauth": "erp.yaml:1: title: missing",
    "title: Erp\nkind: oauth\nscopes:\n  see: {words: See it, effect: read}\n  pay:\n    words: Pay\n    effect: mony":
        "erp.yaml:7: scopes.pay.effect: one of read, write, send, money or destroy is expected",
    "title: Erp\nkind: oauth\nscopes:\n  pay:\n    words: Pay": "erp.yaml:4: scopes.pay.effect: missing",
    "title: Erp\nkind: oauth\nscopes: [a]": "erp.yaml:3: scopes: a mapping is expected",
    "title: Erp\ntitle: Erp\nkind: oauth": "erp.yaml:2: title: given twice",
    "title: Erp\nkind: oauth\nscopes: &a {}\nvalues: *a": "erp.yaml:1: aliases",
    "title: Erp\n  kind: oauth": "erp.yaml:2: not YAML",
    "- a list": "erp.yaml:1: a mapping of facts is expected",
    "": "erp.yaml:1: a mapping of facts is expected",
    "name: other\ntitle: Erp\nkind: oauth": "erp.yaml:1: name: the file's own name",
    "extends: nobody\ntitle: Erp": "erp.yaml:1: extends: no provider 'nobody'",
    "overrides: github\ntitle: Erp": "erp.yaml:1: overrides: ",
    "title: Erp\nkind: oauth\naccess_lifetime: soon": "erp.yaml:3: access_lifetime: a number is expected",
    "title: Erp\nkind: oauth\nquirks: {shows_token: 'X: {token}\\r\\nY: z'}": "erp.yaml:3: quirks.shows_token: ",
    "title: Erp\nkind: oauth\ntoken_url: https://{host}/": "erp.yaml:1: no placeholder is declared for host",
    "title: Erp\nkind: oauth\nvalues: {host: a}": "erp.yaml:1: no placeholder is declared for host",
    "title: Erp\nkind: oauth\nbase_scopes: [all]": "erp.yaml:3: base_scopes: all is granted without asking",
    "title: Erp\nkind: oauth\ndefault_scopes: [all]": "erp.yaml:3: default_scopes: no words for all",
    "title: Erp\nkind: key": "erp.yaml:1: a key has scopes",
    "title: 'A\x00B'\nkind: oauth": "erp.yaml:1: not YAML",
    "title: Erp\nkind: oauth\npkce: maybe": "erp.yaml:3: pkce: one of True, False or public is expected",
    "title: Erp\nkind: oauth\npkce_docs: http://erp.example/": "erp.yaml:3: pkce_docs: a provider's address",
    "title: Erp\nkind: oauth\nendless: true\naccess_lifetime: 60": "erp.yaml:4: access_lifetime: of this",
    "extends: shopify\nvalues:\n  shop: a.evil": "erp.yaml:3: values.shop: 'a.evil' is not the shop's name",
}


@pytest.mark.parametrize(("text", "said"), ERRORS.items())
def test_an_entry_that_is_wrong_is_refused_and_the_error_says_where(tmp_path: Path, text: str, said: str) -> None:
    own(tmp_path, "erp", text)
    found = load(tmp_path)
    assert "erp" not in found
    [problem, *_more] = found.problems["erp"]
    assert said in problem
    assert re.match(r"[^:]+/providers/erp\.yaml:\d+: ", problem)


def test_a_file_that_is_not_text_or_too_large_is_refused(tmp_path: Path) -> None:
    own(tmp_path, "binary", "").write_bytes(b"\xff\xfe")
    own(tmp_path, "large", "title: Erp\n" + "# much\n" * LARGEST)
    own(tmp_path, "deep", "a: " + "[" * 5000)
    assert set(load(tmp_path).problems) == {"binary", "large", "deep"}


def test_a_file_whose_name_is_no_name_is_refused(tmp_path: Path) -> None:
    own(tmp_path, "Bad Name", "title: Bad\nkind: oauth")
    assert "name" in load(tmp_path).problems["Bad Name"][0]


def test_a_change_of_a_file_is_seen_at_once(tmp_path: Path) -> None:
    path = own(tmp_path, "erp", "title: Erp\nkind: oauth")
    assert load(tmp_path)["erp"].title == "Erp"
    path.write_text("title: Books\nkind: oauth")
    assert load(tmp_path)["erp"].title == "Books"
    path.unlink()
    assert "erp" not in load(tmp_path)


def test_only_an_evaluation_instance_knows_addresses_without_tls_and_only_on_this_machine(tmp_path: Path) -> None:
    own(tmp_path, "here", "title: Here\nkind: oauth\ntoken_url: http://127.0.0.1:8000/token")
    own(tmp_path, "there", "title: There\nkind: oauth\ntoken_url: http://192.0.2.1/token")
    assert set(load(tmp_path).problems) == {"here", "there"}
    found = load(tmp_path, local=True)
    assert isinstance(found, Catalogue)
    assert "here" in found
    assert set(found.problems) == {"there"}


def test_the_keeper_believes_its_operators_alone(tmp_path: Path) -> None:
    """Whoever writes these files says what is grave: not the web process, where it is a user of its own."""
    path, me = own(tmp_path, "erp", "title: Erp\nkind: oauth"), frozenset({os.getuid()})
    assert "erp" in load(tmp_path, writers=me)
    assert "no operator" in load(tmp_path, writers=frozenset({os.getuid() + 1})).problems["erp"][0]
    path.chmod(0o666)
    assert "every user" in load(tmp_path, writers=me).problems["erp"][0]
    path.chmod(0o644)
    path.parent.chmod(0o777)
    assert "every user" in load(tmp_path, writers=me).problems["erp"][0]
    assert "erp" in load(tmp_path)


def test_the_files_that_the_documentation_shows_are_read(tmp_path: Path) -> None:
    text = (SHIPPED.parents[2] / "docs" / "operating.md").read_text()
    shown = re.findall(r"```yaml\n# providers/([a-z-]+)\.yaml\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 2
    for name, content in shown:
        own(tmp_path, name, content)
    found = load(tmp_path)
    assert found.problems == {}
    assert found["erp"].grave(["bills.pay", "books.read"]) == {"bills.pay"}
    assert found["openai-models"].grave(found["openai-models"].scopes) == set()
