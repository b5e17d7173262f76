"""Names of kernels as traces show them (long arguments cut), with what they are."""

# ruff: noqa: E501

KINDS = """
gemm nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_NNN
gemm nvjet_sm100_qqtst_128x256_128x6_2x1_2cta_v_bz_bias_TNT
gemm nvjet_qqtst_128x256_128x6_2x2_2cta_h_bz_Avec32UE8M0_Bvec32UE8M0_TNT
gemm nvjet_sm100_tst_64x8_64x16_2x4_h_bz_splitK_TNT
gemm cutlass3x_sm100_simt_sgemm_f32_f32_f32_f32_f32_128x64x16_1x1x1_3_tnn_align1_bias_f32_relu
gemm ampere_fp16_s16816gemm_fp16_64x64_sliced1x2_ldg8_relu_f2f_stages_64x6_tn
gemm ampere_bf16_s16816gemm_bf16_128x256_ldg8_f2f_stages_64x3_tn
gemm turing_fp16_s1688gemm_fp16_128x128_ldg8_f2f_tn
gemm volta_fp16_s884gemm_fp16_128x64_ldg8_f2f_nn
gemm sm90_xmma_gemm_e4m3bf16_e4m3f32_f32_tn_n_tilesize128x128x128_warpgroupsize1x1x1_bias_bf16_execute_segment_k_off_kernel__5x_cublas
gemm void gemmSN_TN_kernel<float, 128, 16, 2, 4, 8, 9, false, cublasGemvTensorStridedBatched<float const>>(cublasGemmSmallNParams)
gemm void gemv2T_kernel_val<int, int, __nv_bfloat16, __nv_bfloat16, __nv_bfloat16, float, 128, 16, 4, 4, false, false, cublasGemvParamsEx>(cublasGemvParamsEx)
gemm std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, __half, __half, __half, float, false, true, true, false, 7, false, cublasGemvParamsEx<int>>(cublasGemvParamsEx<int>)
gemm void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int, int>, cutlass::gemm::collective::CollectiveMma<cutlass::gemm::MainloopSm90TmaGmmaWarpSpecializedFP8<4>>, cutlass::epilogue::collective::CollectiveEpilogue<...ScaledAcc...> > >(...)
gemm void deep_gemm::sm90_fp8_gemm_1d2d_impl<0u, 7168u, 2048u, 1u, 128u, 128u, 128u, 128u, 128u, 128u, 5u, 0u, 128u, 128u, 2u, true, 132u, (deep_gemm::GemmType)0>(float*, int*, unsigned int, unsigned int, unsigned int, CUtensorMap)
gemm void deep_gemm::fp8_gemm_kernel<4096u, 7168u, 128u, 112u, 128u, 1u, 8u, 5u, 128u, 2u, false, (deep_gemm::GemmType)0>(__nv_bfloat16*, float*, int*, unsigned int, CUtensorMap)
gemm void marlin::Marlin<__half, 1125899906909960l, 256, 1, 8, 8, false, 4, 8, false>(int4 const*, int4 const*)
moe void marlin_moe_wna16::Marlin<1125899906909960l, 562949953487106l, 1125899906909960l, 2814749767106568l>(int4 const*)
moe fused_moe_kernel
moe _ZN5aiter40fmoe_bf16_blockscaleFp8_g1u1_novs_silu_1tg_ps_32x256E
moe void vllm::moe::topkGatingSoftmax<4, 128, 4, 16, 32, int>(float const*, bool const*, float*, int, int*, int*, int, int, int)
moe void vllm::moe::moe_align_block_size_kernel<int>(int const*, int*, int*, int*, int, int, int, int, int*, int)
moe void moe_sum_kernel<c10::BFloat16, 8>(c10::BFloat16*, c10::BFloat16 const*, int)
moe void tensorrt_llm::kernels::cutlass_kernels::finalizeMoeRoutingKernel<__nv_bfloat16>()
moe void tensorrt_llm::kernels::cutlass_kernels::expandInputRowsKernel<__nv_bfloat16>()
moe _ZN7ck_tile6kentryILi1ENS_17MoeSortingKernelINS_18MoeSortingProblemExIifLi1ELb0ELb1ELb1ELi0EEEEEJNS4_5KargsEEEEvDpT1_
moe bmm_E4m3_E2m1E2m1_Fp32_routingCustom_moe_kernel
attention void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>>, cute::tuple<cute::C<128>, cute::C<176>, cute::C<128>>, 128, cutlass::bfloat16_t, float, cutlass::arch::Sm90, true>>>>(flash::Params)
attention _ZN7cutlass13device_kernelIN5flash11enable_sm90INS1_16FlashAttnFwdSm90INS1_25CollectiveMainloopFwdSm90ILi2EN4cute5tupleIJNS5_1CILi1EEES8_S8_EEENS6_IJNS7_ILi128EEENS7_ILi176EEESA_EEELi128ENS_10bfloat16_tEfNS_4arch4Sm90ELb1ELb0ELb0ELb1ELb1ELb0ELb0ELb0ELb1ELb1ELb0ELb0EEENS1_21CollectiveEpilogueFwdINS6_IJSA_SA_SB_EEES9_SD_SF_Li256ELb1ELb1ELb0ELb0EEENS1_35VarlenDynamicPersistentTileScheduler
attention kernel_cutlass_kernel_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100_object_at__tensorptrbf16gmem
attention void flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel<Flash_bwd_kernel_traits<128, 64, 128, 8, 2, 4, 2, false, false, cutlass::bfloat16_t>, true>(flash::Flash_bwd_params)
attention void flash::flash_bwd_dot_do_o_kernel<true, Flash_bwd_kernel_traits<128, 64, 128, 8>>(flash::Flash_bwd_params)
attention void flash::flash_fwd_splitkv_combine_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4>, 4, 2, true>(flash::Flash_fwd_params)
attention void flashinfer::BatchPrefillWithPagedKVCacheKernel<flashinfer::KernelTraits<(flashinfer::MaskMode)1, 128u>>(flashinfer::PagedParams)
attention void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0, 2u, 4u, 8u, 16u, 1u, 8u, flashinfer::DefaultAttention<false>>(...)
attention void flashinfer::PersistentVariableLengthMergeStatesKernel<8u, 16u, 4u, 4u, __nv_bfloat16>(...)
attention fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::bfloat16_t, cutlass::arch::Sm80, true, 64, 128, 128, true, true>::Params)
attention fmha_cutlassB_f16_aligned_64x64_k64_dropout_sm80(PyTorchMemEffAttention::AttentionBackwardKernel::Params)
attention cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_3_64x128x128_4x1x1_cga1x1x1_kernel0_0
attention fmhaSm100fKernel_QkvE4m3OBfloat16HQk576HV512PagedKvDenseP64MultiCtasKvVarSeqQ8Kv128StaticSwapsAbForGen
attention void vllm::paged_attention_v2_kernel<__nv_bfloat16, __nv_bfloat16, 128, 16, 128, (vllm::Fp8KVCacheDataType)0, false, 512>(float*)
attention kernel_unified_attention_2d
attention _fwd_grouped_kernel_stage1
attention _fwd_kernel_stage2
attention void flash_fwd_splitkv_mla_fp8_sparse_kernel<...>
attention void sm90::fwd::sparse_attn_fwd_kernel<sm90::fwd::KernelTemplate<512, true>>(sm90::fwd::Params)
attention mla_a8w8_qh16_qseqlen1_gqaratio16_ps
attention _ZN7ck_tile6kentryILi256ELi2ENS_13FmhaFwdKernelINS_31BlockFmhaPipelineQRKSVSAsync
attention void tensorrt_llm::kernels::mmha::masked_multihead_attention_kernel<...>
attention triton_tem_fused_flex_attention_0
attention triton_tem_fused__to_copy_scaled_dot_product_flex_attention_2
gemm triton_tem_fused_addmm_mm_relu_3
softmax triton_per_fused__softmax_add_mul_5
softmax triton_red_fused__log_softmax_nll_loss_forward_7
normalization triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_2
normalization triton_per_fused_native_layer_norm_1
elementwise triton_poi_fused_mul_silu_3
embedding triton_poi_fused_embedding_0
elementwise triton_poi_fused_clone_4
reduction triton_red_fused_sum_9
optimizer triton_for_fused_adam_0
elementwise loop_add_fusion
elementwise wrapped_convert
elementwise loop_add_multiply_fusion_3
reduction input_reduce_fusion_12
reduction wrapped_reduce
gemm gemm_fusion_dot_12
gemm gemm_fusion_dot.3
copy input_transpose_fusion
copy loop_transpose_fusion_1
index loop_dynamic_update_slice_fusion
index input_scatter_fusion
copy input_concatenate_fusion_2
copy loop_concatenate_fusion
fused fusion_12
gemm __cublas$gemm
gemm __cublas$lt$matmul
attention __cudnn$fmhaSoftmax
convolution __cudnn$convForward
softmax triton_softmax_3
softmax triton_softmax_computation
normalization void (anonymous namespace)::cuApplyLayerNorm<float, float, float>(float*, float*, float*, float const*, int, int, float, float const*, float const*)
normalization void layer_norm::ln_fwd_kernel<layer_norm::Kernel_traits<__nv_bfloat16, __nv_bfloat16, __nv_bfloat16, float, unsigned int, 4096u, 1u, 1u, 4u, 16u>>(layer_norm::FwdParams)
normalization void transformer_engine::normalization::rmsnorm_fwd_tuned_kernel<...>
normalization void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(...)
normalization std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, c10::BFloat16*)
normalization void vllm::rms_norm_kernel<c10::BFloat16>(c10::BFloat16*, c10::BFloat16 const*, long, c10::BFloat16 const*, float, int, int)
normalization kernel_cutlass_kernel_flashinfernormkernelsfused_add_rmsnormFusedAddRMSNormKernel_object_at__
normalization _layer_norm_fwd_1pass_kernel
normalization MIOpenBatchNormFwdTrainSpatial
normalization _ZN7ck_tile6kentryILi256ENS_12Rmsnorm2dFwdINS_26Rmsnorm2dFwdPipelineOnePass
softmax void scaled_upper_triang_masked_softmax_warp_forward<__half, __half, float, 10>(__half*, __half const*, float, int, int, int)
softmax void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, float, float, float, at::native::(anonymous namespace)::LogSoftMaxForwardEpilogue>(float*, float const*, int)
softmax liger_cross_entropy_kernel
embedding void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*, c10::BFloat16*)
embedding void flashinfer::BatchQKApplyRotaryPosIdsCosSinCacheHeadParallelismKernel<false, 128u, 8u, 16u, __half, long>(...)
embedding void at::native::(anonymous namespace)::embedding_backward_kernel_something<float>(...)
embedding _rope_embedding
index void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(...)
elementwise void vllm::act_and_mul_kernel<c10::BFloat16, &(c10::BFloat16 vllm::silu_kernel<c10::BFloat16>(c10::BFloat16 const&)), true>(c10::BFloat16*, c10::BFloat16 const*, int)
elementwise void flashinfer::activation::act_and_mul_kernel<__nv_bfloat16, &(silu(float const&))>(__nv_bfloat16*, __nv_bfloat16 const*, int)
quantization void vllm::dynamic_per_token_scaled_fp8_quant_kernel<c10::BFloat16>(...)
quantization void per_token_group_quant_8bit_kernel<c10::BFloat16, c10::Float8_e4m3fn, true>(...)
quantization _per_token_group_quant_fp8
quantization void kDequantizeBlockwise<__nv_bfloat16, 512, 64, 8, 2>(float*, unsigned char*, float*, __nv_bfloat16*, int, int)
quantization void transformer_engine::cast_transpose_fused_kernel<...>
gemm void kgemm_4bit_inference_naive<__nv_bfloat16, 128, 16>(int, int, int, __nv_bfloat16*)
optimizer void kOptimizerStatic8bit2StateBlockwise<float, 0, 256, 1>(float*, float*)
optimizer void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::FusedOptimizerTensorListMetadata<4>, at::native::(anonymous namespace)::FusedAdamMathFunctor<float, 4, (at::native::(anonymous namespace)::ADAM_MODE)1, false>, float const*>(...)
optimizer void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float, float, int>, float, float, float, float, float, float, adamMode_t, float>(...)
reduction void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::TensorListMetadata<1>, at::native::(anonymous namespace)::LpNormFunctor<float, (at::native::NormType)1, float, 1, 1, 0>, float*, int>(...)
reduction void multi_tensor_apply_kernel<TensorListMetadata<1>, L2NormFunctor<float>, float*, float*, bool, int>(...)
scan _chunk_scan_fwd_kernel
scan void selective_scan_fwd_kernel<Selective_Scan_fwd_kernel_traits<128, 16, 1, false, true, true, true, true, float, float>>(SSMParamsBase)
scan chunk_gated_delta_rule_fwd_kernel_h_blockdim64
scan fused_recurrent_gated_delta_rule_fwd_kernel
scan void causal_conv1d_fwd_kernel<Causal_conv1d_fwd_kernel_traits<128, 4, true, c10::BFloat16, c10::BFloat16>>(ConvParamsBase)
scan chunk_kda_fwd_kernel
sort void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(...)
sort void at::native::radixSortKVInPlace<2, -1, 16, 16, float, long, unsigned int>(...)
random void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024u, (cub::BlockScanAlgorithm)2, (cub::BlockReduceAlgorithm)2, 4u, true, float, int>(...)
random void at::native::(anonymous namespace)::fused_dropout_kernel_vec<c10::BFloat16, float, unsigned int, 1, 4, bool>(...)
index void at::native::index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<...>>(...)
index void at::native::indexing_backward_kernel<float, 4>(...)
index void at::native::_scatter_gather_elementwise_kernel<128, 8, at::native::_cuda_scatter_gather_internal_kernel<...>>(...)
copy void at::native::(anonymous namespace)::CatArrayBatchedCopy_aligned16_contig<float, unsigned int, 1, 128, 1>(...)
copy __amd_rocclr_copyBuffer
copy __amd_rocclr_fillBufferAligned
convolution sm80_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x32_stage3_warpsize2x2x1_g1_tensor16x8x16_execute_kernel_cudnn
convolution void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1, false, false, true>(int, int, int)
convolution void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>(...)
convolution miopenSp3AsmConv_v30_3_1_gfx94x_fp32_f2x3_stride1
convolution naive_conv_ab_nonpacked_fwd_nchw_half_double_half
gemm gemm_kernel
gemm _ZTSN2at6native3xpu13xetla_gemm_kernel
gemm gen_gemm_kernel_bf16
convolution gen_conv_kernel
gemm _w8a8_block_fp8_matmul
gemm void cutlass::Kernel2<cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_nn_align1>(cutlass_75_tensorop::Params)
gemm void wvSplitK_hf_sml_<__hip_bfloat16, 64, 2, 16, 8, 2, 1>(int, int, int)
gemm _ZN5aiter37bf16gemm_fp32bf16_tn_96x64_pf3_splitkE
attention _ZN5aiter30fmha_fwd_hd128_bf16_causal_groupE
gemm void mul_mat_vec_q<(ggml_type)12, 1, false, false>(void const*)
gemm void mul_mat_q<(ggml_type)8, 128, false>(char const*)
quantization quantize_mmq_q8_1
attention void flash_attn_ext_f16<128, 128, 8, 8, 1, false, false>(char const*)
normalization void rms_norm_f32<1024, true, false>(float const*)
embedding void rope_norm<true, false, float>(float const*)
embedding void k_get_rows<float>(...)
softmax void soft_max_f32<true, 0, 0, float>(...)
other my_magic
"""

COLLECTIVES = """
all_reduce|nccl|ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)
all_reduce|nccl|ncclKernel_AllReduce_RING_LL_Sum_float(ncclDevComm*, unsigned long, ncclWork*)
all_reduce|nccl|ncclAllReduceRingLLKernel_sum_f32(ncclColl)
all_gather|nccl|ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)
reduce_scatter|nccl|ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)
broadcast|nccl|ncclDevKernel_Broadcast_RING_LL
send_recv|nccl|ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)
reduce|nccl|ncclDevKernel_Reduce_Sum_f32_RING_LL
all_reduce|nccl|ncclSymkDevKernel_AllReduce_AGxLL_R_sum_f32
reduce_scatter|nccl|ncclSymkDevKernel_ReduceScatter_LL_sum_f8e4m3
unknown|rccl|ncclDevKernel_Generic_4(ncclDevKernelArgsStorage<4096ul>)
unknown|rccl|ncclDevKernel_Generic(ncclDevComm*, channelMasks, ncclWork*)
all_reduce|symmetric memory|void (anonymous namespace)::multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*, unsigned long, unsigned int**, unsigned long, unsigned long)
all_reduce|symmetric memory|void (anonymous namespace)::two_shot_all_reduce_kernel_inplace<c10::BFloat16, 16, 8>(c10::BFloat16**, unsigned long)
all_reduce|symmetric memory|one_shot_all_reduce_kernel
all_gather|symmetric memory|void c10d::symmetric_memory::multimem_all_gather_kernel<16>(char*)
barrier|symmetric memory|(anonymous namespace)::barrier_kernel(unsigned int**, int, int, int, unsigned long)
all_reduce|custom all-reduce|void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*, vllm::RankSignals, vllm::Signal*, __nv_bfloat16*, int, int)
all_reduce|custom all-reduce|void sglang::cross_device_reduce_2stage<__half, 8>(sglang::RankData*)
all_reduce|custom all-reduce|void quickreduce::allreduce_prototype_twoshot<quickreduce::AllReduceTwoshot<__hip_bfloat16>>(...)
all_reduce|trtllm|void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(flashinfer::trtllm_allreduce_fusion::AllReduceFusionPattern)1, __nv_bfloat16, 8, false, false>(...)
all_reduce|trtllm|void tensorrt_llm::kernels::ar_fusion::allreduce_fusion_kernel_oneshot_lamport<...>(...)
all_reduce|trtllm|void tensorrt_llm::kernels::oneShotAllReduceKernel<__nv_bfloat16, 8>(...)
all_to_all|trtllm|void tensorrt_llm::kernels::moe_a2a::moeA2ADispatchKernel<...>(...)
all_to_all|deep_ep|void deep_ep::internode_ll::dispatch<true, 3, 10, 7168>(void*, float*, int*)
all_to_all|deep_ep|void deep_ep::internode_ll::combine<3, 10, 7168, 9>(void*, void*, int*)
all_to_all|deep_ep|void deep_ep::intranode::notify_dispatch<8>(int const*, int*)
barrier|deep_ep|void deep_ep::intranode::cached_notify_combine<8>(void**, int*)
barrier|deep_ep|void deep_ep::internode::cached_notify<false, 8>(...)
barrier|deep_ep|void deep_ep::internode_ll::clean_low_latency_buffer<1>(...)
all_to_all|mori|mori::moe::EpDispatchIntraNodeKernel
barrier|nvshmem|nvshmemi_barrier_all_kernel
barrier|nvshmem|void barrier_on_stream_kernel_threadgroup<(nvshmemi_threadgroup_t)2>(int)
all_reduce|mscclpp|void mscclpp::collective::allreduceNvls<...>
all_reduce|oneccl|oneccl_allreduce_pcie
all_reduce|xla|all-reduce.3
all_reduce|xla|all-reduce-start.1
send_recv|xla|collective-permute-done
all_gather|xla|all-gather-start.12
all_reduce|hccl|hcom_allReduce__123_1
none||void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(at::native::ReduceOp<float>)
none||ncclx
none||my_nccl_check_kernel
none||void fill(ncclDevComm*)
none||all_reduced_norm
none||elementwise_all_gather_like
none||bytedance::flux::ag_gemm_kernel
none||deep_ep::layout::get_dispatch_layout<256, 32, 8>
none||barrier_kernel(int*)
none||void rocprim::detail::block_reduce_kernel<true>
none||cub::DeviceReduceKernel
none||broadcast_add_kernel
none||gather_all_kernel
none||hiccl
"""


def kinds():
    """(kind, name) of every line."""
    return [tuple(line.split(" ", 1)) for line in KINDS.strip().splitlines()]


def collectives():
    """(kind, library, name) of every line; kind is "none" where the kernel does not communicate."""
    return [tuple(line.split("|", 2)) for line in COLLECTIVES.strip().splitlines()]
