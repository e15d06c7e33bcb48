def workspace(device):
    """FlashInfer's scratch memory, one a device."""
    if device not in workspace.made:
        workspace.made[device] = torch.empty(256 << 20, dtype=torch.uint8, device=device)
    return workspace.made[device]


workspace.made = {}
