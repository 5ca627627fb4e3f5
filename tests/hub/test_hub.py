"""A class of ten on a real JupyterHub of this machine, with the documented settings.

Run by `make test-hub`, as root on Linux. It makes ten learners and a teacher as system users and
removes them; nothing listens beyond loopback.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests
import websocket

from . import hub as hubs
from . import report

pytestmark = pytest.mark.hub

LEARNERS = 10
NOTEBOOK = "02_kl_divergence.ipynb"
Classroom = namedtuple("Classroom", "hub learners teacher measured")

# Run in a kernel, after PATHS or ADDRESSES are set.
TRY_TO_READ = """
import json, os
def attempt(path):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    except OSError as error:
        return type(error).__name__
    return "read"
print(json.dumps({path: attempt(path) for path in PATHS}))
"""
TRY_TO_LISTEN = """
import time, zmq
socket = zmq.Context.instance().socket(zmq.SUB)
socket.subscribe(b"")
for address in ADDRESSES:
    socket.connect(address)
end = time.time() + 4
while time.time() < end:
    if socket.poll(200):
        print(socket.recv_multipart())
"""


def missing():
    """Yield what this machine lacks for the test."""
    if sys.platform != "linux":
        yield "Linux"
    elif os.geteuid() != 0:
        yield "root, who alone can make system users"
    for tool in ("useradd", "chpasswd", "userdel", "node"):
        if shutil.which(tool) is None:
            yield tool
    for made in (hubs.ENVIRONMENT, hubs.PROXY):
        if not made.exists():
            yield f"{made.relative_to(hubs.ROOT)}, which `make test-hub` makes"


@pytest.fixture(scope="module", autouse=True)
def _complete():
    if lacking := "; ".join(missing()):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {lacking}")


@pytest.fixture(scope="module")
def folder():
    """Make a folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="kl_course-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def skeleton(folder):
    """Make the folder of which the homes are copies."""
    (folder / "skeleton").mkdir()
    shutil.copy(hubs.ROOT / "notebooks" / NOTEBOOK, folder / "skeleton")
    return folder / "skeleton"


@pytest.fixture(scope="module")
def classroom(folder, skeleton):
    """Start the hub; all learners log in and start their servers, each step at the same time."""
    environment = hubs.within_reach(hubs.ENVIRONMENT, folder)
    [packages] = environment.glob("lib/python3.*/site-packages")
    shutil.copytree(hubs.ROOT / "kl_course", packages / "kl_course", dirs_exist_ok=True)
    (folder / "state").mkdir(mode=0o700)
    tag = f"kl{secrets.token_hex(3)}"  # begins the names of users and groups, which are new
    with ExitStack() as stack:
        accounts = stack.enter_context(hubs.accounts(f"{tag}l", LEARNERS, skeleton))
        [teacher] = stack.enter_context(hubs.accounts(f"{tag}t", 1, skeleton))
        hub = hubs.Hub(environment / "bin" / "python", folder / "state", f"{tag}l", f"{tag}t")
        stack.enter_context(hubs.running(hub))
        learners = [hubs.Learner(hub, account) for account in accounts]
        room = Classroom(hub, learners, hubs.Learner(hub, teacher), {})
        assert all(together(room, "log in", hubs.Learner.log_in))
        together(room, "start", hubs.Learner.start)
        yield room


def together(room, step, act):
    """Let all learners do something at the same time; measure it and return their results."""
    begun = time.perf_counter()
    memory = 0
    with ThreadPoolExecutor(len(room.learners)) as pool:
        doing = [pool.submit(act, learner) for learner in room.learners]
        while not all(one.done() for one in doing):
            time.sleep(0.5)
            memory = max(memory, hubs.use_of(everybodys_processes(room))[1])
    seconds = time.perf_counter() - begun
    used, last = hubs.use_of(everybodys_processes(room))
    room.measured[step] = {"seconds": seconds, "used": used, "memory": max(memory, last)}
    return [one.result() for one in doing]


def everybodys_processes(room):
    return hubs.processes_of(*(learner.account.uid for learner in room.learners))


def test_the_lesson_runs_for_all_at_the_same_time(classroom, capsys, request):
    lengths = together(classroom, "run", lambda learner: learner.run_all(NOTEBOOK))
    cells = json.loads((hubs.ROOT / "notebooks" / NOTEBOOK).read_text())["cells"]
    assert lengths == [sum(cell["cell_type"] == "code" for cell in cells)] * LEARNERS
    _, memory = hubs.use_of(classroom.hub.processes())
    found = report.summarise(classroom.measured, LEARNERS, NOTEBOOK, memory, hubs.ENVIRONMENT)
    report.FOUND.write_text(json.dumps(found, indent=1) + "\n")
    if request.config.getoption("publish", default=False):
        report.publish()
    with capsys.disabled():
        print(f"\n{report.section(found)}")


def test_the_hub_knows_every_setting(classroom):
    assert "not recognized" not in (classroom.hub.state / "log").read_text()


def test_only_the_own_password_opens(classroom):
    ann, bob, *_ = classroom.learners
    assert not hubs.Learner(classroom.hub, ann.account).log_in(bob.account.password)
    assert not hubs.Learner(classroom.hub, ann.account).log_in("")


def test_only_members_of_the_group_may_log_in(classroom, skeleton):
    tag = f"kl{secrets.token_hex(3)}x"
    with hubs.accounts(tag, 1, skeleton) as [stranger]:
        assert not hubs.Learner(classroom.hub, stranger).log_in()


def test_a_teacher_alone_sees_the_class(classroom):
    ann, teacher = classroom.learners[0], classroom.teacher
    assert teacher.log_in()
    present = {user["name"] for user in teacher.get("/hub/api/users").json()}
    assert present >= {learner.name for learner in classroom.learners}
    assert ann.get("/hub/api/users").status_code == 403
    assert ann.get("/hub/admin").status_code == 403


def test_a_kernel_reads_nothing_of_others(classroom):
    ann, bob, *_ = classroom.learners
    bob.execute("pass")  # in a kernel
    paths = [bob.account.home, bob.account.home / NOTEBOOK, "/etc/shadow"]
    paths += bob.account.home.glob(".local/share/jupyter/runtime/*.json")  # kernels' keys
    paths += [classroom.hub.state, *classroom.hub.state.iterdir()]
    for process in (*bob.processes(), *classroom.hub.processes()):
        paths += [f"/proc/{process.pid}/{part}" for part in ("environ", "mem", "fd")]
    names = [path.name for path in map(Path, paths)]
    assert {"jupyterhub.sqlite", "jupyterhub_cookie_secret", "jupyterhub-proxy.pid"} < {*names}
    assert any(name.startswith("kernel-") for name in names)
    paths = list(map(str, paths))
    tried = json.loads(ann.execute(f"PATHS = {paths}\n{TRY_TO_READ}"))
    assert {path: tried[path] for path in paths} == dict.fromkeys(paths, "PermissionError")
    own = str(ann.account.home / NOTEBOOK)
    assert json.loads(ann.execute(f"PATHS = {[own]}\n{TRY_TO_READ}")) == {own: "read"}


def test_a_kernel_touches_nothing_of_others(classroom):
    ann, bob, *_ = classroom.learners
    for code in (
        f"open('{bob.account.home}/x', 'w')",
        f"import os; os.remove('{bob.account.home / NOTEBOOK}')",
        f"import os; os.kill({bob.process('singleuser').pid}, 9)",
    ):
        with pytest.raises(RuntimeError, match="PermissionError"):
            ann.execute(code)


def test_command_lines_hold_no_secret(classroom):
    # Every user sees the command lines of all processes.
    processes = [*classroom.hub.processes(), *everybodys_processes(classroom)]
    environments = [process.environ() for process in processes]
    names = ("JUPYTERHUB_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JPY_API_TOKEN")
    secret = {e[name] for e in environments for name in names if name in e}
    assert len(secret) >= LEARNERS + 1
    lines = "\n".join(" ".join(process.cmdline()) for process in processes)
    assert not [word for word in secret if word in lines]


def test_no_learner_hears_what_another_kernel_prints(classroom):
    ann, bob, *_ = classroom.learners
    bob.execute("pass")  # in a kernel
    addresses = [
        f"tcp://127.0.0.1:{connection.laddr.port}"
        for process in bob.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    sockets = list(bob.account.home.glob(".local/share/jupyter/runtime/*-ipc-*"))
    # The system limits such paths to 107 characters: docs/server.md names the longest user.
    assert {len(str(path)) - len(bob.name) + 22 for path in sockets} == {107}
    addresses += [f"ipc://{path}" for path in sockets]
    say = "import time\nfor _ in range(40):\n    print('bobs own words')\n    time.sleep(0.1)"
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(ann.execute, f"ADDRESSES = {addresses}\n{TRY_TO_LISTEN}")
        assert "bobs own words" in pool.submit(bob.execute, say).result()
        assert heard.result() == ""


def test_addresses_of_others_are_refused(classroom):
    ann, bob, *_ = classroom.learners
    bob.execute("pass")  # in a kernel
    name, kernel = bob.name, bob.kernel
    own = [f"/user/{name}/{path}" for path in ("lab", "api/contents", f"files/{NOTEBOOK}")]
    own += [f"/user/{name}/api/kernels/{kernel}", f"/hub/api/users/{name}"]
    token = ann.execute("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    with_token = requests.Session()
    with_token.headers["Authorization"] = f"token {token}"
    assert with_token.get(f"{classroom.hub.url}/user/{ann.name}/api/contents").ok
    for path in own:
        assert bob.get(path).status_code == 200, path
        for browser in (ann.browser, with_token, requests.Session()):
            answer = browser.get(classroom.hub.url + path)
            at_login = "/hub/login" in answer.url
            assert answer.status_code in (403, 404) or at_login, (path, answer.url)
    for change in ("DELETE", "POST"):
        url = f"{classroom.hub.url}/hub/api/users/{name}/server"
        assert with_token.request(change, url).status_code in (403, 404)
    url = f"{classroom.hub.url}/user/{name}/api/contents/{NOTEBOOK}"
    assert with_token.put(url, json={"content": "mine now"}).status_code == 403
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        hubs.Learner(classroom.hub, ann.account, ann.browser, kernel).dial(of=name)


def test_a_killed_kernel_loses_nothing_saved(classroom):
    ann, bob, *_ = classroom.learners
    saved = note_down(ann)
    bob.execute("answer = 42")
    pid = int(ann.execute("import os; print(os.getpid())"))
    psutil.Process(pid).kill()
    hubs.wait_for(lambda: ann.kernel_is_new(pid), classroom.hub.log)
    ann.connect()
    assert ann.execute("print(6 * 7)") == "42\n"
    assert ann.read(NOTEBOOK) == saved
    assert bob.execute("print(answer)") == "42\n"


def test_a_killed_server_loses_nothing_saved(classroom):
    ann, bob, *_ = classroom.learners
    saved = note_down(ann)
    bob.execute("answer = 42")
    before = ann.processes()
    ann.process("singleuser").kill()
    assert psutil.wait_procs(before, timeout=hubs.PATIENCE)[1] == []  # its kernels end with it
    ann.start()
    assert ann.read(NOTEBOOK) == saved
    assert ann.run_all(NOTEBOOK) > 0
    assert bob.execute("print(answer)") == "42\n"


def note_down(learner):
    """Add a note to the notebook, save it, and return what is now in it."""
    notebook = learner.read(NOTEBOOK)
    note = f"What I learnt: {secrets.token_hex()}"
    cell = {"cell_type": "markdown", "id": secrets.token_hex(4), "metadata": {}, "source": note}
    notebook["cells"].append(cell)
    learner.save(NOTEBOOK, notebook)
    assert note in (learner.account.home / NOTEBOOK).read_text()
    return learner.read(NOTEBOOK)


def test_a_restart_of_the_hub_leaves_the_servers_alone(classroom):
    hub, (ann, *_) = classroom.hub, classroom.learners
    ann.execute("answer = 42")
    servers = [learner.process("singleuser").pid for learner in classroom.learners]
    hub.stop()
    hub.start()
    assert [learner.process("singleuser").pid for learner in classroom.learners] == servers
    assert all(learner.opens() for learner in classroom.learners)  # nobody logs in again
    ann.connect()
    assert ann.execute("print(answer)") == "42\n"


def test_nothing_is_left_after_an_error(skeleton):
    tag = f"kl{secrets.token_hex(3)}"
    with pytest.raises(ZeroDivisionError), hubs.accounts(tag, 1, skeleton) as [account]:  # noqa: PT012
        home, uid = account.home, account.uid
        assert (home / NOTEBOOK).stat().st_uid == uid
        assert home.stat().st_mode & 0o777 == 0o700
        work = subprocess.Popen(["sleep", "600"], user=uid)
        assert [process.pid for process in hubs.processes_of(uid)] == [work.pid]
        raise ZeroDivisionError
    assert not psutil.pid_exists(work.pid)
    assert not home.exists()
    assert tag not in Path("/etc/passwd").read_text() + Path("/etc/group").read_text()
