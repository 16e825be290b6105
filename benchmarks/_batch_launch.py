"""Run a command and write what it used, as JSON, to a file:

    python -I -S benchmarks/_batch_launch.py used.json COMMAND...

A process begins with the peak memory of the one that it was forked from: this one is small.
"""

import json
import os
import sys
import time

start = time.perf_counter()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
found = {
    "code": os.waitstatus_to_exitcode(status),
    "wall_s": time.perf_counter() - start,
    "cpu_s": used.ru_utime + used.ru_stime,
    "peak_mib": used.ru_maxrss / 1024,
}
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
