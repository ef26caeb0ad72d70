"""Print the CPythons from 3.11 on that this machine has, one path a version (3.13 and 3.13t are two)."""

import glob
import json
import os
import subprocess
import sys

FACTS = """
import json, ssl, sys, sysconfig, venv, ensurepip
print(json.dumps([sys.implementation.name, *sys.version_info[:2], sysconfig.get_config_var("Py_GIL_DISABLED") or 0]))
"""
folders = [os.path.dirname(sys.executable), *os.get_exec_path()]
folders += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin")), reverse=True)
found = {}
for folder in folders:
    for path in sorted(glob.glob(os.path.join(folder, "python3.[0-9]*"))):
        if path.removesuffix("t").rpartition("3.")[2].isdigit():  # not python3.11-config
            run = subprocess.run([path, "-c", FACTS], capture_output=True, text=True)
            if run.returncode == 0:  # pyenv's shims fail for versions that are not switched on
                name, *version = json.loads(run.stdout)
                if name == "cpython" and version[:2] >= [3, 11]:
                    found.setdefault(tuple(version), path)
for _, path in sorted(found.items()):
    print(path)
