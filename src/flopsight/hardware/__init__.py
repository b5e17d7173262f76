"""Chips, nodes, links and processors: 99 accelerators, 59 links and 10 CPU families, each number with its source.

    catalog       chips(), find("h100-sxm"), node("8xH200"), match_driver("torch", "NVIDIA H100 80GB HBM3")
    chip          Chip, Node, Fabric: peak(dtype, basis="datasheet" | "clock" | "measured"), memory, links, power
    interconnect  links(), find_link("nvlink4")
    cpus          cpus(), find_cpu("epyc 9654"), match_cpu(vendor, family, model)
    detect        here(): what this machine has
    user          chip files of the user's own

The data files under `data/` are the source of truth; `compiled` keeps a fast copy of them.
"""
