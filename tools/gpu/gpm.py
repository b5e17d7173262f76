"""The tensor pipes' own word: NVML's GPU performance monitoring between two moments (Hopper and later)."""

import contextlib

METRICS = {
    "sm": "NVML_GPM_METRIC_SM_UTIL",
    "any_tensor": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "half_tensor": "NVML_GPM_METRIC_HMMA_TENSOR_UTIL",
    "int_tensor": "NVML_GPM_METRIC_IMMA_TENSOR_UTIL",
    "dram": "NVML_GPM_METRIC_DRAM_BW_UTIL",
    "fp32": "NVML_GPM_METRIC_FP32_UTIL",
}


class Gpm:
    """Shares of cycles in percent, averaged between entering and leaving; `why` where the driver has none."""

    def __init__(self, index=0):
        self.values, self.why, self._index = {}, "", index

    def __enter__(self):
        try:
            import pynvml

            self._nvml = pynvml
            pynvml.nvmlInit()
            self._device = pynvml.nvmlDeviceGetHandleByIndex(self._index)
            if not pynvml.nvmlGpmQueryDeviceSupport(self._device).isSupportedDevice:
                self.why = "the driver has no performance monitoring for this device"
                return self
            self._before = self._sample()
        except Exception as error:
            self.why = f"{type(error).__name__}: {error}"
        return self

    def __exit__(self, *error):
        if self.why:
            return
        after = self._sample()
        nvml, names = self._nvml, list(METRICS)
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(names)
        asked.sample1, asked.sample2 = self._before, after
        for position, name in enumerate(names):
            asked.metrics[position].metricId = getattr(nvml, METRICS[name])
        try:
            nvml.nvmlGpmMetricsGet(asked)
            self.values = {name: asked.metrics[position].value for position, name in enumerate(names)}
        except nvml.NVMLError as failure:
            self.why = str(failure)
        for sample in (self._before, after):
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlGpmSampleFree(sample)

    def _sample(self):
        return self._nvml.nvmlGpmSampleGet(self._device, self._nvml.nvmlGpmSampleAlloc())


def state(index=0):
    """Clocks, power and throttling now, as the driver tells them; empty without a driver."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        return {
            "name": nvml.nvmlDeviceGetName(device),
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
            "sm_clock_max_mhz": nvml.nvmlDeviceGetMaxClockInfo(device, nvml.NVML_CLOCK_SM),
            "power_w": nvml.nvmlDeviceGetPowerUsage(device) / 1e3,
            "power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1e3,
            "throttle_reasons": nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device),
        }
    except Exception as error:
        return {"why": f"{type(error).__name__}: {error}"}
