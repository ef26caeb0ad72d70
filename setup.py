"""Build of the one extension module; everything static is in pyproject.toml.

Environment:
  LOSSEXT_OPENMP = auto (default: serial with a warning where OpenMP does not link) | on (then an error) | off
  LOSSEXT_LEVELS = instruction sets to build besides the baseline (default "avx2,avx512"; "" for none)
  LOSSEXT_KERNEL_CC = a clang-cl for the kernels alone (Windows: MSVC has no vectors for them; the rest is MSVC's)
  LOSSEXT_ABI3   = auto (default: one wheel for all CPython >= 3.11 that have a GIL) | off
"""

import functools
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

KERNELS = Path("src/lossext/_kernels")
KERNEL_CC = os.environ.get("LOSSEXT_KERNEL_CC", "")
ABI3 = os.environ.get("LOSSEXT_ABI3", "auto") != "off" and not sysconfig.get_config_var("Py_GIL_DISABLED")

FLAGS = {
    # no -ffast-math: it would change the floating-point state of every process that imports this;
    # no contraction: value, gradient and both together are to have the same bits
    "unix": [
        "-g0",
        "-std=gnu11",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        "-fvisibility=hidden",
    ],
    "msvc": ["/O2", "/std:c11", "/fp:precise"],
}
WIDE = "-mprefer-vector-width=512"
LEVELS = {
    "avx2": {"unix": ["-mavx2", "-mfma", "-mbmi2", "-mpopcnt"], "msvc": ["/arch:AVX2"]},
    "avx512": {
        "unix": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mbmi2", "-mpopcnt", WIDE],
        "msvc": ["/arch:AVX512"],
    },
}
# short loops of known length are unrolled away, as with -O3, at two thirds of its size
LOSS_OPTIMIZATION = ["-O2", "-fpeel-loops"]
UNITS = ("element_shared", "row_shared", "row_classes", "objective", "maths", "layer/layer")  # beside the losses
TYPES = {"f32": [], "f64": [("LX_DOUBLE", "1")]}

# structs of vectors are to live in registers; a copy through memory goes in pieces that are read back as a whole, for
# which a processor waits
WHOLE_STRUCTS = ["--param=sra-max-scalarization-size-Ospeed=4096"]

# what a compiler and linker know of these: no executable stack, no table of functions that stays writable, canaries of
# arrays on the stack, checked lengths of memcpy, branch targets
HARDENING = {
    "compile": [
        ["-fstack-protector-strong"],
        ["-fstack-clash-protection"],
        ["-fcf-protection"],
        ["-mbranch-protection=standard"],
        ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"],
    ],
    "link": [["-Wl,-z,relro", "-Wl,-z,now"], ["-Wl,-z,noexecstack"]],
}

X86_PROBE = "#if !(defined(__x86_64__) || defined(_M_X64))\n#error\n#endif\nint main(void) { return 0; }\n"
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def openmp_flags(kind):
    """(compile, link) flags to try, in order."""
    if kind == "msvc":
        return [(["/openmp"], [])]
    candidates = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":
        prefixes = filter(None, [os.environ.get("LIBOMP_PREFIX"), homebrew_prefix("libomp")])
        candidates += [
            (["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"], [f"-L{prefix}/lib", "-lomp"]) for prefix in prefixes
        ]
    return candidates


def homebrew_prefix(formula):
    try:
        return subprocess.run(["brew", "--prefix", formula], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class Loss(NamedTuple):
    """A kernel to build: a header losses/<family>/<header>.h, for one of its variants if it has any."""

    family: str
    header: str
    parameters: str
    variant: tuple[str, str] | None

    @property
    def name(self):
        return f"{self.header}_{self.variant[1]}" if self.variant else self.header


def losses():
    """Every loss: a file in losses/<family>/ whose name does not begin with an underscore is one."""
    for path in sorted((KERNELS / "losses").glob("*/[!_]*.h")):
        text = path.read_text()
        parameters = re.search(r"^(?:PARAMETERS\((.*)\)|NO_PARAMETERS)$", text, re.MULTILINE)
        if not parameters:
            raise SystemExit(f"lossext: {path} has neither PARAMETERS(...) nor NO_PARAMETERS")
        names = re.sub(r"\s", "", parameters[1] or "")
        variant = re.search(r"^VARIANT\((.*)\)$", text, re.MULTILINE)
        key, *values = re.sub(r"\s", "", variant[1]).split(",") if variant else (None, None)
        for value in values:
            yield Loss(path.parent.name, path.stem, names, (key, value) if variant else None)


def read_with_includes(path, seen=None):
    """The text of a C file and of all headers of this project that it includes."""
    seen = set() if seen is None else seen
    if path in seen or not path.exists():
        return ""
    seen.add(path)
    text = path.read_text()
    folders = (path.parent, KERNELS)
    names = re.findall(r'^#include "(.*)"', text, re.MULTILINE)
    return text + "".join(read_with_includes((f / name).resolve(), seen) for name in names for f in folders)


def loss_macros(loss):
    macros = [("LX_LOSS", f'"losses/{loss.family}/{loss.header}.h"')]
    return [*macros, loss.variant] if loss.variant else macros


class BuildExt(build_ext):
    @property
    def kind(self):
        return "msvc" if self.compiler.compiler_type == "msvc" else "unix"

    def compiles(self, code, compile_flags=(), link_flags=None):
        """Whether the target compiler takes this.  Nothing is run, so it answers for a cross build too."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(code)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=list(compile_flags))
                if link_flags is not None:
                    self.compiler.link_shared_object(objects, str(Path(folder) / "probe.so"), extra_postargs=link_flags)
            except Exception:  # CompileError or LinkError of whichever distutils this is
                return False
        return True

    def openmp(self):
        wish = os.environ.get("LOSSEXT_OPENMP", "auto")
        if wish not in ("auto", "on", "off"):
            raise SystemExit(f"lossext: LOSSEXT_OPENMP = {wish!r} is not one of auto, on, off")
        if wish == "off":
            return [], []
        for compile_flags, link_flags in openmp_flags(self.kind):
            if self.compiles(OPENMP_PROBE, compile_flags, link_flags):
                return compile_flags, link_flags
        message = "lossext: no OpenMP for this compiler (Linux: libgomp or libomp-dev; macOS: brew install libomp)"
        if wish == "on":
            raise SystemExit(f"{message}; LOSSEXT_OPENMP=on makes this an error")
        print(f"WARNING: {message}; the build will be serial", file=sys.stderr)
        return [], []

    def levels(self):
        wish = [level for level in os.environ.get("LOSSEXT_LEVELS", "avx2,avx512").split(",") if level]
        if not set(wish) <= set(LEVELS):
            raise SystemExit(f"lossext: LOSSEXT_LEVELS = {','.join(wish)!r} is not a list of {', '.join(LEVELS)}")
        if not self.compiles(X86_PROBE):
            return []
        return [level for level in LEVELS if level in wish and self.compiles_kernel(level)]

    def compiles_kernel(self, level):
        """Whether the compiler takes a kernel for this level, not only the level's flags."""
        loss = next(loss for loss in losses() if loss.family == "row")
        macros = [*loss_macros(loss), (f"LX_ISA_{level.upper()}", "1"), ("LX_KERNEL", "probe"), ("LX_SUFFIX", "probe")]
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.compile_kernel(KERNELS / "row.c", folder, macros, [KERNELS], self.kernel_flags(["-O1"], level))
            except Exception:  # CompileError of whichever distutils this is, or clang-cl's
                return False
        return True

    def kernel_flags(self, optimization, level):
        if self.kind == "unix" or KERNEL_CC:
            own = LEVELS.get(level, {}).get("unix", [])
            return [*FLAGS["unix"], *optimization, *self.whole_structs, *self.hardening, *own]
        return [*FLAGS["msvc"], *LEVELS.get(level, {}).get("msvc", [])]

    def compile_kernel(self, source, folder, macros, includes, flags):
        """By the compiler of the extension, or by KERNEL_CC."""
        if not KERNEL_CC:
            return self.compiler.compile(
                [str(source)],
                output_dir=str(folder),
                macros=macros,
                include_dirs=list(map(str, includes)),
                extra_postargs=flags,
            )
        Path(folder).mkdir(parents=True, exist_ok=True)
        target = Path(folder) / f"{Path(source).stem}.obj"
        command = [KERNEL_CC, *(f"/clang:{flag}" for flag in flags), *(f"-I{path}" for path in includes)]
        command += [*(f"-D{name}={value}" for name, value in macros), "/c", str(source), f"/Fo{target}"]
        subprocess.run(command, check=True)
        return [str(target)]

    def knows(self, flags):
        return self.compiles("int main(void) { return 0; }\n", ["-O2", "-Werror", *flags])

    @functools.cached_property
    def whole_structs(self):
        return WHOLE_STRUCTS if self.kind == "unix" and not KERNEL_CC and self.knows(WHOLE_STRUCTS) else []

    @functools.cached_property
    def sanitized(self):
        return self.kind == "unix" and any("-fsanitize" in flag for flag in self.compiler.compiler_so)

    @functools.cached_property
    def hardening(self):
        """Those of the flags that this compiler has; a sanitizer looks closer by itself."""
        if self.kind != "unix" or self.sanitized:
            return []
        return [flag for flags in HARDENING["compile"] if self.knows(flags) for flag in flags]

    def link_hardening(self):
        if self.kind != "unix":
            return []
        found = []
        for flags in HARDENING["link"]:
            if self.compiles("int main(void) { return 0; }\n", [], flags):
                found += flags
        return found

    def kernel_objects(self, levels, generated):
        """Every loss from the one source of its family, and the other kernels, by type and instruction set."""
        small = LOSS_OPTIMIZATION if self.knows(LOSS_OPTIMIZATION) else ["-O2"]
        units = [(loss.family, f"{loss.family}_{loss.name}", small, loss_macros(loss)) for loss in losses()]
        large = ["-O1"] if self.sanitized else ["-O3"]  # with checks, -O3 takes four times as long to compile
        units += [(name, Path(name).name, large, []) for name in UNITS]
        jobs = []
        for source, unit, optimization, macros in units:
            for level in ["baseline", *levels]:
                for suffix, type_macros in TYPES.items():
                    kernel = f"lx_{unit}_{level}_{suffix}"
                    own = [(f"LX_ISA_{level.upper()}", "1"), ("LX_KERNEL", kernel), ("LX_SUFFIX", f"{level}_{suffix}")]
                    flags = self.kernel_flags(optimization, level)
                    jobs.append((KERNELS / f"{source}.c", kernel, [*type_macros, *macros, *own], flags))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [path for paths in pool.map(lambda job: self.compile_to(*job, generated), jobs) for path in paths]

    def compile_to(self, source, name, macros, flags, generated):
        """Compile, unless an object of the same text, compiler and flags is there."""
        folder = Path(self.build_temp) / name
        loss = dict(macros).get("LX_LOSS", "").strip('"')
        text = read_with_includes(source.resolve()) + (read_with_includes((KERNELS / loss).resolve()) if loss else "")
        command = repr((getattr(self.compiler, "compiler_so", self.kind), flags, macros, self.compiler_version))
        stamp, fresh = folder / "stamp", hashlib.sha256((command + text).encode()).hexdigest()
        objects = [str(folder / f"{source.stem}.obj")]
        if not KERNEL_CC:
            objects = self.compiler.object_filenames([str(source)], output_dir=str(folder))
        if stamp.exists() and stamp.read_text() == fresh and all(map(os.path.exists, objects)):
            return objects
        stamp.unlink(missing_ok=True)
        objects = self.compile_kernel(source, folder, macros, [KERNELS, generated], flags)
        stamp.write_text(fresh)
        return objects

    @functools.cached_property
    def compiler_version(self):
        """What the compiler says of itself: another one makes other objects."""
        command = getattr(self.compiler, "compiler_so", None)
        if not command:
            return self.kind
        return subprocess.run([command[0], "--version"], capture_output=True, text=True, check=False).stdout

    def build_extensions(self):
        from Cython.Build import cythonize

        if not self.compiles("int main(void) { return 0; }\n"):
            raise SystemExit("lossext: no working C compiler (CC says which one)")
        generated = Path(self.build_temp) / "generated"
        generated.mkdir(parents=True, exist_ok=True)
        lines = (f'LX_LOSS({loss.family}, {loss.name}, "{loss.parameters}")\n' for loss in losses())
        (generated / "lx_losses.inc").write_text("".join(lines))

        openmp_compile, openmp_link = self.openmp()
        levels = self.levels()
        (ext,) = self.extensions
        # here and not at import of setup.py, so that the sdist holds the .pyx and not the C made from it
        ext.sources = cythonize([ext], build_dir=str(generated))[0].sources
        ext.sources += [str(KERNELS / "dispatch.c"), str(KERNELS / "runtime.c")]
        ext.include_dirs = [str(KERNELS), str(generated)]
        ext.define_macros += [(f"LX_HAVE_{level.upper()}", "1") for level in levels]
        ext.extra_compile_args = FLAGS[self.kind] + (["-O3"] if self.kind == "unix" else []) + openmp_compile
        ext.extra_compile_args += self.hardening
        ext.extra_link_args = openmp_link + self.link_hardening()
        if hasattr(self.compiler, "linker_so"):  # a search path of the machine that Python was built on
            self.compiler.linker_so = [flag for flag in self.compiler.linker_so if not flag.startswith("-Wl,-rpath")]
        ext.extra_objects = self.kernel_objects(levels, generated)
        if self.kind == "unix":
            ext.libraries = ["m"]
        super().build_extensions()


class BdistWheel(bdist_wheel):
    def finalize_options(self):
        if ABI3:
            self.py_limited_api = "cp311"
        super().finalize_options()


setup(
    ext_modules=[
        Extension(
            "lossext._kernels.drivers",
            [str(KERNELS / "drivers.pyx")],
            depends=sorted(str(path) for path in KERNELS.rglob("*") if path.suffix in {".c", ".h", ".pxi"}),
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
            py_limited_api=ABI3,
        )
    ],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)
