"""Apache Iceberg: tables, catalogs, snapshots, data files, maintenance."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Deferred(ModuleType):
    """A module that is imported when something of it is used; importlib's lazy one is when anyone lists all modules."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        _DEFERRED.discard(self.__name__)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _DeferringImporter(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _DEFERRED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty until something of it is used."""


# PyIceberg imports them for its configuration file and for filters written as text
_DEFERRED = {"strictyaml", "pyiceberg.expressions.parser"}
sys.meta_path.insert(0, _DeferringImporter())
