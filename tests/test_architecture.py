"""The house as `design` has it: imports point down, nothing grows without bound."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kerastune_llm"

LEVELS = (
    {"cli", "arguments", "verbs", "__init__"},
    {"commands"},
    {"methods", "training", "serving"},
    {"models", "data"},
    {"tasks", "metrics"},
    {
        "registry",
        "config",
        "config_groups",
        "config_runtime",
        "config_values",
        "recipes",
        "rundir",
        "run_files",
        "run_order",
        "mirror",
        "remote",
        "remote_errors",
        "atomic",
        "locks",
        "errors",
        "flag_names",
        "backend",
    },
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """The room of a dotted module name: its first part below the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def level(name: str) -> int:
    return next(index for index, rooms in enumerate(LEVELS) if name in rooms)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("kerastune_llm."))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path):
    own = room(module_name(path))
    for imported in imports(path):
        other = room(imported)
        if other == "__version__":
            continue
        downward = level(other) > level(own)
        same_floor = level(own) == level(other) in (0, len(LEVELS) - 1)
        assert downward or other == own or same_floor, f"{own} imports {imported}"


def test_no_circles():
    edges = {module_name(path): set() for path in MODULES}
    for path in MODULES:
        for imported in imports(path):
            target = imported if imported in edges else imported.rpartition(".")[0]
            if target in edges and target != "kerastune_llm":
                edges[module_name(path)].add(target)
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in finished:
            for target in edges[module]:
                visit(target, (*trail, module))
            finished.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300, "look for the idea that is missing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            docstring = ast.get_docstring(node, clean=False) or ""
            code = lines - (docstring.count("\n") + 1 if docstring else 0)
            assert code <= 60, f"{node.name} has {code} lines"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_assert_and_no_print(path):
    may_print = path.name in ("cli.py", "pretrain.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            assert may_print, f"print at line {node.lineno}"


@pytest.mark.parametrize(
    "code",
    [
        "import kerastune_llm",
        "import kerastune_llm.cli as cli; cli.main(['train', 'sqad', '--x', '1'])",
        "import kerastune_llm.cli as cli; cli.main(['list'])",
    ],
)
def test_tensorflow_is_not_imported(code):
    check = f"{code}\nimport sys\nsys.exit(3 if 'tensorflow' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pytorch_is_never_imported():
    check = (
        "import sys, kerastune_llm\n"
        "for name in kerastune_llm.__all__: getattr(kerastune_llm, name)\n"
        "sys.exit(3 if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
