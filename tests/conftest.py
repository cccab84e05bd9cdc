import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
import pytest

ROOT = Path("/work/main")


@pytest.fixture(scope="session")
def aws_url():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    tmp = tempfile.mkdtemp()
    env = {
        "PATH": os.environ["PATH"],
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": tmp,
        "LAMBDA_EXECUTOR": "local",
    }
    p = subprocess.Popen(
        [str(ROOT / ".venv-aws/bin/ministack")],
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            if urllib.request.urlopen(url + "/_ministack/ready").status == 200:
                break
        except OSError:
            time.sleep(0.05)
    yield url
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()


import secrets as _s
from dataclasses import dataclass
from typing import Any


@dataclass
class LocalClients:
    url: str
    dynamodb: Any
    s3: Any

    def new_name(self):
        return "t" + _s.token_hex(6)


@pytest.fixture(scope="session")
def local_clients(aws_url):
    def c(n):
        return boto3.client(
            n, endpoint_url=aws_url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )

    return LocalClients(aws_url, c("dynamodb"), c("s3"))
