"""Stands for the process of a study: does what the ``play`` of its request says, without torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from services.parent import die_with

job = json.load(sys.stdin)
die_with(job["parent"])
play = job["request"].get("play", {})


def tell(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


asked: list[int] = []


def interrupted(number: int, _frame: object) -> None:
    asked.append(number)
    if not play.get("deaf") and len(asked) >= play.get("asked", 1):
        sys.exit(play.get("interrupted", 130))


signal.signal(signal.SIGINT, interrupted)
if folder := play.get("pids"):
    (open(f"{folder}/{job['search']}.{os.getpid()}", "w")).close()
if play.get("leaves"):
    grandchild = subprocess.Popen(["sleep", "300"])
    open(f"{folder}/{job['search']}.{grandchild.pid}", "w").close()
tell("stage", name="search", total=play.get("trials", 0))
for number in range(play.get("trials", 0)):
    tell("trial", number=number, value=number / 10, best=number / 10, state="completed")
    time.sleep(play.get("each", 0))
tell("note", text="environment " + json.dumps(sorted(os.environ)))
sys.stderr.write(play.get("stderr", ""))
time.sleep(play.get("seconds", 0))
if signum := play.get("signal"):
    os.kill(os.getpid(), signum)
    time.sleep(60)
if problem := play.get("problem"):
    tell("problem", message=problem)
tell("summary", summary={"grade": "better"})
codes = play.get("codes", [0])
sys.exit(codes[min(job["attempt"], len(codes)) - 1])
