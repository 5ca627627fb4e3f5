"""An option of the tests of the hub."""


def pytest_addoption(parser):
    parser.addoption("--publish", action="store_true", help="renew docs/server.md from the run")
