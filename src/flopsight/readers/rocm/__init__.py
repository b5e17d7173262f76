"""AMD: rocprofv3 (CSV, JSON, rocpd), ROCm compute profiler workloads, RPD.

rows       what every format here is made of: dispatches, copies, calls, counters
csvs       rocprofv3's CSV files, one or a folder of them
compute    workload folders of the ROCm compute profiler (Omniperf)
documents  rocprofv3's JSON
rocpd      rocprofv3's SQLite
rpd        RPD's SQLite
"""
