"""Load a strategy's class from `package.module:Class` or `path/to/file.py:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from workers.strategies import Strategy, StrategyError


def load_strategy(where: str) -> type[Strategy]:
    """Load the class that `where` names. An error inside the user's own file is passed on unchanged."""
    source, _, name = where.rpartition(":")
    if not source or not name.isidentifier():
        raise StrategyError(f"{where!r} names no strategy: use package.module:Class or path/to/file.py:Class")
    module = _from_file(Path(source).expanduser()) if source.endswith(".py") else _from_package(source)
    found = getattr(module, name, None)
    if found is None:
        known = [n for n, v in vars(module).items() if _is_strategy(v) and v.__module__ == module.__name__]
        raise StrategyError(f"{source} has no class {name}; its strategies are: {', '.join(known) or 'none'}")
    if not _is_strategy(found):
        raise StrategyError(f"{where} is not a subclass of workers.strategies.Strategy")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise StrategyError(f"{where} does not define {', '.join(missing)}")
    strategy: type[Strategy] = found
    return strategy


def _is_strategy(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # the module exists; a module it imports does not
        raise StrategyError(f"there is no module {name}; for a file write path/to/{name}.py:Class") from None


def _from_file(path: Path) -> ModuleType:
    path = path.absolute()
    if not path.is_file():
        raise StrategyError(f"there is no file {path}")
    name = f"aegis_strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up their module here
    spec.loader.exec_module(module)
    return module
