"""Build of the compiled engine; everything else is in pyproject.toml."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from threading import Lock

from Cython.Build import cythonize
from Cython.Build.Dependencies import create_dependency_tree
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError
from setuptools.modified import newer_group

ENGINE = Path("skmbsgd") / "_engine"
PRODUCTS = "skmbsgd._engine.row_kernels"
# With -O2 these are as fast as with -O3, and compile in two thirds of the time, if gcc
# vectorises as with -O3.
LARGE = [
    f"skmbsgd._engine.{name}"
    for name in (
        "rows",
        "csr_rows",
        "csr_model",
        "record_model",
        "in_place_model",
    )
]
# The code that Cython would otherwise write into each module
SHARED = "skmbsgd._engine._cython"
SHARED_SOURCE = ENGINE / "_cython.c"
SOURCES = [SHARED_SOURCE, *sorted(ENGINE.glob("*.pyx"))]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "auto_pickle": False,  # This code would be long, and is not needed.
}
MACROS = []

# For .ci/coverage: modules that report the lines they execute, and are slow
COVERAGE = os.environ.get("SKMBSGD_COVERAGE") == "1"
if COVERAGE:
    DIRECTIVES["linetrace"] = True
    MACROS += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]
    # Cython 3.3 forgets a function that traced modules need if others are shared.
    SHARED = None
    SOURCES.remove(SHARED_SOURCE)

# For .ci/mutants and development: slow modules that compile in half the time
UNOPTIMISED = COVERAGE or os.environ.get("SKMBSGD_UNOPTIMISED") == "1"

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
    """Whether the compiler that this Python needs is missing."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "").split()
    return bool(command) and shutil.which(command[0]) is None


def is_gcc(command):
    """Whether a compiler command is gcc, not clang."""
    told = subprocess.run([*command, "--version"], capture_output=True, text=True)
    return "Free Software Foundation" in told.stdout


class BuildEngine(build_ext):
    """Compile modules that are not up to date, next to the sources; explain a failure.

    If Python is started in the folder of the sources, this folder shadows the installed
    package, and an import of sources without compiled modules would fail.
    """

    # Cython does not promise to work in several threads at once.
    translation = Lock()

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        self.force = self.force or COVERAGE

    def run(self):
        try:
            super().run()
        except (CCompilerError, ExecError, PlatformError) as error:
            if compiler_is_missing():
                raise SystemExit(MISSING_COMPILER) from error
            raise
        if not self.inplace:
            for extension in self.extensions:
                target = self.get_ext_fullpath(extension.name)
                self.mkpath(os.path.dirname(target))
                self.copy_file(self.get_ext_filename(extension.name), target)

    def copy_extensions_to_source(self):
        """They are there already."""

    def build_extensions(self):
        self.inplace = True  # run() of the base class sets it back
        if self.compiler.compiler_type == "unix":
            for_large = ["-O2"]
            if is_gcc(self.compiler.compiler_so):
                for_large.append("-fvect-cost-model=dynamic")
            for extension in self.extensions:
                # Debugging information would take a third of the time. Floating-point
                # exceptions are not trapped, so a choice need not be a branch.
                flags = ["-g0", "-O3", "-fno-trapping-math"]
                if extension.name in LARGE:
                    flags += for_large
                if UNOPTIMISED:
                    flags.append("-O0")
                if extension.name != PRODUCTS:
                    # Fused multiply-adds of the newer instruction sets would make the
                    # bits of rules and losses depend on the processor.
                    flags.append("-ffp-contract=off")
                extension.extra_compile_args = flags
        self.translate(self.extensions[0])  # the shared code, by which others go
        super().build_extensions()

    def build_extension(self, extension):
        with self.translation:
            if self.is_current(extension):
                return
            self.translate(extension)
        super().build_extension(extension)

    def is_current(self, extension):
        """Whether a module is newer than everything that it is made from."""
        tree = create_dependency_tree(quiet=True)
        files = tree.all_dependencies(extension.sources[0])
        # Those of SciPy and Cython in a build environment were just installed.
        files = [file for file in files if not os.path.isabs(file)]
        # Headers include each other. Another Cython rewrites the shared code.
        files += [SHARED_SOURCE, "setup.py", *ENGINE.glob("*.h")]
        module = self.get_ext_fullpath(extension.name)
        return not self.force and not newer_group(files, module)

    def translate(self, extension):
        [translated] = cythonize(
            [extension],
            # If not forced, Cython keeps the shared code that its own version wrote.
            force=self.force or extension.name != SHARED,
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
        )
        extension.sources = translated.sources


setup(
    ext_modules=[
        Extension(f"skmbsgd._engine.{file.stem}", [str(file)], define_macros=MACROS)
        for file in SOURCES
    ],
    cmdclass={"build_ext": BuildEngine},
)
