"""What an engine runs on a machine of its own: one worker until the study ends."""

from __future__ import annotations

import json
from dataclasses import asdict

from schedsearch.workers.safety import Safety


def packed(safety: Safety) -> str:
    """As text, which every engine can hand over."""
    return json.dumps(asdict(safety))


def serve_here(storage: str, study: str, safety: str, memory_share: float) -> None:
    """One worker on the accelerator that the engine gave this process, else on its CPUs."""
    from schedsearch.training.devices import default_devices
    from schedsearch.workers import logs
    from schedsearch.workers.loop import WorkerOptions
    from schedsearch.workers.serve import serve

    logs.set_up("json")
    device = default_devices()[0]
    options = WorkerOptions(study, device, safety=Safety(**json.loads(safety)), memory_share=memory_share)
    serve(storage, options)
