def shuffled(weight, scale):
    """Rows of an expert's weight and of its scales in the order of the kernel's tiles."""
    bytes_of = lambda t: t.view(torch.uint8)
    w = torch.stack([flashinfer.shuffle_matrix_a(bytes_of(m), 128) for m in weight])
    s = torch.stack([flashinfer.shuffle_matrix_sf_a(bytes_of(m), 128) for m in scale])
    return w, s.view(torch.float8_e4m3fn).reshape(scale.shape)


def interleaved(t):
    """Rows of up and gate taken in turn, as the gated kernel reads them."""
    return torch.stack([flashinfer.reorder_rows_for_gated_act_gemm(m) for m in t.view(torch.uint8)])
