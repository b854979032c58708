/* exp and log1p of arrays, on the ranges that the losses need.

   The C library's functions take one number at a time. These are written so that the
   compiler can take as many as fit into a SIMD register. The module is compiled without
   fused multiply-adds, so that the results are the same bit for bit for every
   instruction set. Both are within 2 units in the last place. */

#ifndef SKMBSGD_ELEMENTARY_FUNCTIONS_H
#define SKMBSGD_ELEMENTARY_FUNCTIONS_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "multiversioned.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 2
#error "Compile with arithmetic in double precision, for example -msse2 -mfpmath=sse"
#endif

/* y[i] = exp(x[i]) for x[i] <= 0; 0 below about 3e-308.

   x = n log(2) + r with an integer n and |r| <= log(2) / 2, so that
   exp(x) = 2^n exp(r). The product n log(2) is exact except for its last digits,
   because LOG_2_HIGH has zeros at its end (W. J. Cody and W. Waite, Software Manual for
   the Elementary Functions, 1980). The Taylor polynomial of exp(r) leaves out less than
   r^14 / 14! < 5e-18. */
SKMBSGD_MULTIVERSIONED
void skmbsgd_exp(const double *x, double *y, ptrdiff_t n)
{
    const double LOG_2_HIGH = 6.93147180369123816490e-01;
    const double LOG_2_LOW = 1.90821492927058770002e-10;
    const double ONE_OVER_LOG_2 = 1.44269504088896338700;
    /* Added to a small number, it leaves the nearest integer in the last bits. */
    const double SHIFT = 6755399441055744.0; /* 1.5 * 2^52 */
    const double LEAST = -708.0;
    ptrdiff_t i;
    for (i = 0; i < n; i++) {
        const double shifted = x[i] * ONE_OVER_LOG_2 + SHIFT;
        const double power = shifted - SHIFT;
        const double r = (x[i] - power * LOG_2_HIGH) - power * LOG_2_LOW;
        double p = 1.0 / 6227020800.0, scale;
        uint64_t bits;
        p = p * r + 1.0 / 479001600.0;
        p = p * r + 1.0 / 39916800.0;
        p = p * r + 1.0 / 3628800.0;
        p = p * r + 1.0 / 362880.0;
        p = p * r + 1.0 / 40320.0;
        p = p * r + 1.0 / 5040.0;
        p = p * r + 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r * r + r + 1.0;
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits + 1023) << 52;
        memcpy(&scale, &bits, sizeof scale);
        y[i] = x[i] < LEAST ? 0.0 : p * scale;
    }
}

/* y[i] = log(1 + x[i]) for 0 <= x[i] <= 1.

   With s = x / (2 + x) it is 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...), a series
   of positive terms, which loses no digits near x = 0. The omitted terms are less than
   s^34 / 35 < 2e-18 of the sum. */
SKMBSGD_MULTIVERSIONED
void skmbsgd_log1p(const double *x, double *y, ptrdiff_t n)
{
    ptrdiff_t i;
    for (i = 0; i < n; i++) {
        const double s = x[i] / (2.0 + x[i]);
        const double t = s * s;
        double p = 1.0 / 33.0;
        p = p * t + 1.0 / 31.0;
        p = p * t + 1.0 / 29.0;
        p = p * t + 1.0 / 27.0;
        p = p * t + 1.0 / 25.0;
        p = p * t + 1.0 / 23.0;
        p = p * t + 1.0 / 21.0;
        p = p * t + 1.0 / 19.0;
        p = p * t + 1.0 / 17.0;
        p = p * t + 1.0 / 15.0;
        p = p * t + 1.0 / 13.0;
        p = p * t + 1.0 / 11.0;
        p = p * t + 1.0 / 9.0;
        p = p * t + 1.0 / 7.0;
        p = p * t + 1.0 / 5.0;
        p = p * t + 1.0 / 3.0;
        y[i] = 2.0 * s + 2.0 * s * t * p;
    }
}

#endif
