"""Dependencies point one way (docs/adr, CONTRIBUTING.md): read from the imports, not from good intentions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each of the lower parts of `ebm` may import of `ebm`. Parts that are not named here (training,
# detector, artifact, ...) may import any of these; among themselves they only must not form a circle.
FOUNDATION = {"errors", "types", "config"}
MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "config": {"errors"},
    "calibration": FOUNDATION,
    "preprocessing": FOUNDATION,
    "data": FOUNDATION | {"preprocessing"},
    "energies": FOUNDATION,
    "samplers": FOUNDATION | {"energies"},
    "augment": FOUNDATION,
    "negatives": FOUNDATION | {"energies"},
    "objectives": FOUNDATION | {"augment", "energies", "negatives", "samplers"},
    "steps": set(),
    "cells": FOUNDATION | {"preprocessing"},
    "parzen": FOUNDATION | {"energies"},
    "attribution": FOUNDATION | {"samplers", "steps"},
    "nearest": FOUNDATION | {"attribution", "parzen", "samplers", "steps"},
    "restoration": FOUNDATION | {"samplers"},
    "noise_level": FOUNDATION | {"samplers"},
    "pixel_maps": FOUNDATION | {"energies", "preprocessing", "restoration", "samplers", "steps"},
    "conditional": FOUNDATION | {"energies", "parzen", "restoration", "samplers", "steps"},
    "compare": FOUNDATION | {"cells", "energies", "preprocessing", "samplers", "steps"},
    "classify": FOUNDATION | {"answers", "cells", "energies", "preprocessing", "steps"},
    "score_counts": {"calibration"},
    "drift": {"calibration", "score_counts"},
    "trimming": FOUNDATION | {"energies"},
    "leave_one_out": FOUNDATION | {"energies", "training"},
}
PICKLERS = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path for folder in ("ebm", "service") for path in sorted((ROOT / folder).rglob("*.py"))
}


def imports_of(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Full names of all that a module imports, inside functions too, but not for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[
                    : None if is_package and node.level == 1 else -(node.level - is_package)
                ]
                base = ".".join([*package, base]).rstrip(".")
            # `from package import name`: the name may be a module of the package or something inside it.
            yield from (
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base for alias in node.names
            )
        yield from imports_of(node, module, is_package)


def parsed(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


IMPORTS = {name: set(imports_of(parsed(name), name, FILES[name].stem == "__init__")) for name in FILES}


def part_of(module: str) -> str:
    """`ebm.samplers.langevin` -> `samplers`; the package itself -> ``."""
    return (module.split(".") + [""])[1]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse(
        "from . import config\nfrom .errors import BadInput\nfrom ..x import y\nimport ebm.types as t"
    )
    assert list(imports_of(tree, "ebm", True))[:2] == ["ebm.config", "ebm.errors"]
    assert list(imports_of(tree, "ebm.a.b", False)) == ["ebm.a", "ebm.a.errors", "ebm.x", "ebm.types"]


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_lower_parts_import_only_what_lies_below(part: str) -> None:
    wrong = [
        f"{module} imports {target}"
        for module, targets in IMPORTS.items()
        if within(module, f"ebm.{part}")
        for target in sorted(targets)
        if within(target, "ebm") and part_of(target) not in MAY_IMPORT[part] | {part}
    ]
    assert wrong == []


def test_every_lower_part_exists() -> None:
    missing = [part for part in MAY_IMPORT if f"ebm.{part}" not in FILES]
    assert missing == [], "a renamed part would slip out of the rules above"


def test_no_circles() -> None:
    graph = {
        module: {t for t in targets if t in FILES and t != module} for module, targets in IMPORTS.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_commands_that_run_the_service_know_it() -> None:
    wrong = [
        module
        for module, targets in IMPORTS.items()
        if within(module, "ebm")
        and module not in ("ebm.cli.serve", "ebm.cli.worker")
        and any(within(t, "service") for t in targets)
    ]
    assert wrong == []


def test_nothing_below_the_command_line_imports_it() -> None:
    wrong = [
        module
        for module, targets in IMPORTS.items()
        if not within(module, "ebm.cli") and module != "ebm.__main__"  # which is the command line
        if any(within(t, "ebm.cli") for t in targets)
    ]
    assert wrong == []


def test_the_service_does_not_learn() -> None:
    learning = ("ebm.objectives", "ebm.training")
    wrong = [
        f"{module} imports {target}"
        for module, targets in IMPORTS.items()
        if within(module, "service")
        for target in sorted(targets)
        if any(within(target, package) for package in learning)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", sorted(FILES))
def test_nothing_is_pickled_and_only_the_command_line_prints(module: str) -> None:
    pickling = sorted(target for target in IMPORTS[module] if target.split(".")[0] in PICKLERS)
    assert pickling == []
    calls = [node for node in ast.walk(parsed(module)) if isinstance(node, ast.Call)]
    for call in calls:
        name = ast.unparse(call.func)
        assert name not in ("torch.save", "torch.load"), f"line {call.lineno}: use safetensors"
        if name in ("np.load", "numpy.load"):
            keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert keywords.get("allow_pickle") == "False", (
                f"line {call.lineno}: allow_pickle=False is missing"
            )
        if not within(module, "ebm.cli"):
            assert name != "print", f"line {call.lineno} prints"
