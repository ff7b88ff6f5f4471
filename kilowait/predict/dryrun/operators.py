"""What is known of an operator by its name: its kind, how many kernels it launches, whether it moves any data."""

from __future__ import annotations

from kilowait.predict.dryrun.record import Kind

_BY_NAME = {
    Kind.GEMM: "mm bmm addmm baddbmm addbmm matmul mv addmv dot vdot ger addr linear einsum _scaled_mm _int_mm",
    Kind.CONVOLUTION: "convolution convolution_backward _convolution convolution_overrideable cudnn_convolution "
    "mkldnn_convolution miopen_convolution slow_conv_dilated2d",
    Kind.RECURRENT: "lstm gru rnn_tanh rnn_relu _cudnn_rnn mkldnn_rnn_layer "
    "_cudnn_rnn_backward mkldnn_rnn_layer_backward",
    Kind.SOFTMAX: "_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data logsumexp _safe_softmax "
    "log_softmax softmax",
    Kind.SCAN: "cumsum cumprod cummax cummin logcumsumexp sort topk argsort msort unique2 _unique2 kthvalue mode "
    "median",
    Kind.INDEXING: "embedding embedding_dense_backward gather scatter scatter_add index_select index_add index "
    "index_put _index_put_impl _unsafe_index _unsafe_index_put take nonzero masked_select masked_scatter index_copy "
    "scatter_reduce grid_sampler_2d grid_sampler_2d_backward embedding_bag _embedding_bag bincount "
    "one_hot searchsorted bucketize unfold_backward select_backward slice_backward index_fill "
    "index_reduce",
    Kind.COPY: "clone copy cat stack fill zero zeros ones full zeros_like ones_like full_like new_zeros new_ones "
    "new_full arange linspace eye constant_pad_nd contiguous repeat roll flip tril triu im2col col2im "
    "_to_copy reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d replication_pad3d "
    "pixel_shuffle pixel_unshuffle masked_fill where channel_shuffle scalar_tensor diag_embed "
    "slice_scatter select_scatter as_strided_scatter upsample_nearest2d upsample_bilinear2d "
    "upsample_nearest1d upsample_trilinear3d upsample_nearest3d upsample_bicubic2d "
    "upsample_nearest2d_backward upsample_bilinear2d_backward lift_fresh_copy",
    Kind.RANDOM: "normal uniform rand randn randint randperm bernoulli multinomial native_dropout "
    "native_dropout_backward rand_like randn_like randint_like exponential random dropout log_normal "
    "rrelu_with_noise",
    Kind.OTHER: "_fft_c2c _fft_r2c _fft_c2r linalg_cholesky_ex _linalg_slogdet _linalg_det linalg_lu_factor_ex "
    "linalg_inv_ex linalg_qr _linalg_eigh _linalg_svd _linalg_solve_ex linalg_solve_triangular triangular_solve "
    "_euclidean_dist _trilinear _ctc_loss _ctc_loss_backward",
}
_REDUCTIONS = (
    "sum mean prod max min amax amin argmax argmin norm linalg_vector_norm var std var_mean std_mean any "
    "all nansum count_nonzero aminmax nll_loss_forward nll_loss_backward mse_loss l1_loss smooth_l1_loss "
    "huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div cross_entropy_loss "
    "_cdist_forward cdist _cdist_backward _pdist_forward dist trace cosine_similarity triplet_margin_loss "
    "linalg_norm _foreach_norm nll_loss2d_forward nll_loss2d_backward cross"
)
_BY_PREFIX = (
    ("_scaled_dot_product", Kind.ATTENTION),
    ("_flash_attention", Kind.ATTENTION),
    ("_efficient_attention", Kind.ATTENTION),
    ("native_batch_norm", Kind.NORMALISATION),
    ("_native_batch_norm", Kind.NORMALISATION),
    ("cudnn_batch_norm", Kind.NORMALISATION),
    ("_batch_norm", Kind.NORMALISATION),
    ("batch_norm", Kind.NORMALISATION),
    ("native_layer_norm", Kind.NORMALISATION),
    ("native_group_norm", Kind.NORMALISATION),
    ("_fused_rms_norm", Kind.NORMALISATION),
    ("rms_norm", Kind.NORMALISATION),
    ("max_pool", Kind.POOLING),
    ("avg_pool", Kind.POOLING),
    ("_adaptive_", Kind.POOLING),
    ("adaptive_", Kind.POOLING),
    ("fractional_max_pool", Kind.POOLING),
    ("mkldnn_max_pool", Kind.POOLING),
)
_KINDS = {name: kind for kind, names in _BY_NAME.items() for name in names.split()} | dict.fromkeys(
    _REDUCTIONS.split(), Kind.REDUCTION
)

_FREE = (
    "view _unsafe_view reshape _reshape_alias t transpose permute expand slice select split "
    "split_with_sizes unbind squeeze unsqueeze alias detach as_strided diagonal unfold chunk narrow "
    "movedim swapaxes view_as_real view_as_complex empty empty_like new_empty empty_strided "
    "new_empty_strided lift_fresh lift _to_device is_same_size sym_size real imag _conj _neg_view "
    "unsafe_split unsafe_chunk tensor_split hsplit vsplit set_ resize_ size stride _local_scalar_dense "
    "item is_pinned record_stream prim_layout _values _indices values indices is_coalesced"
)
FREE = frozenset(_FREE.split())
"""Operators that make views, allocate or ask: no data moves on the device."""

_KERNELS = {
    "native_group_norm": 3,
    "native_layer_norm_backward": 2,
    "native_group_norm_backward": 4,
    "convolution_backward": 2,
    "embedding_dense_backward": 4,
    "sort": 2,
    "topk": 2,
    "native_dropout": 1,
    "linalg_vector_norm": 1,
    "nonzero": 3,
    "index_put": 3,
}
"""Where an operator is known to launch more than one kernel."""


def base_name(op: str) -> str:
    """aten.add_ -> add: the operator without its namespace and the underscore of the in-place form."""
    name = op.rpartition(".")[2]
    return name.rstrip("_") if not name.startswith("__") else name


def kind_of(op: str) -> Kind:
    """The kind of an operator; what is unknown counts as elementwise, which is what most operators are."""
    name = base_name(op).removeprefix("_foreach_") if "_foreach_" in op else base_name(op)
    if name in _KINDS:
        return _KINDS[name]
    for prefix, kind in _BY_PREFIX:
        if name.startswith(prefix):
            return kind
    return Kind.ELEMENTWISE


def kernels_of(op: str, tensors: int) -> int:
    """GPU kernels that a call launches, as far as its name tells; a fused optimizer takes about 30 tensors at once."""
    name = base_name(op)
    if name in FREE:
        return 0
    if name.startswith(("_foreach_", "_fused_")):
        return max(1, tensors // 30)
    return _KERNELS.get(name, 1)
