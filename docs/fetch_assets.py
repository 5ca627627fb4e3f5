"""Install the site's browser libraries into docs/node_modules.

MathJax draws the mathematics: the pages load it from there, so the built site needs no network.
axe-core looks for barriers in the tests. Versions and checksums are pinned in package-lock.json; no
script of the packages is run.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def main() -> None:
    package = json.loads((DOCS / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    if all(installed_version(name) == version for name, version in wanted.items()):
        return
    libraries = " and ".join(f"{name} {version}" for name, version in wanted.items())
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm not found: the site needs it to fetch {libraries}. Install Node.js.")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(command, cwd=DOCS).returncode:
        sys.exit(f"npm could not fetch {libraries} (its message is above).")


def installed_version(name: str) -> str | None:
    manifest = DOCS / "node_modules" / name / "package.json"
    return json.loads(manifest.read_text())["version"] if manifest.exists() else None


if __name__ == "__main__":
    main()
