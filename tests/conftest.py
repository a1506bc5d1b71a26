"""Every process of the tests has its own locks of devices, so that no test waits for another's runs."""

import os
import tempfile

os.environ["SCHEDSEARCH_LOCKS"] = tempfile.mkdtemp(prefix="schedsearch-locks-")
