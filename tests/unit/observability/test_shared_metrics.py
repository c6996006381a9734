"""Counters of several processes add up in one folder, whatever their process ids."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from octavo.devserver.processes import child_environment

COUNT = "from apps.observability import metrics; metrics.count_finished_run(status='succeeded')"


def test_a_process_writes_files_of_its_host_and_id(tmp_path: Path) -> None:
    environment = child_environment({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    subprocess.run([sys.executable, "-c", COUNT], env=environment, check=True, cwd=os.curdir)
    (file,) = tmp_path.glob("counter_*.db")
    assert socket.gethostname() in file.name
