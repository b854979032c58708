"""Build of the compiled engine; everything else stands in pyproject.toml."""

import os
import shutil
import sysconfig
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ENGINE = Path("skmbsgd") / "_engine"
PRODUCTS = "skmbsgd._engine.batches"

MISSING_COMPILER = """
skmbsgd has a compiled part, and no working C compiler was found.
Install one and try again:
    Debian, Ubuntu:  sudo apt-get install gcc python3-dev
    Fedora:          sudo dnf install gcc python3-devel
    macOS:           xcode-select --install
    Windows:         the "Build Tools for Visual Studio", with the C++ workload
    conda:           conda install c-compiler
"""


def compiler_is_missing():
    """Tell whether the compiler that this Python asks for is not to be found."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "").split()
    return bool(command) and shutil.which(command[0]) is None


class BuildEngine(build_ext):
    """Compile, explain a missing compiler, and serve the source folder as well."""

    def run(self):
        try:
            super().run()
        except (CCompilerError, ExecError, PlatformError) as error:
            if compiler_is_missing():
                raise SystemExit(MISSING_COMPILER) from error
            raise
        if not self.inplace:
            self.serve_source_folder()

    def serve_source_folder(self):
        """Put the modules beside their sources too.

        The folder of the sources shadows the installed package for whoever starts
        Python in it, and an import of the bare sources would fail.
        """
        try:
            self.copy_extensions_to_source()
        except OSError:
            self.warn("the source folder is read-only: import from elsewhere")

    def build_extensions(self):
        if self.compiler.compiler_type == "unix":
            for extension in self.extensions:
                extension.extra_compile_args = ["-O3"]
                if extension.name != PRODUCTS:
                    # A fused multiply-add would leave a rounding error where a
                    # coefficient that L1 removes must become exactly 0.
                    extension.extra_compile_args.append("-ffp-contract=off")
        super().build_extensions()


setup(
    ext_modules=cythonize(
        [
            Extension(
                f"skmbsgd._engine.{source.stem}",
                [str(source)],
                include_dirs=[numpy.get_include(), str(ENGINE)],
                depends=[str(header) for header in ENGINE.glob("*.h")],
            )
            for source in sorted(ENGINE.glob("*.pyx"))
        ],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildEngine},
)
