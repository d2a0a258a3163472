"""SLIDE: sub-linear deep learning on a CPU (Chen et al., MLSys 2020)."""
