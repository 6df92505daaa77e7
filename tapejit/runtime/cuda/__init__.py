"""Plans on a GPU: memory, kernels and launches, through CUDA's driver or a simulator of it."""
