def activated(x):
    return F.gelu(x, approximate="tanh")
