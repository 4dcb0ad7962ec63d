"""The one error a user can mend, and the check for optional packages."""

import importlib
from types import ModuleType


class UserError(Exception):
    """Something the user can mend: one sentence that names the file or value and the way out."""


def need(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    >>> need("json", extra="papers").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise UserError(f"this needs the package {module!r}: pip install 'edubba[{extra}]'") from None
