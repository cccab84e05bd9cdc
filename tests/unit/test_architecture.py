"""Which module may import what: read from the code, so that a decision that is hidden in one module stays there."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from infra.config.schemes import built_in_schemes

CHECKOUT = Path(__file__).parents[2]
FUNCTIONS = CHECKOUT / "functions"
HANDLERS = sorted(FUNCTIONS.glob("*.py"))
RELAY = sorted((FUNCTIONS / "relay").rglob("*.py"))
PACKAGES = {path.parent for top in ("functions", "infra", "cli") for path in (CHECKOUT / top).rglob("__init__.py")}

SETS_ENVIRONMENT = {CHECKOUT / "infra" / "app.py"}  # for the CDK's Node, which reads it as it is imported
PURE = {  # nothing here reaches a disk, a network, a clock's wait or another process
    *(
        "base64",
        "binascii",
        "contextlib",
        "urllib",
        "zlib",
        "hashlib",
        "hmac",
        "secrets",
        "dataclasses",
        "datetime",
        "enum",
        "typing",
        "json",
        "re",
    ),
    *("collections", "functools", "itertools", "math", "relay"),
}


@dataclass(frozen=True)
class Import:
    """One import statement: whose, of what, and whether it runs (not only type checkers read it)."""

    module: str
    name: str
    runs: bool

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]


@cache
def tree(path: Path) -> ast.Module:
    """Return the parsed code of *path*."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> list[Import]:
    """Return every import in *path*, wherever it stands; `from relay import x` is an import of relay.x."""
    module = str(path.relative_to(FUNCTIONS)) if path.is_relative_to(FUNCTIONS) else path.name
    found: list[Import] = []

    def visit(node: ast.AST, *, runs: bool) -> None:
        for child in ast.iter_child_nodes(node):
            here = runs and not (isinstance(node, ast.If) and _is_type_checking(node.test) and child in node.body)
            match child:
                case ast.Import(names=names):
                    found.extend(Import(module, it.name, here) for it in names)
                case ast.ImportFrom(module="relay", level=0, names=names):
                    found.extend(Import(module, f"relay.{it.name}", here) for it in names)
                case ast.ImportFrom(module=name, level=0):
                    found.append(Import(module, name or "", here))
            visit(child, runs=here)

    visit(tree(path), runs=True)
    return found


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def all_imports(paths: list[Path]) -> list[Import]:
    """Return the imports of all *paths*."""
    return [it for path in paths for it in imports(path)]


def test_the_rules_are_about_code_that_is_there() -> None:
    """A folder that moved would make every rule below true of nothing."""
    verbs = {"ingest", "record", "deliver", "query", "sweep", "audit", "sync", "reconcile", "claim", "preflight"}
    assert {path.stem for path in HANDLERS} == verbs
    assert {"aws", "errors", "delivery", "client", "signature", "store", "wiring"} <= {path.stem for path in RELAY}
    assert FUNCTIONS / "relay" / "model" in PACKAGES


@pytest.mark.parametrize("module", ["model", "errors", "concern"])
def test_the_core_is_pure(module: str) -> None:
    """The model and the errors import no module that does I/O."""
    paths = [*(FUNCTIONS / "relay").glob(f"{module}.py"), *(FUNCTIONS / "relay" / module).glob("*.py")]
    assert paths
    assert [it for it in all_imports(paths) if it.package not in PURE | {"__future__"}] == []


def test_the_functions_import_no_package_that_the_asset_lacks() -> None:
    """The asset holds functions/ and what requirements/functions.txt and public-keys.txt name; boto3 is Lambda's."""
    shipped = {"aws_lambda_powertools", "boto3", "botocore", "cryptography", "httpx", "jmespath", "jwt", "relay"}

    known = shipped | sys.stdlib_module_names
    assert [it for it in all_imports([*HANDLERS, *RELAY]) if it.runs and it.package not in known] == []


def test_the_relay_doesnt_import_its_handlers() -> None:
    """A handler knows its verb, no verb its handler.  (import-linter holds the folders; handlers are in none.)"""
    assert [it for it in all_imports(RELAY) if it.package in {path.stem for path in HANDLERS}] == []


@pytest.mark.parametrize("package", sorted(PACKAGES), ids=lambda it: str(it.relative_to(CHECKOUT)))
def test_a_folder_says_what_is_in_it_and_exports_nothing(package: Path) -> None:
    """Its `__init__.py` is prose: an import in it would load a whole folder where one module is asked for."""
    init = tree(package / "__init__.py")

    assert len((ast.get_docstring(init) or "").splitlines()) <= 10
    assert ast.get_docstring(init)
    assert [node for node in init.body[1:] if not _is_version(node)] == []


def _is_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION"


@pytest.mark.parametrize("folder", ["functions", "infra", "cli"])
def test_no_module_reads_the_environment_as_it_is_imported(folder: str) -> None:
    """Else what a program sees depends on when it was imported."""
    for path in {*(CHECKOUT / folder).rglob("*.py")} - SETS_ENVIRONMENT:
        assert _environment_reads(tree(path)) == [], path.relative_to(CHECKOUT)


def test_only_the_wiring_reads_the_environment_of_a_function() -> None:
    """Every other module is handed the settings it needs; of AWS's clients, their own variables say where S3 is."""
    readers = {path.name for path in [*HANDLERS, *RELAY] if _environment_reads(tree(path), everywhere=True)}

    assert readers == {"wiring.py", "aws.py"}


def _environment_reads(module: ast.Module, *, everywhere: bool = False) -> list[int]:
    """Return the lines where *module* names os.environ or os.getenv as it is imported, or *everywhere*."""
    lines: list[int] = []

    def visit(node: ast.AST) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "getenvb"):
                lines.append(node.lineno)
            case ast.ImportFrom(module="os", names=names) if {it.name for it in names} & {"environ", "getenv"}:
                lines.append(node.lineno)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if not everywhere:
                # Its body runs later; its defaults and decorators run now.
                now = [*node.args.defaults, *filter(None, node.args.kw_defaults), *getattr(node, "decorator_list", [])]
                for child in now:
                    visit(child)
                return
            case ast.If(test=test) if _is_main(test) and not everywhere:
                return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(module)
    return lines


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"


def test_a_name_says_what_it_names() -> None:
    """`it` may name something within one line; over several a reader needs the noun."""
    paths = [path for top in ("functions", "infra", "cli", "tests") for path in sorted((CHECKOUT / top).rglob("*.py"))]
    found = {path: _long_lived(tree(path)) for path in paths}
    named = [f"{path.relative_to(CHECKOUT)}:{line}" for path, lines in found.items() for line in lines]

    assert named == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("[it.name for it in things]", []),
        ("sorted(things, key=lambda it: it.at)", []),
        ("[\n    it\n    for it in things\n]", [2, 3]),
        ("for it in things: it.save()", [1]),
        ("[x for x in things if it.name]", [1]),
        ("def name_of(it): return it.name", [1]),
        ("with opened() as it:\n    it.write()", [1, 2]),
        ("from things import first as it", [1]),
        ("match thing:\n    case Thing() as it:\n        pass", [2]),
        ("try: pass\nexcept Failure as it: pass", [2]),
        ("sorted(things, key=lambda it: (\n    it.at\n))", [1, 2]),
    ],
)
def test_a_name_that_outlives_its_line_is_found(code: str, lines: list[int]) -> None:
    assert _long_lived(ast.parse(code)) == lines


def _long_lived(module: ast.Module) -> list[int]:
    """Return the lines where `it` is a name, outside a comprehension or lambda of one line that binds the name."""
    lines: set[int] = set()

    def visit(node: ast.AST, *, bound: bool) -> None:
        match node:
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() if _on_one_line(node):
                bound = bound or any("it" in _names(clause.target) for clause in node.generators)
            case ast.Lambda() if _on_one_line(node):
                bound = bound or any(argument.arg == "it" for argument in node.args.args)
            case ast.Name(id="it") | ast.arg(arg="it") | ast.MatchAs(name="it") | ast.MatchStar(name="it") if not bound:
                lines.add(node.lineno)
            case ast.ExceptHandler(name="it") | ast.alias(name="it", asname=None) | ast.alias(asname="it"):
                lines.add(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child, bound=bound)

    visit(module, bound=False)
    return sorted(lines)


def _on_one_line(node: ast.expr) -> bool:
    return node.lineno == node.end_lineno


def _names(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def test_contributing_lists_the_layers_as_import_linter_holds_them() -> None:
    """From the top, layer by layer; those beside each other are apart by commas."""
    linter = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(it["layers"] for it in linter["contracts"] if it.get("containers") == ["relay"])
    told = " ".join((CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    found = told.partition("from the top, are: ")[2].partition(".")[0].replace("`", "")

    assert [sorted(layer.split(", ")) for layer in found.split("; ")] == [sorted(it.split(" | ")) for it in layers]


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_a_handler_hides_no_error(path: Path) -> None:
    """It catches what the relay raises on purpose; anything else is Lambda's to report."""
    caught = {
        name.id if isinstance(name, ast.Name) else ast.unparse(name)
        for handler in ast.walk(tree(path))
        if isinstance(handler, ast.ExceptHandler)
        for name in (handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type or ast.Name("all")])
    }
    ours = {node.name for node in tree(FUNCTIONS / "relay" / "errors.py").body if isinstance(node, ast.ClassDef)}

    assert caught <= ours


@pytest.mark.parametrize("verb", ["record", "deliver", "claim"])
def test_a_verb_that_doesnt_speak_to_qstash_doesnt_load_http(verb: str) -> None:
    """These two answer every attempt of every delivery; their cold start shouldn't pay for httpx."""
    assert "httpx" not in loaded(verb)


@pytest.mark.parametrize("verb", ["record", "deliver", "claim", "query", "reconcile"])
def test_a_verb_that_doesnt_speak_to_qstash_works_without_its_token(verb: str) -> None:
    """It asks its environment for no secret's name, and has no grant to read one."""
    named = {it.value for it in ast.walk(tree(FUNCTIONS / f"{verb}.py")) if isinstance(it, ast.Constant)}

    assert not {"RELAY_QSTASH_SECRET", "RELAY_SOURCES_SECRET"} & named


def test_record_loads_neither_qstash_nor_the_secrets() -> None:
    """A report is checked with keys from the table, and written there: it needs no secret."""
    assert not {"relay.qstash.client", "relay.runtime.secrets", "relay.publishing.publisher"} & loaded("record")


@pytest.mark.parametrize(
    ("scheme", "needed"),
    [
        ("github", set()),
        ("stripe", set()),
        ("slack", set()),
        ("twilio", {"relay.verification.custom"}),
        ("vonage", {"jwt", "relay.verification.jwt"}),
    ],
)
def test_ingest_loads_what_its_sources_need_and_no_more(scheme: str, needed: set[str]) -> None:
    """A cold start pays for no certificate, no JWT, no table of schemes and no HTTP that isn't used."""
    row = built_in_schemes()[scheme].row()
    code = (
        f"from relay.verification.verify import verify; from relay.verification.scheme import Row\n"
        f"from relay.verification.request import InboundRequest\n"
        f"from relay.verification.secret import Secret; from relay.errors import SignatureError\n"
        f"row = Row.of({row!r})\n"
        f"places = [it.place.lower() for it in row.spots if ':' not in it.place] + [(row.time or 'x').lower()]\n"
        f"headers = dict.fromkeys(places, 't=1795435200,v1=aa') | {{'x-hub-signature-256': 'sha256=aa'}}\n"
        f"headers |= {{'authorization': 'Bearer a.b.c', 'x-twilio-signature': 'AAAA', 'x-slack-signature': 'v0=aa'}}\n"
        f"request = InboundRequest(method='POST', urls=['https://a.example/'], headers=headers, body=b'')\n"
        f"try: verify(row, request, [Secret('s')], at=1795435200)\n"
        f"except SignatureError as error: assert error.reason in ('bad_signature', 'malformed_header'), error.reason\n"
    )
    heavy = {
        "jwt",
        "httpx",
        "tomllib",
        "pydantic",
        "relay.verification.custom",
        "relay.verification.jwt",
        "relay.verification.public_keys",
    }
    heavy |= {
        "relay.verification.certificates",
        "relay.internet.fetcher",
        "relay.qstash.signature",
        "relay.publishing.publisher",
        "relay.qstash.client",
    }

    there = loaded("ingest", code)

    assert there & heavy == needed
    assert "jwt" in needed or "cryptography" not in there  # PyJWT loads it where it is installed


@cache
def loaded(verb: str, then: str = "") -> frozenset[str]:
    """Return the modules that a fresh interpreter has once it has imported the handler *verb*, as Lambda does."""
    code = (
        f"import sys; sys.path.insert(0, {str(FUNCTIONS)!r}); import {verb}, json;"
        f"assert {verb}.__file__.startswith({str(FUNCTIONS)!r})\n{then}\nprint(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], env={}, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  # our own words
    return frozenset(json.loads(run.stdout))
