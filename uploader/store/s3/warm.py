"""Load the SDK too, in the process from which the workers are forked."""

from __future__ import annotations

import uploader.store.s3.ready  # noqa: F401  for what it loads
from uploader.store.s3.client import MODELS

MODELS.load_service_model("s3", "service-2")
MODELS.load_service_model("s3", "endpoint-rule-set-1")
for _name in ("endpoints", "partitions", "sdk-default-configuration"):
    MODELS.load_data(_name)
