"""A JupyterHub on loopback with the documented settings, its learners, and their browsers."""

import json
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
import websocket
from jupyter_client.session import Session

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "hub"  # made by `make test-hub`
PROXY = Path(__file__).with_name("node_modules") / ".bin"
CONFIG = ROOT / "docs" / "server" / "jupyterhub_config.py"
PATIENCE = 120  # seconds for whatever a loaded machine may be slow at


def run(*command, **options):
    """Run a command; if it fails, raise with what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def wait_for(condition, explain):
    """Wait until a condition holds; if it never does, raise with an explanation."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE} s: {condition.__name__}. {explain()}")
        time.sleep(0.5)


def free_ports(number):
    """Return ports of loopback that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


# Users of the system


@dataclass(frozen=True)
class Account:
    """A system user, who exists for the time of a test."""

    name: str
    password: str = field(repr=False)

    @property
    def uid(self):
        return int(run("id", "--user", self.name))

    @property
    def home(self):
        return Path(f"~{self.name}").expanduser()


@contextmanager
def accounts(group, number, skeleton):
    """Make system users in a group of their own, and remove every trace of them at the end.

    Their homes are copies of the skeleton, private as docs/server.md makes them.
    """
    users = [Account(f"{group}{i}", secrets.token_urlsafe(16)) for i in range(number)]
    options = ["--create-home", "--skel", skeleton, "--key", "HOME_MODE=0700"]
    options += ["--shell", "/bin/bash", "--groups", group]
    with ExitStack() as stack:
        run("groupadd", group)
        stack.callback(run, "groupdel", group)
        for user in users:
            stack.callback(remove, user)
            run("useradd", *options, user.name)
            run("chpasswd", input=f"{user.name}:{user.password}\n")
        yield users


def remove(user):
    """Remove a user with home and processes; raise if anything is left."""
    try:
        uid, home = user.uid, user.home
    except RuntimeError:  # it was never made
        return
    processes = processes_of(uid)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE)
    subprocess.run(["userdel", "--remove", user.name], capture_output=True, check=False)
    known = f"{user.name}:" in Path("/etc/passwd").read_text()
    if known or home.exists() or processes_of(uid):
        raise RuntimeError(f"user {uid}, {user.name}, could not be removed with {home}")


def processes_of(*uids):
    """Return the processes of users that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.uids().real in uids and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def use_of(processes):
    """Return the seconds of processor and the bytes of memory that processes use.

    Memory that several share counts in parts that add up to the whole (PSS).
    """
    seconds = memory = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:2])
            memory += process.memory_full_info().pss
    return seconds, memory


# The hub


def within_reach(environment, folder):
    """Return an environment that every user can read: itself, or a copy in the folder."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in environment.resolve().parents):
        return environment
    return shutil.copytree(environment, folder / "environment", symlinks=True)


@dataclass
class Hub:
    """JupyterHub and its proxy, run by root; what they write is in a folder private to root."""

    python: Path
    state: Path
    learners: str
    teachers: str
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.started = []  # its own process, and that of its proxy
        self.port, *self.private_ports = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        hub_port, api_port = self.private_ports
        command = [self.python, "-m", "jupyterhub", "--config", CONFIG]
        # The settings that the machine must decide: ports that are free, groups that are new.
        command += [f"--JupyterHub.bind_url={self.url}", f"--JupyterHub.hub_port={hub_port}"]
        command += [f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api_port}"]
        groups = {"allowed": (self.learners, self.teachers), "admin": (self.teachers,)}
        for kind, names in groups.items():
            command += [f"--PAMAuthenticator.{kind}_groups={name}" for name in names]
        # The proxy is found by its name, as on a server; settings of this process stay here.
        clean = {k: v for k, v in os.environ.items() if not re.match("JUPYTER|IPYTHON|PYTHON", k)}
        clean["PATH"] = f"{PROXY}:{os.environ['PATH']}"
        with (self.state / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.state, env=clean, stdout=log, stderr=log
            )
        self.started.append(psutil.Process(self.process.pid))
        wait_for(self.answers, self.log)
        self.started += self.processes()

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the hub ended: {self.log()}")
        with suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/hub/api/", timeout=PATIENCE).ok

    def log(self):
        return (self.state / "log").read_text()[-3000:]

    def stop(self):
        """Ask the hub to end, as an administrator does; it ends its proxy."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def processes(self):
        hub = psutil.Process(self.process.pid)
        return [p for p in (hub, *hub.children(recursive=True)) if p.uids().real == 0]


@contextmanager
def running(hub):
    """Start a hub; end it, and its proxy, at the end."""
    try:
        hub.start()
        yield hub
    finally:
        for process in hub.started:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(hub.started, timeout=20)[1]:
            process.kill()


# The learners


@dataclass
class Learner:
    """What a learner's browser does: pages, the API of the own server, one kernel."""

    hub: Hub
    account: Account
    browser: requests.Session = field(default_factory=requests.Session)
    kernel: str | None = None
    channels: websocket.WebSocket | None = None

    @property
    def name(self):
        return self.account.name

    def get(self, path, **options):
        return self.browser.get(self.hub.url + path, timeout=PATIENCE, **options)

    def log_in(self, password=None):
        """Fill in the form; return whether the hub lets the learner in."""
        self.get("/hub/login")
        password = self.account.password if password is None else password
        form = {"username": self.name, "password": password}
        form["_xsrf"] = self.browser.cookies.get("_xsrf", path="/hub/")
        url = f"{self.hub.url}/hub/login?next=/hub/home"
        answer = self.browser.post(url, data=form, timeout=PATIENCE)
        return answer.ok and answer.url.endswith("/hub/home")

    def start(self):
        """Start the server and open JupyterLab."""
        self.channels = None
        wait_for(self.opens, self.hub.log)

    def opens(self):
        """Tell whether JupyterLab opens; ask for a server if it does not."""
        answer = self.get(f"/user/{self.name}/lab")
        opened = answer.ok and answer.url.startswith(f"{self.hub.url}/user/{self.name}/lab")
        if not opened:
            self.get("/hub/spawn")
        return opened

    def api(self, method, path, **options):
        """Call the API of the own server."""
        xsrf = self.browser.cookies.get("_xsrf", path=f"/user/{self.name}/")
        url = f"{self.hub.url}/user/{self.name}/api/{path}"
        headers = {"X-XSRFToken": xsrf}
        return self.browser.request(method, url, headers=headers, timeout=PATIENCE, **options)

    def read(self, path):
        answer = self.api("GET", f"contents/{path}")
        answer.raise_for_status()
        return answer.json()["content"]

    def save(self, path, notebook):
        body = {"type": "notebook", "format": "json", "content": notebook}
        self.api("PUT", f"contents/{path}", json=body).raise_for_status()

    def open_kernel(self):
        """Start a kernel and connect to it."""
        answer = self.api("POST", "kernels", json={"name": "python3"})
        answer.raise_for_status()
        self.kernel = answer.json()["id"]
        self.connect()

    def connect(self):
        """Connect to the kernel, and wait until its outputs arrive: earlier ones are lost."""
        self.dial()
        self.channels.settimeout(5)
        wait_for(self.hears, self.hub.log)
        self.channels.settimeout(PATIENCE)

    def dial(self, of=None):
        url = f"{self.hub.url}/user/{of or self.name}/api/kernels/{self.kernel}/channels"
        cookies = requests.Request("GET", url, cookies=self.browser.cookies).prepare()
        self.channels = websocket.create_connection(
            url.replace("http", "ws", 1),
            timeout=PATIENCE,
            origin=self.hub.url,
            cookie=cookies.headers["Cookie"],
        )

    def hears(self):
        with suppress(websocket.WebSocketTimeoutException):
            return self.execute("print('heard')") == "heard\n"

    def execute(self, code):
        """Run code in the kernel, the first time in a new one.

        Return what it prints, or raise with its error.
        """
        if self.channels is None:
            self.open_kernel()
        request = Session().msg("execute_request", {"code": code, "allow_stdin": False})
        self.channels.send(json.dumps(request | {"channel": "shell"}, default=str))
        printed, awaited = "", {"execute_reply", "idle"}
        while awaited:
            frame = self.channels.recv()
            message = json.loads(frame) if isinstance(frame, str) else {}  # bytes: of widgets
            if message.get("parent_header", {}).get("msg_id") != request["header"]["msg_id"]:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
            if content.get("status") == "error":
                raise RuntimeError(f"{self.name}: {content['ename']}: {content['evalue']}")
            awaited -= {kind, content.get("execution_state")}
        return printed

    def kernel_is_new(self, pid):
        """Tell whether the kernel runs again, in a process other than a killed one."""
        others = [p for p in self.processes() if p.pid != pid]
        return any(self.kernel in " ".join(process.cmdline()) for process in others)

    def run_all(self, path):
        """Run all code cells of a notebook and return how many there are."""
        cells = [c["source"] for c in self.read(path)["cells"] if c["cell_type"] == "code"]
        for source in cells:
            self.execute(source)
        return len(cells)

    def processes(self):
        return processes_of(self.account.uid)

    def process(self, word):
        """Return the one process of the learner with a word in its command line."""
        [found] = [p for p in self.processes() if word in " ".join(p.cmdline())]
        return found
