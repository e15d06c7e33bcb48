# part: test_head


# part: test_sampling


def independent(c, x):
    return (allowed(x),)


def agree(got, want):
    """A sample is one of the tokens that may come out."""
    assert want[0].gather(-1, got[0].long()[:, None]).all()


# part: test_tail
