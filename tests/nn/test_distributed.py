"""Tests of docs/cluster, with real processes on this machine; they train on JAX alone."""

import contextlib
import importlib.util
import io
import json
import os
import pickle
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest

from kl_course import RunningKL, kl_from_logits
from kl_course.datasets import digits
from kl_course.nn import Distiller

from .backend import BACKEND

DOCS = Path(__file__).resolve().parents[2] / "docs"
LAUNCH, DISTILL = DOCS / "cluster" / "launch.py", DOCS / "cluster" / "distill.py"
LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"  # no machine's name means .2
TIMEOUT = 400  # seconds; a busy machine needs minutes to import JAX
PLACE = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "JAX_COORDINATOR_BIND_ADDRESS",
)
PROCESS_ID = "KERAS_DISTRIBUTION_PROCESS_ID"
KILLED = "process 1 was killed by signal 9\nstarting all processes again (1 of 3)\n"
RESULT = r"KL\(teacher \|\| student\): (\S+) ± (\S+) nats, (\d+) test images"
needs_jax = pytest.mark.skipif(BACKEND != "jax", reason="docs/cluster trains on JAX")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills groups of processes")


@contextlib.contextmanager
def started(*command, **environment):
    """Start a Python program; it and its children end with the block, or after TIMEOUT."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    watchdog = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def run(*command):
    """Run a Python program to its end; return its status and what it printed."""
    with started(*command) as process:
        output = process.stdout.read()
        return process.wait(), output


def read_to(process, text):
    """Return the lines that a program prints, up to the first with this text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in:\n{''.join(lines)}")


def ids_in(output):
    """Return the ids of the processes that launch.py has started, by their number."""
    return [int(number) for number in re.findall(r"has the id (\d+)", output)]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses_in(output):
    found = re.findall(r"(\w+ epoch \d+): loss (\S+)", output)
    assert found
    return {epoch: float(loss) for epoch, loss in found}


def distiller_in(folder):
    distiller = keras.saving.load_model(folder / "distiller.keras")
    assert isinstance(distiller, Distiller)
    return distiller


def assert_same_students(folder, other, atol):
    students = [distiller_in(place).student.get_weights() for place in (folder, other)]
    for ours, theirs in zip(*students, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol)


class TestLaunch:
    """With programs that need no JAX."""

    @pytest.fixture
    def program(self, tmp_path):
        def write(code):
            path = tmp_path / "program.py"
            path.write_text(f"import os, sys, time\nme = os.environ.get\n{code}\n")
            return path

        return write

    def test_gives_up_and_stops_the_others(self, program):
        program = program(
            "if me('KERAS_DISTRIBUTION_PROCESS_ID') == '1': sys.exit(3)\ntime.sleep(600)"
        )
        status, output = run(LAUNCH, "--workers", 3, "--restarts", 1, program)
        assert status == 1
        assert output.count("process 1 ended with status 3\n") == 2
        assert output.count("starting all processes again (1 of 1)\n") == 1
        assert output.endswith("gave up after 2 starts: their errors stand above\n")
        ids = ids_in(output)
        assert len(ids) == 6
        assert not any(map(psutil.pid_exists, ids))

    def test_ends_well_without_a_restart(self, program):
        status, output = run(
            LAUNCH, program("print(f'{sys.argv[1:]}\\n', end='')"), "--workers", "x"
        )
        assert (status, output.count("['--workers', 'x']\n")) == (0, 2)  # of the program
        assert "again" not in output

    def test_names_a_signal(self, program):
        program = program("os.kill(os.getpid(), 9)")
        assert "process 0 was killed by signal 9\n" in run(LAUNCH, "--restarts", 0, program)[1]

    def test_stops_all_when_it_is_stopped(self, program):
        with started(LAUNCH, program("time.sleep(600)")) as process:
            ids = ids_in("".join(read_to(process, "process 1 of 2")))
            assert all(map(psutil.pid_exists, ids))
            process.terminate()
            assert process.wait(TIMEOUT) == 1
            assert not any(map(psutil.pid_exists, ids))

    def test_all_meet_on_a_free_port_of_this_machine(self, program):
        program = program(
            "said = [me(name) for name in ('KERAS_DISTRIBUTION_NUM_PROCESSES',"
            " 'KERAS_DISTRIBUTION_JOB_ADDRESSES', 'JAX_COORDINATOR_BIND_ADDRESS')]\n"
            "print(' '.join(said) + '\\n', end='')"
        )
        lines = run(LAUNCH, program)[1].splitlines()[-2:]
        assert lines[0] == lines[1]
        number, address, bound = lines[0].split()
        assert (number, address) == ("2", bound)
        host, port = address.split(":")
        assert host == "127.0.0.1"
        with socket.socket() as listener:
            listener.bind((host, int(port)))

    @pytest.mark.parametrize("arguments", [("--workers", "0"), ("--restarts", "-1")])
    def test_refuses(self, arguments, program):
        status, output = run(LAUNCH, *arguments, program(""))
        assert (status, "expected at least 1 for --workers" in output) == (2, True)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Return the folder and the output of one process: of this one, to save a start."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.setattr(sys, "argv", ["distill.py", str(folder)])
        load(DISTILL).main()
    return folder, output.getvalue()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return the folder, output and listening addresses of two processes, started by hand."""
    folder = tmp_path_factory.mktemp("two")
    address = f"{LOOPBACK}:{load(LAUNCH).free_port()}"
    place = dict(zip(PLACE, (address, "2", address), strict=True))
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(started(DISTILL, folder, **place, **{PROCESS_ID: str(i)}))
            for i in range(2)
        ]
        lines = read_to(processes[0], "teacher epoch 1:")
        addresses = [
            connection.laddr
            for process in processes
            for connection in psutil.Process(process.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        output = "".join(lines) + processes[0].stdout.read()
        assert [process.wait() for process in processes] == [0, 0], output
        assert "epoch" not in processes[1].stdout.read()
    return folder, output, addresses


@needs_jax
class TestDistill:
    def test_two_processes_end_with_the_kl_of_one(self, one, two):
        (_, alone), (_, together, _) = one, two
        assert re.search(RESULT, alone)[0] == re.search(RESULT, together)[0]
        expected = losses_in(alone)
        assert len(expected) == 20
        assert losses_in(together) == pytest.approx(expected, abs=2e-4)
        assert_same_students(one[0], two[0], atol=1e-4)

    def test_listens_on_this_machine_alone(self, two):
        hosts = {host.removeprefix("::ffff:") for host, _ in two[2]}
        assert len(two[2]) >= 3  # the coordinator, and both for the gradients
        assert hosts == {LOOPBACK}

    def test_merges_what_the_processes_measured(self, two):
        folder, output, _ = two
        parts = [pickle.loads((folder / f"kl-{i}.pickle").read_bytes()) for i in range(2)]
        assert [part.count for part in parts] == [399, 398]
        x = digits(7)[2]
        distiller = distiller_in(folder)
        pair = [m.predict(x, verbose=0) for m in (distiller.teacher, distiller.student)]
        rows = kl_from_logits(*pair)
        expected = rows.mean(), rows.std(ddof=1) / np.sqrt(len(rows))
        merged = RunningKL()
        for part in parts:
            merged.merge(part)
        assert merged.result() == pytest.approx(expected, rel=1e-4)
        kl, stderr, images = re.search(RESULT, output).groups()
        assert (float(kl), float(stderr)) == pytest.approx(expected, abs=6e-6)
        assert int(images) == len(x) == merged.count

    def test_a_killed_process_changes_nothing(self, two, tmp_path):
        folder, undisturbed, _ = two
        with started(LAUNCH, "--workers", 2, DISTILL, tmp_path) as process:
            output = "".join(read_to(process, "distiller epoch 2:"))
            os.kill(ids_in(output)[1], signal.SIGKILL)
            output += process.stdout.read()
            assert process.wait() == 0, output
        assert KILLED in output
        assert "(2 of 3)" not in output
        assert output.count("teacher epoch 1:") == output.count("distiller epoch 1:") == 1
        assert losses_in(output) == pytest.approx(losses_in(undisturbed), abs=2e-4)
        assert re.search(RESULT, output)[0] == re.search(RESULT, undisturbed)[0]
        assert_same_students(tmp_path, folder, atol=1e-6)
        assert len(ids_in(output)) == 4
        assert not any(map(psutil.pid_exists, ids_in(output)))

    def test_a_death_while_saving_leaves_the_last_checkpoint(self, tmp_path):
        class Dying:
            def save(self, path):
                path.write_text("half")
                raise KeyboardInterrupt

        path = tmp_path / "model.keras"
        path.write_text("whole")
        with pytest.raises(KeyboardInterrupt):
            load(DISTILL).save(Dying(), path)
        assert path.read_text() == "whole"

    def test_refuses_batches_that_cannot_be_shared(self, monkeypatch):
        monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "10.0.0.1:1234")
        monkeypatch.setattr(keras.distribution, "initialize", lambda: None)
        distill = load(DISTILL)
        monkeypatch.setattr(distill.jax, "process_count", lambda: 3)
        with pytest.raises(SystemExit, match="3 processes cannot share 100 images evenly"):
            distill.join()

    def test_needs_jax(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["distill.py", str(tmp_path)])
        monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
        with pytest.raises(SystemExit):
            load(DISTILL).main()
        assert "Keras runs on torch: set KERAS_BACKEND=jax" in capsys.readouterr().err

    def test_the_page_shows_this(self, one):
        page = (DOCS / "cluster.md").read_text(encoding="utf-8")
        shown, killed = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
        losses = losses_in(one[1])
        shown_losses = losses_in(shown)
        expected = {epoch: losses[epoch] for epoch in shown_losses}
        assert shown_losses == pytest.approx(expected, abs=2e-4)
        numbers = [map(float, re.search(RESULT, text).groups()) for text in (shown, one[1])]
        assert list(numbers[0]) == pytest.approx(list(numbers[1]), abs=2e-5)
        assert killed == KILLED
        assert set(re.findall(r"`((?:KERAS|JAX)_\w+)`", page)) == {*PLACE, PROCESS_ID}
        assert set(re.findall(r"docs/\S+\.py", page)) == {
            str(path.relative_to(DOCS.parent)) for path in (LAUNCH, DISTILL)
        }


PROBE = """
import contextlib, json, os, jax, keras, numpy as np
from kl_course.nn import Distiller

if "KERAS_DISTRIBUTION_PROCESS_ID" in os.environ:
    keras.distribution.initialize()
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
me, all = jax.process_index(), jax.process_count()


def network(seed):
    start = keras.initializers.RandomNormal(seed=seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=start)])


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return (x[20 * i : 20 * (i + 1)][me::all],)


x = np.random.default_rng(1).normal(size=(100, 4)).astype("float32")
x[::2] *= 5  # the two processes would report different means of their own
distiller = Distiller(network(1), network(2))
distiller.compile(keras.optimizers.SGD(0.1))
said = distiller.fit(Batches(), shuffle=False, verbose=0).history
result = distiller.evaluate(Batches(), verbose=0, return_dict=True)
said |= {f"val_{name}": [value] for name, value in result.items()}
failed = []
for name in ("predict", "fit"):
    try:
        getattr(distiller, name)(x[me::all], verbose=0)
    except RuntimeError as error:
        failed.append(f"{name}: {error}")
print(json.dumps([said, failed]), flush=True)
"""


@needs_jax
def test_the_distiller_in_two_processes(tmp_path):
    """Each process reports the means over whole batches; only `predict` and its user fail."""
    program = tmp_path / "probe.py"
    program.write_text(PROBE)
    status, output = run(LAUNCH, "--restarts", 0, program)
    assert status == 0, output
    first, second = (json.loads(line) for line in output.splitlines() if line.startswith("[{"))
    alone = runpy.run_path(str(program))
    assert alone["failed"] == []
    for said, failed in (first, second):
        assert said.keys() == alone["said"].keys() == {"kl", "loss", "val_kl", "val_loss"}
        for name, values in said.items():
            assert values == pytest.approx(alone["said"][name], rel=1e-5)
        assert [message.split(":")[0] for message in failed] == ["predict", "fit"]
        assert all("non-addressable" in message for message in failed)
