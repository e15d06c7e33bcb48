def act(x):
    return x * torch.sigmoid(x)
