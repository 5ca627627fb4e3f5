"""Install the site's one browser library, MathJax, into docs/node_modules.

The pages load it from there, so the built site needs no network. Version and checksum are pinned
in package-lock.json; no script of the package is run.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def main() -> None:
    wanted = json.loads((DOCS / "package.json").read_text())["dependencies"]["mathjax"]
    manifest = DOCS / "node_modules" / "mathjax" / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == wanted:
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm not found: the site needs it to fetch MathJax {wanted}. Install Node.js.")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(command, cwd=DOCS).returncode:
        sys.exit(f"npm could not fetch MathJax {wanted} (its message is above).")


if __name__ == "__main__":
    main()
