"""The function of every actor in these tests, mounted from a ConfigMap. The payload says what it does."""

import os
import sys
import time
from pathlib import Path

started = time.time()
if os.environ.get("ONCE"):  # a file: the import succeeds only while the file does not exist, that is, once
    if Path(os.environ["ONCE"]).exists():
        sys.exit("functions.py: this is not the first start")
    Path(os.environ["ONCE"]).touch()


def work(payload):
    """Use time or memory, fail, or end the process, as the payload says."""
    time.sleep(payload.get("seconds", 0))
    if payload.get("memory"):
        taken = []
        while True:
            taken.append(bytearray(1 << 20))
    if payload.get("exit") is not None:
        os._exit(payload["exit"])
    if payload.get("error"):
        raise ValueError(payload["error"])
    return {**payload, "by": os.environ.get("HOSTNAME", ""), "started": started}


def busy(payload):
    """Work for the time in the payload, and return start and end."""
    start_time = time.time()
    time.sleep(payload.get("seconds", 0))
    return {**payload, "by": os.environ.get("HOSTNAME", ""), "begun": start_time, "ended": time.time()}
