"""Apache Iceberg: tables, catalogs, snapshots, data files, maintenance."""

import importlib
import sys
from types import ModuleType


class _Deferred(ModuleType):
    """A module that is imported when something of it is used; importlib's lazy one is when anyone lists all modules."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


for unused in ("strictyaml", "pyiceberg.expressions.parser"):  # for its configuration file, for filters as text
    sys.modules.setdefault(unused, _Deferred(unused))
