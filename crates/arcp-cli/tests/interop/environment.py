"""Makes a virtual environment with the published SDK, once, and says where its interpreter is: {"python": PATH}, or why there
is none: {"absent": REASON}. Several tests may ask at a time."""

import fcntl
import json
import pathlib
import subprocess
import sys
import time

PACKAGE = "agentruntimecontrolprotocol==1.1.3"
# After a failure everybody else is told of it for as long, rather than each trying again.
PATIENCE = 120


def make(place):
    ready, failed, python = place / "ready", place / "failed", place / "environment" / "bin" / "python"
    if ready.exists():
        return {"python": str(python)}
    if failed.exists() and time.time() - failed.stat().st_mtime < PATIENCE:
        return {"absent": failed.read_text()}
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15", PACKAGE]
    commands = [[sys.executable, "-m", "venv", "--clear", str(python.parent.parent)], [str(python), *install]]
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["it failed without a word"]
            reason = f"{PACKAGE} cannot be installed: {lines[-1]}"
            failed.write_text(reason)
            return {"absent": reason}
    ready.touch()
    return {"python": str(python)}


place = pathlib.Path(sys.argv[1])
if sys.version_info < (3, 11):
    print(json.dumps({"absent": "python3 is older than 3.11"}))
else:
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(json.dumps(make(place)))
