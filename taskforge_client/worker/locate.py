"""Finds an app by its path ``module:name``, and the path of an app at hand."""

import sys
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from taskforge_client.errors import NotConfigured
from taskforge_client.worker.workable import Workable


def load_app(path: str) -> Workable:
    """Import and return the app at ``module:name``.

    Raises:
        NotConfigured: the path is malformed, the module or the name is missing, or it is no app.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise NotConfigured(f"APP {path!r} is no path of an app; write module:name, as in shop:app")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it imports is not
        raise NotConfigured(
            f"APP {path!r}: there is no module {error.name!r}; "
            "start where it can be imported, or set PYTHONPATH"
        ) from None
    app = getattr(module, name, None)
    if app is None:
        raise NotConfigured(f"APP {path!r}: {module_name} has no {name!r}{_nearest(module, name)}")
    if not _is_workable(app):
        raise NotConfigured(f"APP {path!r} is a {type(app).__name__}; a TaskForge is needed")
    found: Workable = app
    return found


def path_of(app: Workable) -> str | None:
    """Return ``module:name`` of an app that is a variable of an imported module.

    None for any other. The main script has another name in other processes, so an app in it has a
    path only when it was started as a module.
    """
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                importable = _importable_name(module_name, module)
                if importable is not None:
                    return f"{importable}:{name}"
    return None


def _importable_name(module_name: str, module: ModuleType) -> str | None:
    if module_name != "__main__":
        return module_name
    spec = module.__spec__
    return None if spec is None else spec.name


def _nearest(module: ModuleType, name: str) -> str:
    apps = [other for other, value in vars(module).items() if _is_workable(value)]
    near = get_close_matches(name, apps, n=1) or apps
    return f"; did you mean {module.__name__}:{near[0]}?" if near else ""


def _is_workable(value: object) -> bool:
    return not isinstance(value, type) and all(
        hasattr(value, attribute) for attribute in ("tasks", "resources", "arounds")
    )
