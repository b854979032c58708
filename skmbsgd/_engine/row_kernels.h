/* Products of scattered rows with one vector, in either precision.

   BLAS needs evenly spaced rows of a matrix, and does not prefetch later ones. These
   products take any rows of an array, in any order, without a copy, and use the wait
   for the memory for arithmetic. benchmarks/NOTES.md has the figures. */

#ifndef SKMBSGD_ROW_KERNELS_H
#define SKMBSGD_ROW_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "prefetch.h"

/* Both products also prefetch later rows. */
typedef struct {
    /* z[i] = x[rows[i]] . w + b */
    void (*dot_rows)(
        const void *x, const uint32_t *rows, ptrdiff_t n_rows, ptrdiff_t n_columns,
        const void *w, const void *b, double *z, const skmbsgd_rows_ahead *ahead);
    /* g += sum over i of d[i] * x[rows[i]], and b_g += sum over i of d[i] */
    void (*add_rows)(
        const void *x, const uint32_t *rows, ptrdiff_t n_rows, ptrdiff_t n_columns,
        const double *d, void *g, void *b_g, const skmbsgd_rows_ahead *ahead);
} skmbsgd_row_kernels;

#endif
