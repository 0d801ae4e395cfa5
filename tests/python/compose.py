"""Holds docker-compose.yml to the Compose schema, and prints it as JSON with its anchors resolved.

The schema is the one that check-jsonschema brings. Merge keys and anchors are YAML's own.
"""

import argparse
import json
import subprocess
import sys

import yaml


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    file = parser.parse_args().file
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        sys.exit(checked.stdout + checked.stderr)
    with open(file, encoding="utf-8") as text:
        print(json.dumps(yaml.safe_load(text)))


if __name__ == "__main__":
    main()
