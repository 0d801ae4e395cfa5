"""Makes every request of this process that of an owner, and every service that it starts take his token."""

import os
import pathlib
import subprocess
import tempfile
import urllib.request

_FOLDER = tempfile.TemporaryDirectory()


def _tarn_token(*words):
    key = f"{_FOLDER.name}/issuer.key"
    command = [os.environ["TARN_BIN"], "token", "--key", key, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def become():
    """Issue a token, use it, and have services take it."""
    keys = pathlib.Path(_FOLDER.name) / "keys.json"
    keys.write_text(_tarn_token("keys"))
    os.environ["TARN_TOKEN_KEYS"] = str(keys)
    token = _tarn_token("create", "--name", "bench", "--role", "owner")
    # A bench asks as fast as it can.
    os.environ["TARN_HTTP_RATE"] = "0"
    opener = urllib.request.build_opener()
    opener.addheaders = [("Authorization", f"Bearer {token}")]
    urllib.request.install_opener(opener)
    return token
