"""Everything one does with the course, on Linux, macOS and Windows.

python tools/course.py TARGET [arguments]; "make TARGET" does the same.
Every target first makes the environment .venv, if it is missing or out of date.
"""

# Until the environment exists: standard library only, and syntax that an old Python can read,
# so that its user is told which Python to take.
import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BACKENDS_VENV = ROOT / "build" / "backends"  # JAX and PyTorch
LOWEST_VENV = ROOT / "build" / "lowest"  # the lowest versions that pyproject.toml admits
HUB_VENV = ROOT / "build" / "hub"  # JupyterHub, and what the lessons without Keras need
COURSE = ["-e", ".[course,test,docs]"]  # what .venv holds
BACKENDS = {"tensorflow": VENV, "jax": BACKENDS_VENV, "torch": BACKENDS_VENV}
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
START = "notebooks/00_start_here.ipynb"


# The environments


def python_of(venv):
    """Return the path of an environment's Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp_of(venv):
    """Return the path of the file that says from what an environment was completed."""
    return venv / "kl_course.stamp"


def digest():
    """Return the hash of the files that define the environments."""
    return hashlib.sha256(PYPROJECT.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()


def is_complete(venv):
    """Tell whether an environment was once completed."""
    return python_of(venv).exists() and stamp_of(venv).is_file()


def is_current(venv):
    """Tell whether it was completed from the present pyproject.toml and constraints.txt."""
    return is_complete(venv) and stamp_of(venv).read_text() == digest()


def supported_python():
    """Return the minor versions of Python 3 that pyproject.toml admits, as a range."""
    requirement = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', PYPROJECT.read_text())
    return range(*map(int, requirement.groups()))


def check_python():
    """Exit with a remedy if this Python cannot make the environment."""
    supported = supported_python()
    if sys.version_info[0] != 3 or sys.version_info[1] not in supported:
        sys.exit(
            f"The course needs Python 3.{supported[0]} to 3.{supported[-1]}; this is "
            f"{sys.version.split()[0]} ({sys.executable}). Install one of these versions and name "
            f"it: make PYTHON=python3.{supported[-2]} lab\n"
            f"(without make: python3.{supported[-2]} tools/course.py lab)"
        )
    if importlib.util.find_spec("ensurepip") is None:  # Debian packs it apart
        sys.exit(
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            f"sudo apt install python3.{sys.version_info[1]}-venv"
        )


def make_environment(venv, size, *packages, constraints=None, python=sys.executable):
    """Make an environment, or bring it up to date if it was complete before.

    Its versions are those of constraints.txt, or of another such file.
    """
    name = venv.relative_to(ROOT).as_posix()
    if not is_complete(venv) and not runs_inside(venv):
        check_python()
        print(f"Making {name}: this takes a few minutes, once, and {size} on disk.", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
    else:
        print(f"Updating {name}: pyproject.toml or constraints.txt has changed.", flush=True)
    install(venv, *packages, constraints=constraints)


def install(venv, *packages, constraints=None):
    """Install packages into an environment; the stamp, written last, says that it is complete."""
    stamp_of(venv).unlink(missing_ok=True)
    pip = [python_of(venv), "-m", "pip", "install", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", constraints or CONSTRAINTS, *packages], cwd=ROOT, check=True)
    stamp_of(venv).write_text(digest())


def resolve(output, *choice):
    """Write the versions of all packages to a file: no paths, and no addresses of registries."""
    run_module("pip", "install", "--quiet", "--upgrade", "uv")
    options = ["--no-header", "--no-annotate", *choice, PYPROJECT.name, "-o", str(output)]
    return run_module("uv", "pip", "compile", *options)


def runs_inside(venv):
    """Tell whether this process runs in an environment."""
    return Path(sys.prefix).resolve() == venv.resolve()


def run(*command):
    """Run a command of .venv in the root of the project; return its exit status."""
    process = subprocess.Popen(command, cwd=ROOT)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command to answer
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, handler)


def run_module(*arguments):
    """Run ``python -m`` of .venv; return its exit status."""
    return run(sys.executable, "-m", *arguments)


@contextmanager
def isolated():
    """Give kernels and tests known settings, those of tools/ipython, and none of the user's own."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        shutil.copytree(ROOT / "tools" / "ipython", Path(scratch, "ipython"))
        os.environ["IPYTHONDIR"] = str(Path(scratch, "ipython"))  # kernels write into it
        for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
            os.environ[f"JUPYTER_{name}"] = str(Path(scratch, name))
        for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "MPLBACKEND"):
            os.environ.pop(name, None)
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["KERAS_HOME"] = str(Path(scratch, "keras"))  # a keras.json may say otherwise
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


# The targets


def lab(arguments):
    """Open the course in JupyterLab."""
    options = ["--ServerApp.ip=localhost", f"--ServerApp.root_dir={ROOT}"]
    never = "jupyterlab.handlers.announcements.NeverCheckForUpdate"  # the course works offline
    options.append(f"--LabApp.check_for_updates_class={never}")
    # A container's user is often root; the server listens on loopback only and wants its token.
    return run_module("jupyterlab", START, *options, "--allow-root", *arguments)


def course(arguments):
    """Execute all notebooks, or those named, and print what they used."""
    import notebooks

    with isolated():
        return notebooks.course(arguments)


def test(arguments):
    """Run the unit tests and compare every notebook with its stored outputs."""
    differing = unpinned(CONSTRAINTS.read_text())
    if differing:
        print("Outputs are not compared; these versions are not those of constraints.txt:")
        print(*differing, sep="\n")
        if os.environ.get("CI") == "true":
            print("In CI that is an error: install with pip install -c constraints.txt.")
            return 1
    with isolated():
        return run_module(*pytest_command(compare=not differing), *arguments)


def pytest_command(compare):
    """Return what runs the unit tests and the notebooks, whose outputs are compared or not."""
    nbval = ["--nbval" if compare else "--nbval-lax", "--nbval-current-env"]
    nbval += ["--nbval-cell-timeout=120"]
    workers = ["-n", "2", "--dist", "loadfile"]  # the cells of a notebook share a kernel
    return ["pytest", *workers, *nbval, "--doctest-modules", "-m", "not browser and not hub"]


def test_lowest(arguments):
    """Run the tests on the lowest versions that pyproject.toml admits; outputs are not compared."""
    if not is_current(LOWEST_VENV):
        versions = LOWEST_VENV.with_suffix(".txt")
        versions.parent.mkdir(exist_ok=True)
        extras = ["--extra", "course", "--extra", "test"]
        status = resolve(versions, "--resolution", "lowest-direct", "--quiet", *extras)
        if status:
            return status
        packages = ["-e", ".[course,test]"]
        make_environment(LOWEST_VENV, "3 GB", *packages, constraints=versions)
    with isolated():
        command = pytest_command(compare=False)
        return run(python_of(LOWEST_VENV), "-m", *command, *arguments)


def unpinned(constraints):
    """List the installed packages whose version is not the constraints' own."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    differing = []
    for pin in map(Requirement, constraints.splitlines()):
        if pin.marker is None or pin.marker.evaluate():
            try:
                installed = version(pin.name)
            except PackageNotFoundError:
                continue
            if installed not in pin.specifier:
                differing.append(f"  {pin.name} {installed} (constraints: {pin.specifier})")
    return differing


def refresh(arguments):
    """Execute the notebooks and store their outputs in place."""
    import notebooks

    with isolated():
        return notebooks.refresh(arguments)


def site(arguments):
    """Build the site from the stored outputs."""
    pages = ROOT / "build" / "site"
    sphinx = ["sphinx", "-W", "--keep-going", "-b", "html", *arguments, "docs", str(pages)]
    status = run(sys.executable, "docs/fetch_assets.py") or run_module(*sphinx)
    if status == 0:
        print(f"Open {pages / 'index.html'}")
    return status


def test_browser(arguments):
    """Work through the notebooks and the site in a real browser."""
    return run_module("pytest", "-m", "browser", *arguments)


def test_backends(arguments):
    """Run the tests of kl_course.nn on TensorFlow, JAX and PyTorch, the last two apart from .venv.

    Their environment has no TensorFlow: the package must do without.
    """
    if not is_current(BACKENDS_VENV):
        make_environment(BACKENDS_VENV, "2 GB", "keras", "-e", ".[backends,test]")
    # The settings above tests/nn load the tools for notebooks, which the second has not.
    pytest = ["-m", "pytest", "-q", "--confcutdir=tests/nn", "tests/nn", *arguments]
    status = 0
    with isolated():
        for backend, venv in BACKENDS.items():
            print(f"{backend}: ", end="", flush=True)
            os.environ["KERAS_BACKEND"] = backend
            command = [python_of(venv), *pytest]
            result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            status = status or result.returncode
            lines = result.stdout.splitlines()
            print(*(lines if result.returncode else lines[-1:]), sep="\n")
    return status


def test_hub(arguments):
    """Run a class of ten on a JupyterHub of this machine; needs Linux, root and Node.js."""
    npm = shutil.which("npm")
    if sys.platform == "linux" and os.geteuid() == 0 and npm:  # else the tests are skipped
        if not is_current(HUB_VENV):
            make_environment(HUB_VENV, "0.8 GB", *hub_packages(), python=python_for_all())
        folder = ROOT / "tests" / "hub"
        wanted, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
        if not done.exists() or done.stat().st_mtime < wanted.stat().st_mtime:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, check=True)
    return run_module("pytest", "-m", "hub", "tests/hub", *arguments)


def hub_packages():
    """Return what the environment of the hub holds: TensorFlow's 2 GB are not needed there."""
    import tomllib

    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    return [".", *(p for p in extras["course"] + extras["hub"] if p != "kl_course[nn]")]


def python_for_all():
    """Return a supported Python that every user of this machine may run."""
    for python in (sys._base_executable, *map("/usr/bin/python3.{}".format, supported_python())):
        path = Path(python).resolve()
        if path.exists() and all(folder.stat().st_mode & 0o001 for folder in path.parents):
            return python
    sys.exit(
        f"{sys._base_executable} is in a folder that other users cannot enter, and there is no "
        "other Python that fits. On Debian and Ubuntu: sudo apt install python3-venv"
    )


def test_wheel(arguments):
    """Build wheel and sdist, and run the unit tests with each in an empty environment."""
    import archives

    with isolated():
        return archives.test(arguments)


def workshop(arguments):
    """Pack the lessons without solutions, and all that they need, for a class."""
    return run(sys.executable, "tools/workshop.py", *arguments)


def bench(arguments):
    """Measure speed and digits beside other libraries."""
    return run(sys.executable, "tools/bench.py", *arguments)


def mutants(arguments):
    """Test the tests: change the code in a copy, and see whether they notice."""
    if importlib.util.find_spec("mutmut") is None:
        install(VENV, "-e", ".[mutants]")
    with isolated():
        return run(sys.executable, "tools/mutants.py", *arguments)


def format_code(arguments):
    """Format and lint the code, notebooks included."""
    run_module("ruff", "format", *arguments)
    return run_module("ruff", "check", "--fix", *arguments)


def upgrade(arguments):
    """Raise the versions in constraints.txt, and show which outputs change."""
    choice = ["--universal", "--all-extras", "--upgrade", "--fork-strategy", "fewest"]
    status = resolve(CONSTRAINTS.name, *choice, *arguments)
    if status == 0:
        install(VENV, *COURSE)
        status = run(sys.executable, __file__, "refresh")
        run("git", "diff", "--stat", "--", CONSTRAINTS.name, "notebooks")
    return status


TARGETS = {
    "lab": lab,
    "course": course,
    "test": test,
    "test-lowest": test_lowest,
    "refresh": refresh,
    "site": site,
    "test-browser": test_browser,
    "test-backends": test_backends,
    "test-hub": test_hub,
    "test-wheel": test_wheel,
    "workshop": workshop,
    "bench": bench,
    "mutants": mutants,
    "format": format_code,
    "upgrade": upgrade,
}


def main():
    """Run the target named on the command line, in the environment; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    summary = "".join(f"{name}: {target.__doc__}\n" for name, target in TARGETS.items())
    parser.epilog = f"targets:\n{summary}"
    parser.add_argument("target", choices=TARGETS, metavar="TARGET")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to the target")
    options = parser.parse_args()
    if not is_current(VENV):
        make_environment(VENV, "3 GB", *COURSE)
    if not runs_inside(VENV):
        return run(python_of(VENV), __file__, *sys.argv[1:])
    return TARGETS[options.target](options.arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"The environment could not be made: {error}. See the message above.")
    except KeyboardInterrupt:
        sys.exit(130)
