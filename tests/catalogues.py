"""For developers: `make catalogues` brings the catalogues of all languages up to date with what pages and errors say.

What is looked at: `{% trans %}` and `_()` in `templates/`; `said()` and its like in Python; the sentences of errors, which need
no mark; the words of the providers' scopes; the reasons of the shipped rules. Each room has a file of its own. What is new comes
in untranslated, what nobody says any more goes.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from babel.core import Locale
from babel.messages.catalog import Catalog
from babel.messages.plurals import get_plural
from babel.messages.pofile import write_po
from jinja2 import Environment
from jinja2.ext import extract_from_ast

from webapp.web.catalogue import FOLDER, Key, files, read

ROOT = Path(__file__).resolve().parents[1]
TAGS = ("de", "fr")
MARKS = {"said": ("msgid",), "nsaid": ("msgid", "many"), "psaid": ("context", "msgid")}
HOMES = ("webapp.errors", "vault.said")
ROOTS = frozenset({"CountersealError", "KeeperError"})
NOT_ON_PAGES = (
    "vault/embedded.py", "vault/keeper.py", "vault/operators.py", "vault/reach.py", "vault/snapshot.py",
    "webapp/approvals/handing_over.py", "webapp/approvals/receipt_check.py", "webapp/approvals/requests.py",
    "webapp/audit/keys.py", "webapp/audit/verify.py", "webapp/authority.py",
    "webapp/backup/", "webapp/cli.py", "webapp/clients/permissions.py", "webapp/connections/discovery.py",
    "webapp/connections/own_files.py", "webapp/db/", "webapp/evaluation/bank", "webapp/evaluation/identity.py",
    "webapp/evaluation/marks.py", "webapp/evaluation/run.py", "webapp/gateway/", "webapp/oauth/renewal.py", "webapp/oauth/rfc",
    "webapp/oauth/tokens.py", "webapp/processes.py", "webapp/registry/pins.py", "webapp/registry/seed.py", "webapp/rotation.py",
    "webapp/serving.py", "webapp/supervisor/", "webapp/vaults.py", "webapp/web/catalogue.py",
    "webapp/web/peer.py", "webapp/web/proxies.py", "webapp/web/serves.py", "webapp/wsgi.py",
)
"""What programs, logs and terminals say is English: their errors are not looked at. Files named `*commands.py` neither."""


@dataclass(frozen=True)
class Sentence:
    msgid: str
    many: str = ""
    context: str = ""

    @property
    def key(self) -> Key:
        return self.context, self.msgid


def environment() -> Environment:
    """As the app reads its templates."""
    env = Environment(extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True, autoescape=True)
    env.policies["ext.i18n.trimmed"] = True
    env.newstyle_gettext = True  # type: ignore[attr-defined]
    return env


def of_template(text: str, env: Environment) -> Iterator[Sentence]:
    for _line, function, said in extract_from_ast(env.parse(text)):
        parts = [said] if isinstance(said, str) else [part for part in said if isinstance(part, str)]
        if function == "npgettext":
            yield Sentence(parts[1], parts[2], parts[0])
        elif function == "pgettext":
            yield Sentence(parts[1], context=parts[0])
        elif parts:
            yield Sentence(parts[0], parts[1] if function == "ngettext" and len(parts) > 1 else "")


def of_python(tree: ast.AST, errors: frozenset[str], *, keeper: bool, pages: bool) -> Iterator[Sentence]:
    """What is marked, and where pages show errors the first argument of those of `webapp`, and each `hint` of the keeper's."""
    constants, marks = _constants(tree), _imported(tree)
    for node in _in_order(tree):
        if isinstance(node, ast.Call):
            yield from _marked(node, marks)
            if pages:
                yield from (Sentence(text) for text in _of_error(node, errors, constants, keeper=keeper))
        elif keeper and isinstance(node, ast.ClassDef) and node.name in errors:
            yield from (Sentence(text) for one in node.body for text in _class_hint(one))
        elif keeper and pages and isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "hint":
            yield from (Sentence(text) for text in _texts(node.value, constants))
        elif keeper and pages and isinstance(node, ast.FunctionDef):
            yield from (Sentence(text) for text in _default_hint(node))


def _in_order(tree: ast.AST) -> list[Any]:
    found = [node for node in ast.walk(tree) if hasattr(node, "lineno")]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _imported(tree: ast.AST) -> frozenset[str]:
    """The marks that are ours here: other modules have functions of the same names."""
    return frozenset(
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in HOMES for alias in node.names
    ) & MARKS.keys()


def _marked(node: ast.Call, marks: frozenset[str]) -> Iterator[Sentence]:
    name = getattr(node.func, "id", "")
    if name == "ScopeFacts":
        words = [one.value for one in node.keywords if one.arg == "words"]
        yield from (Sentence(text, context="scope") for value in words for text in _texts(value, {}))
    if name not in marks:
        return
    shape = MARKS[name]
    texts = [one.value if isinstance(one, ast.Constant) else None for one in node.args[:len(shape)]]
    if len(texts) < len(shape) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"line {node.lineno}: {ast.unparse(node)[:80]}: what is said is a literal")
    yield Sentence(**dict(zip(shape, texts, strict=True)))


def _of_error(node: ast.Call, errors: frozenset[str], constants: dict[str, ast.expr], *, keeper: bool) -> Iterator[str]:
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    if keeper or name in keepers_errors():
        for one in node.keywords:
            if one.arg == "hint" and name != "revoke":
                yield from _texts(one.value, constants)
    elif name in errors and node.args:
        yield from _texts(node.args[0], constants)


def _class_hint(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "hint":
        yield from _texts(node.value, {})
    elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "hint" and isinstance(node.value, ast.Call):
        yield from _texts(node.value.args[0], {})


def _default_hint(node: ast.FunctionDef) -> Iterator[str]:
    for arg, value in zip(node.args.args[-len(node.args.defaults):], node.args.defaults, strict=False):
        if arg.arg == "hint":
            yield from _texts(value, {})
    for arg, kw_value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if arg.arg == "hint" and kw_value is not None:
            yield from _texts(kw_value, {})


def _constants(tree: ast.AST) -> dict[str, ast.expr]:
    return {
        target.id: one.value for one in getattr(tree, "body", []) if isinstance(one, ast.Assign)
        for target in one.targets if isinstance(target, ast.Name)
    }


def _texts(node: ast.expr | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    """The literal sentences that an expression can be: of a choice, of a name, of a table."""
    match node:
        case ast.Constant(value=str(text)) if any(char.isalpha() for char in text):
            yield text
        case ast.IfExp():
            yield from _texts(node.body, constants)
            yield from _texts(node.orelse, constants)
        case ast.BoolOp():
            for one in node.values:
                yield from _texts(one, constants)
        case ast.Name(id=name) if name in constants:
            yield from _texts(constants[name], {})
        case ast.Subscript(value=ast.Name(id=name)) | ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get")):
            table = constants.get(name)
            for one in table.values if isinstance(table, ast.Dict) else ():
                yield from _texts(one, {})
            if isinstance(node, ast.Call) and len(node.args) > 1:
                yield from _texts(node.args[1], constants)


def of_scopes(text: str) -> Iterator[Sentence]:
    """What a provider's file says to people: scopes, headings, what to paste, notes."""
    found = yaml.safe_load(text)
    if found.get("category"):
        yield Sentence(found["category"], context="heading of a list of providers")
    for key in ("key_words", "placement_words"):
        if found.get(key):
            yield Sentence(found[key])
    for scope in (found.get("scopes") or {}).values():
        if scope:
            yield Sentence(scope["words"], context="scope")


def of_rules(text: str) -> Iterator[Sentence]:
    for line in text.splitlines():
        if line.startswith('@reason("'):
            yield Sentence(line.removeprefix('@reason("').removesuffix('")'), context="rule")


@cache
def trees() -> dict[Path, ast.Module]:
    found = sorted(path for name in ("vault", "webapp") for path in (ROOT / name).rglob("*.py"))
    return {path: ast.parse(path.read_text("utf-8")) for path in found if "migrations" not in path.parts}


def error_names() -> frozenset[str]:
    """Every class that is an error with a hint, however far down."""
    return _below(ROOTS)


def keepers_errors() -> frozenset[str]:
    """Those of them whose first argument is for the log, and whose sentence is `hint`."""
    return _below(frozenset({"KeeperError"}))


@cache
def _below(roots: frozenset[str]) -> frozenset[str]:
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    known = set(roots)
    while more := {name for name, of in bases.items() if of & known} - known:
        known |= more
    return frozenset(known)


def room_of(path: Path) -> str:
    """In whose file the sentences of this one are kept."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "vault":
        return "scopes" if parts[1] == "providers" else "keeper"
    return parts[1] if len(parts) > 2 else "web"


@cache
def extracted() -> dict[str, dict[Sentence, list[str]]]:
    """By room what is said there, in the order of the files, and in which of them."""
    found: dict[str, dict[Sentence, list[str]]] = {}
    for path, sentences in _everything():
        for one in sentences:
            places = found.setdefault(room_of(path), {}).setdefault(one, [])
            name = str(path.relative_to(ROOT))
            if name not in places:
                places.append(name)
    return found


def _everything() -> Iterator[tuple[Path, Iterable[Sentence]]]:
    env = environment()
    for path in sorted((ROOT / "templates").rglob("*.html")):
        yield path, of_template(path.read_text("utf-8"), env)
    for path, tree in trees().items():
        name = str(path.relative_to(ROOT))
        pages = not name.startswith(NOT_ON_PAGES) and not name.endswith("commands.py")
        yield path, of_python(tree, error_names(), keeper=name.startswith("vault/"), pages=pages)
    for path in sorted((ROOT / "vault/providers/catalogue").glob("*.yaml")):
        yield path, of_scopes(path.read_text("utf-8"))
    for path in sorted((ROOT / "webapp/policy/defaults").glob("*.cedar")):
        yield path, of_rules(path.read_text("utf-8"))


def written(language: str, sentences: dict[Sentence, list[str]], known: dict[Key, tuple[str, ...]]) -> str:
    """A room's file, with what is known of the translation. Without dates and line numbers, so that two people who add to it meet
    only where they say the same."""
    plural = get_plural(language)
    catalogue = Catalog(locale=language)
    for one, places in sentences.items():
        forms = known.get(one.key, ())
        empty = ("",) * (plural.num_plurals if one.many else 1)
        forms = forms if len(forms) == len(empty) else empty
        catalogue.add(
            (one.msgid, one.many) if one.many else one.msgid, forms if one.many else forms[0], context=one.context or None,
            locations=[(place, 1) for place in places],
        )
    out = io.BytesIO()
    write_po(out, catalogue, width=0, include_lineno=False, omit_header=True)
    header = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {language}\\n"\n"Plural-Forms: nplurals={plural.num_plurals}; plural={plural.plural_expr};\\n"\n\n'
    )
    return header + out.getvalue().decode().rstrip() + "\n"


def wanted(language: str) -> dict[Path, str]:
    """Every file of a language as it should be, with the translations that there are."""
    known: dict[Key, tuple[str, ...]] = {}
    for path in files(language):
        known |= {key: forms for key, forms in read(path).items() if all(forms)}
    folder = FOLDER / language / "LC_MESSAGES"
    return {folder / f"{room}.po": written(language, sentences, known) for room, sentences in extracted().items()}


def main() -> None:
    for language in TAGS:
        name, found = Locale.parse(language).english_name, wanted(language)
        for old in set(files(language)) - set(found):
            old.unlink()
        for path, text in found.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        entries = [(key, forms) for path in found for key, forms in read(path).items() if key[1]]
        print(f"{name}: {sum(1 for _key, forms in entries if not all(forms))} of {len(entries)} sentences are not translated")


if __name__ == "__main__":
    sys.exit(main())
