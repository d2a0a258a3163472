"""The wide layer in PyTorch (`pip install slidenn[torch]`).

SampledSoftmax takes the place of nn.Linear and cross entropy, or of nn.AdaptiveLogSoftmaxWithLoss; SampledLinear is a
wide hidden layer.

Nothing else in slide imports torch.
"""

from slide.torch.linear import SampledLinear
from slide.torch.softmax import Output, SampledSoftmax

__all__ = ["Output", "SampledLinear", "SampledSoftmax"]
