/* Many multiplications of the same numbers, for csr_stream.pyx.

   They are C because of SKMBSGD_MULTIVERSIONED. */

#ifndef SKMBSGD_SHRINK_H
#define SKMBSGD_SHRINK_H

#include <stddef.h>
#include <string.h>

#include "multiversioned.h"

/* Numbers that are in registers meanwhile */
enum { SKMBSGD_SHRINK_BLOCK = 32 };

/* Multiply n numbers by all factors, one after the other. */
SKMBSGD_MULTIVERSIONED
static void skmbsgd_shrink(double *z, ptrdiff_t n, const double *factors,
                           ptrdiff_t n_factors)
{
    double block[SKMBSGD_SHRINK_BLOCK] = {0.0};
    for (ptrdiff_t first = 0; first < n; first += SKMBSGD_SHRINK_BLOCK) {
        const ptrdiff_t rest = n - first;
        const size_t size = sizeof(double)
            * (rest < SKMBSGD_SHRINK_BLOCK ? rest : SKMBSGD_SHRINK_BLOCK);
        memcpy(block, z + first, size);
        for (ptrdiff_t i = 0; i < n_factors; i++)
            for (int j = 0; j < SKMBSGD_SHRINK_BLOCK; j++)
                block[j] *= factors[i];
        memcpy(z + first, block, size);
    }
}

#endif
