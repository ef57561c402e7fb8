"""The loss of each row and its gradient in Triton kernels: the way of CUDA.

The mathematics and the contract are those of `blocks.row_losses`. With m = max z, e = exp(z - m), a = sum S e,
b = sum (1 - S) e and d = a + b, for the similarity row S of one label:

    loss = log1p(b / a)            dloss/dz = (e / d) ((1 - S) - S b / a)

One program has one row, or several short ones. A row that fits is held in registers: one read of the logits, one write
of the gradient. A longer one is swept twice, the second time mostly from the cache. A row whose a underflows is read
again, with a maximum of its own over S > 0; nobody asks the device whether there is one.

All sums have an order that depends on shapes alone, so results are the same bits from run to run.
"""

from simloss.cuda.launch import row_losses, scale_gradient_

__all__ = ["row_losses", "scale_gradient_"]
