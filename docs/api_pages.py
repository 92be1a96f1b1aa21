"""The reference, from docstrings: a page a package, read without importing it."""

import ast
from pathlib import Path

from papers import list_papers

SHARED = {
    "api/layers.md": ("Layers", "common.layers", "common/layers/__init__.py"),
    "api/models.md": ("Models", "common.models", "common/models/__init__.py"),
    "api/tasks.md": ("Tasks", "common.tasks", "common/tasks/__init__.py"),
}


def api_pages(root: Path) -> dict[str, str]:
    """Path of a page to its Markdown."""
    pages = {}
    for page, (title, package, source) in SHARED.items():
        pages[page] = _package(title, package, root / source)
    pages["api/ops.md"] = _ops(root)
    for path in sorted((root / "common" / "ops").glob("[!_]*.py")):
        module = f"common.ops.{path.stem}"
        pages[f"api/ops/{path.stem}.md"] = _module(path.stem, module)
    for name in list_papers():
        init = root / "papers" / name / "__init__.py"
        pages[f"api/papers/{name}.md"] = _package(name, f"papers.{name}", init)
    return pages


def _package(title: str, package: str, source: Path) -> str:
    """What a package exports, each where it is defined."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    origins = _origins(tree, package)
    text = (ast.get_docstring(tree) or "").strip()
    blocks = [f"::: {origins[name]}\n" for name in _exported(tree) if name in origins]
    return "\n".join([f"# {title}\n", f"`{package}`\n", f"{text}\n", *blocks])


def _module(title: str, module: str) -> str:
    options = "    options: { show_root_heading: false, show_root_toc_entry: false }\n"
    return f"# {title}\n\n`{module}`\n\n::: {module}\n{options}"


def _ops(root: Path) -> str:
    package = root / "common" / "ops"
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    lines = []
    for path in sorted(package.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        about = (ast.get_docstring(tree) or "").partition("\n")[0]
        lines.append(f"- [`{path.stem}`](ops/{path.stem}.md): {about}")
    return f"# Operations\n\n`common.ops`\n\n{text}\n\n## Modules\n\n" + "\n".join(lines) + "\n"


def _exported(tree: ast.Module) -> list[str]:
    """The names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _origins(tree: ast.Module, package: str) -> dict[str, str]:
    """Exported name to its full path, whether it is imported or exported lazily."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            found |= {name.name: f"{node.module}.{name.name}" for name in node.names}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for keyword in node.value.keywords:
                if keyword.arg and isinstance(keyword.value, ast.Constant):
                    module = f"{package}.{keyword.value.value!s}"
                    found[keyword.arg] = f"{module}.{keyword.arg}"
    return found
