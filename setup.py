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
from setuptools.modified import newer_group

ENGINE = Path("skmbsgd") / "_engine"
PRODUCTS = "skmbsgd._engine.rows"
SOURCES = sorted(
    str(path) for pattern in ("*.pyx", "*.pxd", "*.h") for path in ENGINE.glob(pattern)
)

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "freethreading_compatible": True,
}
MACROS = []

# For .ci/coverage: modules that report the lines they execute, and are slow
COVERAGE = os.environ.get("SKMBSGD_COVERAGE") == "1"
if COVERAGE:
    DIRECTIVES["linetrace"] = True
    MACROS += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]

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

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

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
                # Nobody traps floating-point exceptions: a choice between two results
                # need not be a branch.
                extension.extra_compile_args = [
                    "-O0" if COVERAGE else "-O3",
                    "-fno-trapping-math",
                ]
                if extension.name != PRODUCTS:
                    # A fused multiply-add would leave a rounding error where a
                    # coefficient that L1 removes must become exactly 0.
                    extension.extra_compile_args.append("-ffp-contract=off")
        for extension in self.extensions:
            if not self.is_current(extension):
                # One after the other: Cython does not promise to work in threads.
                [translated] = cythonize([extension], compiler_directives=DIRECTIVES)
                extension.sources = translated.sources
        super().build_extensions()

    def build_extension(self, extension):
        if self.is_current(extension):
            target = self.get_ext_fullpath(extension.name)
            self.mkpath(os.path.dirname(target))
            self.copy_file(self.get_ext_filename(extension.name), target)
        else:
            super().build_extension(extension)

    def is_current(self, extension):
        """Tell whether an editable installation may keep the module that is there.

        It builds in a new folder each time, where nothing is ever up to date, although
        it is the module in the source folder that will be imported.
        """
        module = self.get_ext_filename(extension.name)
        may_keep = self.editable_mode and not self.force and not COVERAGE
        return may_keep and not newer_group([*SOURCES, "setup.py"], module)


setup(
    ext_modules=[
        Extension(
            f"skmbsgd._engine.{Path(source).stem}",
            [source],
            include_dirs=[numpy.get_include(), str(ENGINE)],
            define_macros=MACROS,
            depends=[header for header in SOURCES if header.endswith(".h")],
        )
        for source in SOURCES
        if source.endswith(".pyx")
    ],
    cmdclass={"build_ext": BuildEngine},
)
