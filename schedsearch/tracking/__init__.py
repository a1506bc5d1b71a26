"""The mirror of studies in MLflow: the only door to MLflow. Importing this room does not import MLflow."""

from schedsearch.privacy import redact
from schedsearch.tracking.address import check_tracking_uri, serve_command
from schedsearch.tracking.client import ping
from schedsearch.tracking.mirror import Mirror, SyncResult

__all__ = ["Mirror", "SyncResult", "check_tracking_uri", "ping", "redact", "serve_command"]
