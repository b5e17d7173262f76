"""Words of communication kernels, by library. Only the function's own name is read: arguments and templates may hold
types of a library that the kernel does not call.
"""  # fmt: skip

from typing import Final

from flopsight.kernels.names import Rows

LIBRARIES: Final[Rows] = (
    ("rccl", "^_nccl_dev_kernel_generic ^_nccl_kernel_generic _rccl ^_msccl_kernel"),
    ("ncclx", "^_nccl+ctran _ctran_"),
    ("nccl", """
        ^_nccl_dev_ ^_nccl_kernel ^_nccl_symk ^_nccl_sym ^_nccl_all ^_nccl_reduce ^_nccl_send ^_nccl_broad
        ^_nccl_func ^_nccl_onerank ^_nccl_generic ^_nccl_ep ^_nccl_gin
    """),
    ("deep_ep", """
        deep_ep_legacy deep_ep_elastic deep_ep_hybrid+dispatch deep_ep_hybrid+combine _ep_intranode _ep_internode
        hybrid_ep
    """),
    ("trtllm", """
        trtllm+allreduce trtllm+all_reduce tensorrt_llm+allreduce tensorrt_llm+all_reduce trtllm_mnnvl
        tensorrt_llm+all_gather tensorrt_llm+reduce_scatter lamport allreduce_fusion all_reduce_fusion
        oneshot_allreduce twoshot_allreduce one_shot_all_reduce_kernel+tensorrt moe_a2a moe_alltoall moe_all_to_all
        moe_comm_ fused_moe_comm moefinalize_allreduce moe_finalize_allreduce
    """),
    ("custom all-reduce", """
        cross_device_reduce quickreduce quick_reduce quick_allreduce quick_all_reduce qr_all_reduce
        allreduce_prototype reduce_scatter_cross_device allgather_cross_device allgather_lastdim allgather_vec
        all_reduce_stage ^_custom_ar ^_custom_all_reduce push_allreduce pull_allreduce
    """),
    ("symmetric memory", """
        multimem_ one_shot_all_reduce two_shot_all_reduce one_shot_reduce two_shot_reduce one_shot_all_gather
        two_shot_all_gather symm_mem symmetric_memory all_to_all_vdev low_contention
    """),
    ("mscclpp", "mscclpp"),
    ("mori", "^_mori_ ep_dispatch_intra ep_dispatch_inter ep_combine_intra ep_combine_inter"),
    ("pplx", "pplx+dispatch pplx+combine all_to_all_dispatch all_to_all_combine a2a_dispatch a2a_combine"),
    ("flux", "bytedance_flux ^_flux_"),
    ("triton-distributed", """
        ring_reduce_tma ring_reduce_non ^_ring_reduce cp_engine_producer kernel_all_gather kernel_reduce_scatter
        kernel_all_to_all kernel_ag_ kernel_combine_token kernel_dispatch_token
    """),
    ("transformer engine", "userbuffers"),
    ("rocshmem", "rocshmem"),
    ("nvshmem", "nvshmem barrier_on_stream_kernel sync_on_stream_kernel"),
    ("oneccl", "oneccl _ccl_all _ccl_reduce _ccl_sycl ^_ccl_"),
    ("hccl", "hccl ^_hcom_"),
    ("gloo", "^_gloo_ ^_gloo"),
    ("", """
        ^_intranode_alltoall ^_intranode_all_to_all ^_internode_alltoall ^_all_reduce_kernel ^_allreduce_kernel
        ^_all_gather_kernel ^_allgather_kernel ^_reduce_scatter_kernel ^_all_to_all_kernel ^_alltoall_kernel
        ^_ring_all_reduce ^_dlslime
    """),
)  # fmt: skip
"""Library, and what its kernels have in their names; "" where it is known to be a collective and no more."""

PROGRAMS: Final[Rows] = (
    ("xla", """
        ^_all_reduce ^_all_gather ^_reduce_scatter ^_all_to_all ^_collective_permute ^_collective_broadcast
        ^_ragged_all_to_all ^_async_all ^_send_done ^_recv_done
    """),
)  # fmt: skip
"""Operations of XLA's programs: all-reduce.3, all-gather-start."""

COLLECTIVES: Final[Rows] = (
    ("all_reduce", """
        all_reduce allreduce cross_device_reduce quickreduce quick_reduce one_shot_reduce two_shot_reduce
        lamport+norm userbuffers+allreduce
    """),
    ("reduce_scatter", "reduce_scatter reducescatter ring_reduce userbuffers+rs _rs_"),
    ("all_gather", "all_gather allgather fcollect cp_engine_producer userbuffers+ag _ag_"),
    ("barrier", "cached_notify barrier clean_low_latency sync_all sync_kernel wait_signal quiet"),
    ("all_to_all", "all_to_all alltoall a2a dispatch combine notify moe_comm prepare"),
    ("send_recv", """
        sendrecv p2p collective_permute put_signal put_kernel get_kernel _put_ _get_ pushsend pushrecv send_ recv_
        _send _recv
    """),
    ("broadcast", "broadcast bcast"),
    ("reduce", "reduce"),
)  # fmt: skip

COMPUTES: Final = ("gemm", "matmul", "get_dispatch_layout", "group_offset", "_norm_only", "permute_kernel",
                   "permute_preprocess", "preprocess")  # fmt: skip
"""A product with a collective inside is computing; these, too, only prepare what is sent."""
SIGNALS: Final = ("_barrier_kernel_", "_put_signal_kernel_", "_wait_signal_kernel_", "_c10d_symmetric_memory_")
"""PyTorch's own signals between devices: they take a table of pads, unsigned int**."""
