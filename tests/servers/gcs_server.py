"""Describe a running GCS server, as a test and the uploader it starts need to know it."""

from __future__ import annotations

import dataclasses
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.oauth2.credentials import Credentials

#: Any: a client needs one to make a bucket.
PROJECT = "test"

#: What the machine's own Google files say must not reach a test.
NO_FOLDER = "/nonexistent/gcloud"


@dataclasses.dataclass(frozen=True)
class GcsServer:
    """Where a GCS server listens, and what it wants to see.

    `token` is what requests must bear, `user_project` the project that they must name, None for
    neither; `ca_bundle` is the certificate authority of an https endpoint, None for http.
    """

    endpoint: str
    token: str | None = None
    user_project: str | None = None
    ca_bundle: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return what google-cloud-storage reads in place of this machine's own settings.

        Not `REQUESTS_CA_BUNDLE`: how the uploader is told of it is what a test tries.
        """
        return {
            "STORAGE_EMULATOR_HOST": self.endpoint,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "GOOGLE_APPLICATION_CREDENTIALS": "",
            "CLOUDSDK_CONFIG": NO_FOLDER,
            "NO_GCE_CHECK": "true",
        }

    def at(self, endpoint: str) -> GcsServer:
        """Return the same server behind another endpoint, such as a proxy's."""
        return dataclasses.replace(self, endpoint=endpoint, ca_bundle=None)

    def make_bucket(self) -> str:
        """Make a bucket that nobody else uses, and return its name."""
        name = f"test-{uuid.uuid4().hex}"
        bucket = storage.Bucket(self.client(), name, user_project=self.user_project)
        # `create_bucket` lets go of the project that pays.
        self.client().create_bucket(bucket, user_project=self.user_project)
        return name

    def client(self) -> Any:
        """Return a google-cloud-storage client for assertions, the same each time.

        It sees nothing of the environment: a test may set what it likes. Of its connections only
        so many are kept as urllib3 does; any thread may use it.
        """
        return self._client

    def answers(self) -> bool:
        """Tell whether it makes a bucket and stores an object."""
        impatient = self._make_client()
        try:
            bucket = impatient.bucket(f"ready-{uuid.uuid4().hex}", user_project=self.user_project)
            bucket.create(timeout=10, retry=None)
            blob = bucket.blob("key")
            blob.upload_from_string(b"content", timeout=10, retry=None)
            blob.delete(timeout=10, retry=None)
        except (GoogleAPIError, GoogleAuthError, requests.RequestException):
            return False
        finally:
            impatient.close()
        return True

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def _make_client(self) -> Any:
        client = storage.Client(
            project=PROJECT,
            credentials=Credentials(self.token) if self.token else AnonymousCredentials(),
            client_options={"api_endpoint": self.endpoint},
        )
        if self.ca_bundle:
            client._http.verify = str(self.ca_bundle)
        client._http.trust_env = False
        return client
