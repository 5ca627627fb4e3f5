"""The packages that the course needs, and whether they are here."""

from importlib.metadata import PackageNotFoundError, requires, version


def check_environment():
    """Print which packages of the course are missing or too old, and the remedy.

    The list is that of the installed metadata: what `pip install` was asked for.
    """
    missing = missing_packages(requires("kl_course"))
    if not missing:
        print("Everything is here.")
        return
    print("Missing or too old:", ", ".join(missing))
    print('Remedy, in the folder of the course: pip install -c constraints.txt -e ".[course]"')


def missing_packages(requirements):
    """Return those requirements of the course that the installed packages do not meet."""
    from packaging.requirements import Requirement

    extras = [{"extra": name} for name in ("course", "nn")]
    missing = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        needed = marker is None or any(marker.evaluate(extra) for extra in extras)
        if needed and not _is_met(requirement):
            missing.append(f"{requirement.name} {requirement.specifier}".strip())
    return missing


def _is_met(requirement):
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
