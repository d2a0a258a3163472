"""What SLIDE is compared with: PyTorch, the released C++ code, networks with masks, other systems for many labels."""
