"""Load what every worker will need, in the process from which the workers are forked.

Each worker would load it for itself: TLS takes 0.02 s of CPU, and XML as long at its first use.
"""

from __future__ import annotations

import ssl  # noqa: F401  for what it loads, as the others
import xml.etree.ElementTree as ET  # noqa: F401

import uploader.store.s3.store  # noqa: F401
