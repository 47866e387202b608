"""What the nodes need of ComfyUI: folders, devices, model management, progress, output."""
