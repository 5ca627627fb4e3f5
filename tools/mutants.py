"""Test the tests: change the code, and see whether they notice.

make mutants ARGS="discrete nn.vae"    only these modules of kl_course
make mutants ARGS="planted"            only the mistakes of tools/mutants.toml; also by their names

There are two kinds of change. mutmut makes all that it can think of, one at a time; changes of
nothing but text, such as the wording of a message, are counted and left aside. And
tools/mutants.toml lists mistakes that people make. Everything happens in a copy of the project.

This file is a plugin of pytest, too: it collects the tests once, and forks for each mutant. So it
needs Linux or macOS.
"""

import ast
import difflib
import inspect
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "mutants.md"
WORKERS = 2
KINDS = ["killed", "endless", "survived", "equivalent", "text only", "not run"]
CORE = ["discrete", "gaussian", "estimators", "_accurate", "_validation", "_blocks"]
NN = ["nn._models", "nn.callbacks", "nn.distillation", "nn.losses", "nn.vae"]
CORE_TESTS = [f"tests/test_{m}.py" for m in ("discrete", "gaussian", "estimators")]
CORE_TESTS += ["tests/test_accurate.py", "tests/test_validation.py"]
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"]
NN_TESTS = ["tests/nn", "tests/test_validation.py"]
# Time for the mutants of both groups: they are taken in random order, what is left is "not run".
MINUTES = {"core": 12, "nn": 8}


def copy_project(folder):
    """Copy the project into a folder; return the copy."""
    import archives  # not at the top: as a plugin of pytest, this file stands alone

    # mutmut guesses the name of the package from that of the folder.
    copy = Path(folder, "kl_course")
    archives.copy_project(copy)
    return copy


def pytest(copy, *arguments):
    """Run pytest on a copy, whose package comes before the installed one, also in kernels."""
    paths = [str(copy), str(copy / "tools"), os.environ.get("PYTHONPATH")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True)


# Changes that mutmut makes


def mutate(copy, module):
    """Put all mutants of a module into its file; return {name: (its change, is it only text)}."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    path = copy / "kl_course" / f"{module.replace('.', '/')}.py"
    mutated = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
    path.write_text(mutated.code, encoding="utf-8")
    nodes = ast.walk(ast.parse(mutated.code))
    functions = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    return {
        f"kl_course.{module}.{name}": compare(functions[original_of(name)], functions[name])
        for name in mutated.mutant_names
    }


def module_of(name):
    """Return the module of a mutant: kl_course.nn.vae.xǁVAEǁcall__mutmut_3 gives nn.vae."""
    return name.removeprefix("kl_course.").rpartition(".")[0]


def original_of(name):
    """Return the name of the function that a mutant changes."""
    return name.rpartition("__mutmut_")[0] + "__mutmut_orig"


def compare(original, mutant):
    """Return the lines that differ between two functions, and whether only text differs."""
    for function in (original, mutant):
        function.name = "function"
    lines = [ast.unparse(function).splitlines() for function in (original, mutant)]
    changed = [" ".join(line.split()) for line in difflib.ndiff(*lines) if line[0] in "-+"]
    return "\n".join(changed), without_text(original) == without_text(mutant)


def without_text(function):
    """Return the code of a function, all its strings empty."""
    tree = ast.parse(ast.unparse(function))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def run_mutants(copy, modules):
    """Return {name: (change, verdict)} for all mutants of some modules."""
    groups = [(CORE, CORE_TESTS, MINUTES["core"]), (NN, NN_TESTS, MINUTES["nn"])]
    results = {}
    for group, tests, minutes in groups:
        chosen = [module for module in group if module in modules]
        made = {name: info for module in chosen for name, info in mutate(copy, module).items()}
        results |= {name: (change, "text only") for name, (change, text) in made.items() if text}
        names = [name for name in made if name not in results]
        results |= {name: (made[name][0], "not run") for name in names}
        if not names:
            continue
        random.Random(0).shuffle(names)
        exchange = copy / "mutants.json"
        exchange.write_text(json.dumps({"names": names, "minutes": minutes}))
        done = pytest(copy, "-s", "-p", "mutants", f"--mutants={exchange}", *tests)
        if done.returncode:
            sys.exit(f"The tests fail without any mutant:\n{done.stdout}")
        verdicts = json.loads(exchange.read_text())
        results |= {name: (made[name][0], verdict) for name, verdict in verdicts.items()}
    return results


# Mistakes that people make


def with_mistake(text, mistake):
    """Return the text of a file with a mistake of tools/mutants.toml in it."""
    old, new = mistake["old"], mistake["new"]
    if mistake["file"].endswith(".ipynb"):  # each line of a cell is a string of JSON
        old, new = (json.dumps(x, ensure_ascii=False)[1:-1] for x in (old, new))
    if text.count(old) != 1:
        sys.exit(f"{mistake['name']}: `old` stands {text.count(old)} times in {mistake['file']}")
    return text.replace(old, new)


def judges(copy, mistake):
    """Return {kind of test: arguments of pytest}, for the kinds that should notice a mistake."""
    found = {"unit tests": mistake.get("tests", [])}
    names = [f"notebooks/{number}_*.ipynb" for number in mistake.get("notebooks", [])]
    if mistake["file"].endswith(".ipynb") and "tests" not in mistake:
        names = [mistake["file"]]
    paths = [str(path.relative_to(copy)) for name in names for path in copy.glob(name)]
    found["notebooks"] = paths and [*NBVAL, *paths]
    return {kind: arguments for kind, arguments in found.items() if arguments}


def check_unchanged(copy, mistakes):
    """Exit if the tests of these mistakes fail without them."""
    needed = [arguments for m in mistakes for arguments in judges(copy, m).values()]
    done = pytest(copy, *dict.fromkeys(chain.from_iterable(needed)))
    if done.returncode:
        sys.exit(f"The tests fail without any mistake:\n{done.stdout}")


def try_planted(copy, mistake):
    """Return {kind of test: whether it notices}."""
    path = copy / mistake["file"]
    before = path.read_text(encoding="utf-8")
    path.write_text(with_mistake(before, mistake), encoding="utf-8")
    try:
        kinds = judges(copy, mistake).items()
        return {kind: noticed(pytest(copy, "-x", *arguments)) for kind, arguments in kinds}
    finally:
        path.write_text(before, encoding="utf-8")


def noticed(done):
    """Tell whether tests failed; stop if they could not run."""
    if done.returncode not in (0, 1):
        sys.exit(f"pytest could not run the tests:\n{done.stdout}")
    return done.returncode == 1


def run_planted(copies, mistakes):
    """Return {name: what `try_planted` returns}, one mistake at a time in each copy."""
    check_unchanged(copies[0], mistakes)
    free = list(copies)

    def attempt(mistake):
        copy = free.pop()
        try:
            return try_planted(copy, mistake)
        finally:
            free.append(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        results = tqdm(pool.map(attempt, mistakes), total=len(mistakes), unit=" mistakes")
        return dict(zip([m["name"] for m in mistakes], results, strict=True))


# The plugin


def pytest_addoption(parser):
    parser.addoption("--mutants", type=Path, help="file with their names; the verdicts go there")


def pytest_configure(config):
    """Give the functions that mutmut wraps their own signatures: Keras looks for them there."""
    if config.getoption("--mutants") is None:
        return
    import mutmut.mutation.trampoline as trampoline

    wrap = trampoline.wrap_in_trampoline

    def wrap_with_signature(*arguments, **options):
        def decorate(function):
            wrapped = wrap(*arguments, **options)(function)
            wrapped.__signature__ = inspect.signature(function)
            return wrapped

        return decorate

    trampoline.wrap_in_trampoline = wrap_with_signature


def pytest_collection(session):
    """Let hypothesis stop at the first failure, instead of looking for a simpler one."""
    from hypothesis import Phase, settings

    settings.register_profile("mutants", settings.default, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")


def pytest_runtestloop(session):
    path = session.config.getoption("--mutants")
    if path is None:
        return None
    seen = path.with_suffix(".seen")
    if verdict(os.waitpid(in_fork(observe, session, seen), 0)[1]) != "survived":
        session.testsfailed += 1  # what failed stands in the output
        return True
    seen = json.loads(seen.read_text())
    items = sorted(zip(session.items, seen, strict=True), key=lambda pair: pair[1][0])
    # Also in this order, and after a fork, all tests have to pass as long as nothing is changed.
    tests = [(item, cost) for item, (cost, _) in items]
    control = verdict(os.waitpid(in_fork(judge, session, "", tests), 0)[1])
    if control != "survived":
        sys.exit(f"without any mutant, quick tests first: {control}")
    order = json.loads(path.read_text())
    path.write_text("{}")
    names, end = order["names"], time.monotonic() + 60 * order["minutes"]
    running, verdicts = {}, {}
    with tqdm(total=len(names), unit=" mutants", mininterval=5) as bar:
        while running or (names and time.monotonic() < end):
            if len(running) < WORKERS and names and time.monotonic() < end:
                name = names.pop(0)
                function = original_of(name).removesuffix("__mutmut_orig")
                tests = [(item, cost) for item, (cost, reached) in items if function in reached]
                running[in_fork(judge, session, name, tests)] = name
            else:
                pid, status = os.wait()
                verdicts[running.pop(pid)] = verdict(status)
                path.write_text(json.dumps(verdicts))
                bar.update()
    return True


def in_fork(function, *arguments):
    """Call a function in a new process, which then ends; return the process's id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(function(*arguments))
        finally:
            os._exit(2)
    return pid


def verdict(status):
    """Return what became of a mutant, given the status of the process that judged it."""
    code = os.waitstatus_to_exitcode(status)
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        return "endless"
    if code not in (0, 1):
        sys.exit(f"a process that ran tests ended with {code}")
    return "killed" if code else "survived"


def observe(session, path):
    """Run all tests; write down how long each takes and which functions it reaches."""
    import mutmut.mutation.trampoline as trampoline

    reached, seen = set(), []
    trampoline.record_trampoline_hit = lambda name, caller: reached.add(name)
    os.environ["MUTANT_UNDER_TEST"] = "stats"
    for item, following in zip_longest(session.items, session.items[1:]):
        reached.clear()
        start = time.process_time()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        seen.append((time.process_time() - start, sorted(reached)))
    path.write_text(json.dumps(seen))
    if session.testsfailed:
        print(session.config.pluginmanager.get_plugin("terminalreporter").summary_failures())
    return bool(session.testsfailed)


def judge(session, name, tests):
    """Run the tests, quick ones first, against one mutant until one fails or takes too long."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.environ["MUTANT_UNDER_TEST"] = name
    for (item, seconds), (following, _) in zip_longest(tests, tests[1:], fillvalue=(None, 0)):
        limit = int(10 + 5 * seconds)
        end = int(time.process_time()) + limit
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))
        signal.alarm(20 * limit)  # for one that waits
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


# The report


def explained(results, equivalent):
    """Mark the survivors that tools/mutants.toml calls equivalent; refuse entries out of date."""
    results = dict(results)
    for entry in equivalent:
        names = [
            name
            for name, (change, _) in results.items()
            if name.startswith(f"{entry['function']}__mutmut_")
            and f"+ {entry['new']}" in change.splitlines()
        ]
        verdicts = {results[name][1] for name in names}
        if not names or verdicts & {"killed", "endless"}:
            sys.exit(f"tools/mutants.toml: not equivalent, or not made any more: {entry}")
        results |= {name: (results[name][0], "equivalent") for name in names}
    return results


def summary(results):
    """Return the rows of a table, one for each module, and the changes that no test noticed."""
    rows, survivors = [], []
    for module in [*CORE, *NN]:
        own = {name: result for name, result in results.items() if module_of(name) == module}
        count = Counter(verdict for _, verdict in own.values())
        noticed = count["killed"] + count["endless"]
        if noticed + count["survived"]:
            share = f"{noticed / (noticed + count['survived']):.1%}"
            rows.append([f"`{module}`", *(count[kind] for kind in KINDS), share])
        survivors += [(n, change) for n, (change, verdict) in own.items() if verdict == "survived"]
    return rows, survivors


def table(head, rows):
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def report(results, planted, equivalent):
    """Return the report in Markdown, and the changes that no test noticed."""
    rows, survivors = summary(results)
    head = ["module", *KINDS, "noticed of judged"]
    words = {True: "killed", False: "**survived**", None: ""}
    found = [
        [name, words[kinds.get("unit tests")], words[kinds.get("notebooks")]]
        for name, kinds in planted.items()
    ]
    reasons = [[f"`{e['function']}`", f"`{e['new']}`", e["why"]] for e in equivalent]
    return HEADER.format(
        mutants=table(head, rows),
        planted=table(["mistake", "unit tests", "notebooks alone"], found),
        equivalent=table(["function", "changed line", "why no test can tell"], reasons),
    ), survivors


HEADER = """\
# The tests on trial

A test that nothing can fail proves nothing. `make mutants` changes the code, one mistake at a
time, and counts how often the tests notice; it has written this page.

## Mistakes that people make

Planted in the package or in a cell of a notebook. The unit tests have to notice; so has each
notebook that shows the quantity, by a comparison with its stored outputs and without the unit
tests. M1 to M17 are the mistakes of the museum in notebook 12.

{planted}

## Changes that a program makes

mutmut changes operators, numbers, arguments and keywords, one at a time. Changes of nothing but
text, such as the wording of a message, are counted and left aside. The others are tried in random
order, as many as the time admits.

{mutants}

## Changes without effect

{equivalent}
"""


def main(chosen):
    """Run what is chosen, or everything; write docs/mutants.md if it is everything."""
    lists = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    names = [m["name"] for m in lists["planted"]]
    unknown = set(chosen) - {*CORE, *NN, *names, "planted"}
    if unknown:
        expected = f"'planted', the name of a mistake, or of {', '.join(CORE + NN)}"
        sys.exit(f"{', '.join(unknown)}: expected {expected}")
    modules = [m for m in CORE + NN if m in chosen or not chosen]
    all_planted = not chosen or "planted" in chosen
    mistakes = [m for m in lists["planted"] if all_planted or m["name"] in chosen]
    with tempfile.TemporaryDirectory() as scratch:
        copies = [copy_project(Path(scratch, str(i))) for i in range(WORKERS)]
        planted = run_planted(copies, mistakes) if mistakes else {}
        os.chdir(copies[0])  # where mutmut looks for its settings
        results = run_mutants(copies[0], modules)
        os.chdir(ROOT)
    equivalent = [e for e in lists.get("equivalent", []) if module_of(e["function"]) in modules]
    text, survivors = report(explained(results, equivalent), planted, equivalent)
    print(text)
    for name, change in survivors:
        print(f"survived: {name}\n{change}\n")
    if not chosen:
        REPORT.write_text(text, encoding="utf-8")
    return any(found is False for kinds in planted.values() for found in kinds.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
