"""Puts libloravk into the wheel, which is then for this kind of machine and for any Python 3."""
import os, sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LibraryHook(BuildHookInterface):
    def initialize(self, version, build_data):
        library = os.environ.get("LORAVK_LIBRARY")
        if not library:
            raise RuntimeError("LORAVK_LIBRARY is not set: build the wheel with scripts/package-wheel")
        build_data["force_include"][library] = "loravk/libloravk.so"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
