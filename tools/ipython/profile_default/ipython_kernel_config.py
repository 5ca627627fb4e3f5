"""Settings of the kernels that check the course: no network, no history on disk.

A lesson must run on a train. So an attempt to leave this machine is an error of the cell that
makes it, even where the network happens to be there and even if a library would catch an `OSError`.
"""

import ipaddress
import socket
import sys

c = get_config()  # noqa: F821  (IPython defines it for its configuration files)
c.HistoryManager.enabled = False
c.IPKernelApp.log_level = "ERROR"  # each start warns that loopback is not encrypted

# Audit event -> the argument that holds a host name or a socket address.
OUTWARD = {
    "socket.connect": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyaddr": 0,
    "socket.gethostbyname": 0,
    "socket.getnameinfo": 0,
    "socket.sendmsg": 1,
    "socket.sendto": 1,
}


def is_loopback(host):
    """Tell whether a host name or an address of this machine's loopback is meant."""
    if isinstance(host, bytes):
        host = host.decode()
    if not host or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse_outward(event, arguments):
    """Raise for the audit event of a connection, message or name look-up beyond loopback."""
    if event not in OUTWARD:
        return
    if isinstance(arguments[0], socket.socket) and arguments[0].family not in (
        socket.AF_INET,
        socket.AF_INET6,
    ):
        return
    target = arguments[OUTWARD[event]]
    host = target[0] if isinstance(target, tuple) else target
    if not is_loopback(host):
        raise RuntimeError(
            f"{event} to {host}: the course runs offline. "
            "Ship the data with kl_course instead of fetching it."
        )


sys.addaudithook(refuse_outward)
