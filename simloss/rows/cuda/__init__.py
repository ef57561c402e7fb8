"""The loss of each row and its gradient in Triton kernels: the way of CUDA.

The mathematics and the contract are those of `eager.row_losses`. With m = max z, e = exp(z - m), a = sum S e,
b = sum (1 - S) e and d = a + b, for the similarity row S of one label y:

    SimLoss             log1p(b / a)          slope   (e / d) ((1 - S) - S b / a)
    cross entropy       log1p(rest / e_y)     slope   e / d, for y -rest / d       where rest = sum_{c != y} e

Where SimLoss stands alone, the kernels are compiled without cross entropy. Else they read the share and the smoothing
from the device's memory: a schedule changes them without waiting for the device, and nothing is compiled anew.

One program has one row, or several short ones. A row that fits is held in registers: one read of the logits, one write
of the gradient. A longer one is swept twice, the second time mostly from the cache. A row whose a underflows is read
again, with a maximum of its own over S > 0; nobody asks the device whether there is one.

All sums have an order that depends on shapes alone, so results are the same bits from run to run.
"""

from simloss.rows.cuda.launch import row_losses, scale_gradient_

__all__ = ["row_losses", "scale_gradient_"]
