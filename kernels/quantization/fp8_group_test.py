# part: test_head


def inputs(c, g):
    return {"x": torch.randn(5, c["K"], generator=g).bfloat16() * 4}


def independent(c, x):
    """The quantised values times their scales are the input again, and the largest of a group is 448."""
    return x["x"].float(), x["x"].float().reshape(5, -1, c["group_size"]).abs().max(-1).values / 448


def agree(got, want):
    back = got[0].float() * got[1].repeat_interleave(got[0].shape[1] // got[1].shape[1], dim=1)
    torch.testing.assert_close(back, want[0], rtol=0.0625, atol=1e-2)
    torch.testing.assert_close(got[1], want[1], rtol=1e-5, atol=1e-9)


# part: test_tail
