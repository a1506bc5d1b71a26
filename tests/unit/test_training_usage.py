"""What a run took of its device: measured on this CPU, and read from a GPU's driver (here a library of our own making
that answers like one, for there is no GPU)."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from schedsearch.training import nvml
from schedsearch.training.usage import UsageWatch

DRIVER = """
#include <string.h>
#include <time.h>
static unsigned long long joules(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 100ULL * (now.tv_sec * 1000ULL + now.tv_nsec / 1000000ULL);  /* mJ: a device of 100 W */
}
static int gpus[2] = {0, 1};
static unsigned asked;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "no"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &gpus[index]; return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (strcmp(uuid, "GPU-one") == 0) { *device = &gpus[0]; return 0; }
    if (strcmp(uuid, "MIG-two") == 0) { *device = &gpus[1]; return 0; }
    return 6;
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) { strncpy(name, "Paper 9000", length); return 0; }
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    rates[0] = asked++ % 2 ? 90 : 70; rates[1] = 0; return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
    if (device == &gpus[1]) return 3;  /* not supported */
    *energy = joules(); return 0;
}
"""

PROGRAM = """
import json, time
from types import SimpleNamespace
import torch
from schedsearch.training import nvml, usage
torch.cuda.get_device_properties = lambda device: SimpleNamespace(uuid=["one", "two", "three"][device.index])
found = {"names": nvml.names()}
for name in ("cuda:0", "cuda:1", "cuda:2"):
    watch = usage._GpuWatch(torch.device(name))
    started = time.monotonic()
    time.sleep(1.2)
    found[name] = (*watch.end(), time.monotonic() - started)
print(json.dumps(found))
"""


def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_cpu_is_as_busy_as_its_processor_seconds_say():
    busy, idle = UsageWatch("cpu"), UsageWatch("cpu")
    started = time.monotonic()
    spin(0.3)
    used = busy.read()
    assert used.utilization == pytest.approx(0.3 / (time.monotonic() - started) / threads(), rel=0.3)
    time.sleep(3 * (time.monotonic() - started))
    assert idle.read().utilization < 0.6 * used.utilization
    assert used.energy_j is None


def threads():
    import torch

    return torch.get_num_threads()


def test_the_peak_is_that_of_this_run():
    watch = UsageWatch("cpu")
    before = watch.read().peak_memory_bytes
    block = bytearray(200_000_000)
    for at in range(0, len(block), 4096):
        block[at] = 1
    assert watch.read().peak_memory_bytes - before > 150_000_000
    del block


def test_a_script_is_measured_in_the_process_that_it_is():
    watch = UsageWatch("cpu", is_script=True)
    program = "import time\nblock = bytearray(b'x') * 300_000_000\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", program], check=True)
    used = watch.read()
    assert used.peak_memory_bytes > 300_000_000
    assert used.utilization > 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a driver library with")
def test_a_gpu_tells_how_busy_it_was_and_what_it_used(tmp_path):
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "libnvidia-ml.so.1", source], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(said.stdout)
    assert found["names"] == ["Paper 9000", "Paper 9000"]
    busy, joules, seconds = found["cuda:0"]
    assert 0.7 <= busy <= 0.9
    assert joules == pytest.approx(100 * seconds, rel=0.1)
    busy, joules, _ = found["cuda:1"]
    assert 0.7 <= busy <= 0.9
    assert joules is None
    assert found["cuda:2"][:2] == [None, None]


def test_no_driver_no_answer():
    if nvml.names():
        pytest.skip("an NVIDIA driver answers on this machine")
    assert nvml.gpu_of("0") is None
