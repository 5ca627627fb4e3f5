"""A JupyterHub for a class on one machine: see docs/server.md, section "A plain JupyterHub".

Run as root. Each learner is a system user and logs in with the password of that user.
"""

import sys

c = get_config()  # noqa: F821 - JupyterHub provides it

# Loopback only: a web server in front of it speaks HTTPS to the world.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# Who may log in. Teachers can also start, stop and open the server of each learner.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"learners", "teachers"}
c.PAMAuthenticator.admin_groups = {"teachers"}

# Servers come from the environment that holds JupyterHub and the course, and open JupyterLab.
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"

# Kernels talk through sockets in the learner's home. By default it is TCP ports of loopback. There
# every user of the machine can read the outputs of all others, and kernels that start at the same
# moment may be given the same port.
c.Spawner.args = ["--KernelManager.transport=ipc"]

# A whole class starts at once: seconds in which a server must answer.
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120
# After so many seconds a server that died counts as stopped and can be started again.
c.Spawner.poll_interval = 5

# Restarting the hub leaves the servers of the learners alone.
c.JupyterHub.cleanup_servers = False
