"""The house inspects itself: arrows, sizes, names, documentation."""

import ast
import importlib.metadata
import inspect
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("schemas", "processors", "streams", "api", "iv3")
MOST_LINES, MOST_FUNCTION_LINES = 400, 60
# A logger may be called like a module of ours; it is found by nothing.
FLOORS_AND_LOGGERS = {*FLOORS, "iv3.people", "iv3.log", "iv3.api"}


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders or FLOORS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_is_longer_than_400_lines_and_no_function_than_60() -> None:
    long = [f"{p.relative_to(ROOT)}: {n}" for p in modules() if (n := len(p.read_text().splitlines())) > MOST_LINES]
    for path in modules():
        for function in functions(path):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > MOST_FUNCTION_LINES:
                long.append(f"{path.relative_to(ROOT)}:{function.name}: {length}")
    assert not long


def test_every_module_that_says_or_decides_has_its_tests_in_the_same_room() -> None:
    without = [
        str(path.relative_to(ROOT))
        for path in modules("schemas", "processors")
        if path.stem != "__init__"
        and not (ROOT / "tests/unit" / path.relative_to(ROOT)).with_name(f"test_{path.name}").exists()
    ]
    assert not without


def test_every_module_says_what_it_is_for() -> None:
    assert not [str(p.relative_to(ROOT)) for p in modules() if not ast.get_docstring(tree(p))]


def test_nothing_is_called_utils_helpers_or_manager() -> None:
    assert not [p for p in modules() if re.search(r"util|helper|manager|common|misc", p.stem)]


def test_the_arrows_go_one_way() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(command), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_agents_touch_a_stream_only_in_consume() -> None:
    """Faust's own ways lose events; there is one body for every agent."""
    forbidden = re.compile(
        r"\.noack\(|\.events\(\)|stream\.take\(|exactly_once|stream_publish_on_commit|app\.Table|@app\.page|faust\.Worker"
    )
    found = {str(p.relative_to(ROOT)) for p in modules() if forbidden.search(p.read_text())}
    assert found == {"streams/runtime/consume.py"}


def test_only_the_transport_folder_and_app_know_faust() -> None:
    knows = {
        str(p.relative_to(ROOT))
        for p in modules()
        if re.search(r"^\s*(import|from) (faust|mode)\b", p.read_text(), re.MULTILINE)
    }
    assert knows == {
        "streams/runtime/app.py",
        "streams/adapters/transport/kafka.py",
        "streams/adapters/transport/sqlite.py",
        "streams/adapters/transport/strict.py",
    }


def test_our_package_names_are_ours() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in FLOORS:
        assert owners.get(name) in (None, ["iv3"]), f"another distribution ships a package named {name}"
        module = __import__(name)
        assert Path(str(module.__file__)).parent.parent in (ROOT, Path(sysconfig.get_path("purelib")))


def test_the_internals_of_faust_we_lean_on_are_the_pinned_ones() -> None:
    pinned = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}
    assert {name: importlib.metadata.version(name) for name in pinned} == pinned


def test_every_dependency_is_pinned_and_no_address_is_named() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line) for line in lines)
    assert "://" not in text


def test_what_tests_share_lies_in_support() -> None:
    importing = re.compile(r"^\s*from tests\.[\w.]*\btest_\w+ import", re.MULTILINE)
    found = [path for path in (ROOT / "tests").rglob("*.py") if importing.search(path.read_text())]
    assert not found, f"they import from another test: {found}"


def test_no_check_is_silenced_without_a_reason_beside_it() -> None:
    bare = []
    places = [*modules(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    for path in places:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if (
                path != Path(__file__)
                and re.search(r"#\s*(type: ignore|noqa)", line)
                and not re.search(r"(type: ignore\[[^\]]+\]|noqa: [A-Z0-9, ]+)\s*(-|#)\s*\S", line)
            ):
                bare.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not bare, "\n".join(bare)


MAKE_EVENTS = (
    "schemas/envelope.py",
    "streams/commands/",
    "streams/roles/",  # what follows from the log, and what a source said
    "streams/runtime/",  # snapshots, heartbeats, dead letters
    "streams/delivery/",  # what became of each message
    "processors/copies/",  # what an erasure leaves in the place of a record
    "processors/legacy/moving.py",  # rows of the Go iv3, with the ids they would have had
    "processors/alerting/person_state.py",  # its own entries, for a snapshot
    "iv3/demo/",  # the made-up person's past
    "iv3/operations/measuring.py",  # the events that `iv3 bench` throws away
)


def test_no_door_makes_an_event() -> None:
    """A fact comes into the log by a command, whoever asks for it: only there is the rule asked."""
    says = re.compile(
        r"(?<![\w.])make\(\s*[A-Za-z_]+\(|(?<![\w.])make\(\s*(?:data|told|fact|entry)\b|author\.say\(|_AUTHOR\.say\("
    )
    places = [path.relative_to(ROOT).as_posix() for path in modules() if says.search(path.read_text())]
    assert not [place for place in places if not place.startswith(MAKE_EVENTS)]
    assert "streams/commands/entries.py" in places


CONTRACTS = {
    contract["name"]: set(contract.get("source_modules", ()))
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


@pytest.mark.parametrize(
    ("floor", "contract", "free"),
    [
        ("streams", "What moves speaks to ports, never to an adapter", {"adapters"}),
        ("iv3", "Only the assembly names an adapter", {"assembly", "__main__"}),
    ],
)
def test_every_room_stands_in_the_contract_that_keeps_it_from_adapters(
    floor: str, contract: str, free: set[str]
) -> None:
    rooms = {path.stem for path in (ROOT / floor).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    held = {name.removeprefix(f"{floor}.") for name in CONTRACTS[contract]}
    assert rooms - free - {"__init__"} == held


def test_every_setting_is_documented() -> None:
    from pydantic import BaseModel

    from schemas.settings import Settings

    text = (ROOT / "docs" / "reference" / "configuration.md").read_text()

    def names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
        for key, field in model.model_fields.items():
            annotation = field.annotation
            inner = (
                annotation if isinstance(annotation, type) else next(iter(getattr(annotation, "__args__", ())), None)
            )
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from names(inner, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}"

    missing = [name for name in names(Settings) if f"`{name}`" not in text]
    assert not missing


def test_every_event_is_documented() -> None:
    from schemas.envelope import EVENT_FACTS

    text = (ROOT / "docs" / "reference" / "events.md").read_text()
    rows = []
    for name, fact in EVENT_FACTS.items():
        means = " ".join(inspect.cleandoc(fact.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
        fields = (f"`{key}`{'' if field.is_required() else '?'}" for key, field in fact.model_fields.items())
        rows.append(f"| `{name}` | {means} | {', '.join(fields) or '–'} |")
    assert not [row for row in rows if row not in text]


def test_every_route_is_documented() -> None:
    from api.app import operations

    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    missing = [
        f"{o.method} {o.path}" for o in operations() if not re.search(rf"`{o.method} {re.escape(o.path)}[`?]", text)
    ]
    assert not missing, "describe them in docs/reference/api.md"


def test_every_predictor_is_documented() -> None:
    from processors.predictors.registry import PREDICTORS

    for page in ("docs/reference/predictors.md", "docs/reference/cli.md", "iv3/cli/main.py"):
        text = (ROOT / page).read_text()
        assert not [name for name in PREDICTORS if name not in text], f"name them in {page}"


def test_every_address_that_is_no_operation_is_documented_too() -> None:
    from aiohttp import web

    from api.legacy import add_legacy_routes
    from api.ops import add_ops_routes
    from api.pages import add_page_routes
    from api.request.context import Readiness

    app = web.Application()
    add_legacy_routes(app)
    add_ops_routes(app, lambda: Readiness(True), str)
    add_page_routes(app, {})
    texts = [(ROOT / "docs" / "reference" / name).read_text() for name in ("api.md", "seed-routes.md")]
    known = " ".join(texts)
    paths = {route.resource.canonical for route in app.router.routes() if route.resource is not None}
    missing = [path for path in paths if path not in known and not path.startswith(("/static", "/favicon"))]
    assert not missing


def verbs_of(group: typer.Typer, prefix: str = "") -> Iterator[str]:
    """Each verb of a group and of the groups in it, as it is typed."""
    for command in group.registered_commands:
        yield f"{prefix}{command.name or getattr(command.callback, '__name__', '')}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from verbs_of(inner.typer_instance, f"{prefix}{inner.name or inner.typer_instance.info.name} ")


def test_every_verb_is_documented() -> None:
    from iv3.cli.main import app

    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    verbs = list(verbs_of(app))
    assert {"up", "token new", "person add", "archive merge"} <= set(verbs)
    assert not [verb for verb in verbs if f"`iv3 {verb}" not in text], "describe them in docs/reference/cli.md"


def test_every_document_that_is_named_exists() -> None:
    named: set[str] = set()
    for path in [
        *modules(),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "Taskfile.yaml",
        ROOT / "pyproject.toml",
    ]:
        named |= set(re.findall(r"docs/[a-z0-9/_-]+\.(?:md|png)", path.read_text(encoding="utf-8")))
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "HACK"])
def test_nothing_is_left_for_later_in_the_code(word: str) -> None:
    assert not [str(p.relative_to(ROOT)) for p in modules() if re.search(rf"\b{word}\b", p.read_text())]


def test_help_is_quick_because_no_verb_is_imported_for_it() -> None:
    code = (
        "import sys; sys.argv = ['iv3', '--help']\nfrom iv3.start import main\ntry:\n    "
        "main()\nexcept SystemExit:\n    pass\n"
    )
    code += "heavy = {'faust', 'aiohttp', 'apsw', 'yaml', 'pydantic'} & set(sys.modules)\nassert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def imports_of(path: Path) -> set[str]:
    """Every module that a file names in an import, `TYPE_CHECKING` ones and those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def module_names() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in modules()
    }


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = module_names()
    edges = {name: (imports_of(path) & names.keys()) - {name} for name, path in names.items()}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]], "the walk itself finds one"
    assert circles(edges) == []


def test_no_module_is_found_by_its_name_in_a_string() -> None:
    """What is imported by a string is an arrow that nothing checks."""
    names = module_names().keys() - FLOORS_AND_LOGGERS
    found = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said = node.value.partition(":")[0]
                if said in names:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")
            elif isinstance(node, ast.Name | ast.Attribute):
                word = node.id if isinstance(node, ast.Name) else node.attr
                if word in ("import_module", "__import__"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {word}")
    assert not found


def test_every_file_that_is_named_exists() -> None:
    named: dict[str, str] = {}
    pattern = re.compile(
        r"(?<![\w/.])((?:schemas|processors|streams|api|iv3|tests|benchmarks|deploy)/[\w./-]*\w\.(?:py|js|json|sh|css|html))\b"
    )
    for path in [
        *modules(),
        *modules("tests", "benchmarks"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "Taskfile.yaml",
    ]:
        for name in pattern.findall(path.read_text(encoding="utf-8")):
            named.setdefault(name, str(path.relative_to(ROOT)))
    assert not {name: where for name, where in named.items() if not (ROOT / name).exists()}


def test_decisions_are_numbered_once_and_in_one_form() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in files] == [f"{n:04d}" for n in range(1, len(files) + 1)]
    for number, path in enumerate(files, 1):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. "), path.name
        parts = [re.search(rf"^{part}:", text, re.MULTILINE) for part in ("Context", "Decision", "Consequence")]
        assert all(parts), path.name
