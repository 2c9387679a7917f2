"""Describe a running S3 server, as a test and the uploader it starts need to know it."""

from __future__ import annotations

import dataclasses
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-east-1"

#: What the machine's own AWS files say must not reach a test.
NO_FILE = "/nonexistent/aws"


@dataclasses.dataclass(frozen=True)
class S3Server:
    """Where an S3 server listens, and who may use it.

    `ca_bundle` is the certificate authority of an https endpoint, None for http.
    """

    endpoint: str
    access_key: str
    secret_key: str
    ca_bundle: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return what boto3 reads in place of this machine's own settings.

        Not `AWS_CA_BUNDLE`: how the uploader is told of it is what a test tries.
        """
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": f"{NO_FILE}/config",
            "AWS_SHARED_CREDENTIALS_FILE": f"{NO_FILE}/credentials",
        }

    def at(self, endpoint: str) -> S3Server:
        """Return the same server behind another endpoint, such as a proxy's."""
        return dataclasses.replace(self, endpoint=endpoint, ca_bundle=None)

    def make_bucket(self) -> str:
        """Make a bucket that nobody else uses, and return its name."""
        bucket = f"test-{uuid.uuid4().hex}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def client(self) -> Any:
        """Return a boto3 client for assertions, the same each time; any thread may use it.

        It sees nothing of the environment: a test may set `AWS_...` as it likes.
        """
        return self._client

    def answers(self) -> bool:
        """Tell whether it stores an object: it listens a second before it can do that."""
        impatient = self._make_client(attempts=1, patience=10)
        try:
            bucket = f"ready-{uuid.uuid4().hex}"
            impatient.create_bucket(Bucket=bucket)
            impatient.put_object(Bucket=bucket, Key="key", Body=b"content")
            impatient.delete_object(Bucket=bucket, Key="key")
            impatient.delete_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError):
            return False
        finally:
            impatient.close()
        return True

    @cached_property
    def _client(self) -> Any:
        return self._make_client(attempts=3)

    def _make_client(self, attempts: int, patience: float = 30) -> Any:
        return boto3.Session(botocore_session=_deaf_session()).client(
            "s3",
            endpoint_url=self.endpoint,
            verify=str(self.ca_bundle) if self.ca_bundle else None,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=Config(
                connect_timeout=5,
                read_timeout=patience,
                retries={"mode": "standard", "total_max_attempts": attempts},
                s3={"addressing_style": "path"},
            ),
        )


def _deaf_session() -> Any:
    """A session that reads neither the profile nor the files that the environment names."""
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, f"{NO_FILE}/config", None),
            "credentials_file": (None, None, f"{NO_FILE}/credentials", None),
        }
    )
