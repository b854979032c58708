"""The compiled training engine: everything that a batch touches.

losses
    Value and derivative of the loss at a batch of decisions.
batches
    Rows of X, of the targets and of the weights, in their order.
updates
    The update rules, and the weights and velocities that they move.
epoch
    The loop over the batches of one epoch.
"""
