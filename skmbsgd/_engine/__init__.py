"""The compiled training engine: everything that a batch touches.

losses
    Value and derivative of the loss at a batch of decisions.
row_order
    In which order an epoch visits the rows.
batches
    Rows of X, of the targets and of the weights, in that order.
row_kernels.h, blas
    Products of these rows with the weights of one output, and of several.
rules, updates
    The update rules, and the weights and velocities that they move.
sparse
    Rows of a CSR matrix, and updates that are made when they are needed.
gaps, rest
    Products of many such updates, and when L1 has brought a weight to rest.
epoch
    The loop over the batches of one epoch.
"""
