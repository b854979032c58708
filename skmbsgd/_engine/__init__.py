"""The compiled training engine: everything that a batch touches.

Start reading with ``epoch.pyx``, the loop over batches. Each part below uses only parts
that are listed after it.

=================  ==================================================================
epoch              the loop over the batches of an epoch
rows, csr_rows     blocks of rows of X with targets and weights: decisions, gradients
targets            the targets of rows: numbers, or classes as -1 and +1
row_kernels        products of scattered rows with one vector
stored_stream      streams as arrays and numbers
column_numbers     numbers for the columns that a chunk of a stream has
csr_stream         the weights of a stream of CSR chunks; each chunk changes a few
record_model       models of CSR input: all numbers of a coordinate in one record
in_place_model     the same for many outputs: weights and velocities in the state
csr_model          their base class: windows of updates, intercepts, sums
records            a record of numbers for each coordinate, and which are in use
models             weights, velocities, means and gradients in arrays with an entry per
                   column, which can be standardised; the base class of all models
steps              updates of all the weights of a dense model
catch_up           many updates at once, for a coordinate that no row has touched
losses             value and derivative of a loss at a block of decisions
penalties          value of a penalty, its gradient, its map from positions to weights
rules              how a gradient changes a number and its velocity
row_order          permutations of the rows, independent of X
team               threads that add up their buffers of numbers
prefetch           what is requested from the memory ahead of time, with all thresholds
blas, signals      products of matrices; checks for Ctrl-C
=================  ==================================================================

C code is in headers: ``row_kernels.h`` and the files it includes, ``steps.h``,
``elementary_functions.h`` for losses, ``threads.h`` for team, and ``penalties.h``,
``rules.h``, ``prefetch.h``, ``shrink.h`` for csr_stream.
"""
