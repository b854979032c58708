/* Included by row_kernels.h once for each type REAL: the functions for each instruction
   set, and the choice between them. */

#define VARIANT(function) NAME(function##_baseline)
#define TARGET
#if defined(__GNUC__)
#define VECTOR_BYTES 16
#else
#define VECTOR_BYTES 0
#endif
#include "row_kernels_template.h"
#undef VARIANT
#undef TARGET
#undef VECTOR_BYTES

/* MinGW does not align the stack for registers that have to be kept there. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__MINGW32__)
#define VARIANT(function) NAME(function##_avx2)
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR_BYTES 32
#include "row_kernels_template.h"
#undef VARIANT
#undef TARGET
#undef VECTOR_BYTES

#define VARIANT(function) NAME(function##_avx512)
#define TARGET __attribute__((target("avx512f,avx512vl,fma")))
#define VECTOR_BYTES 64
#include "row_kernels_template.h"
#undef VARIANT
#undef TARGET
#undef VECTOR_BYTES

#define CHOOSE(function, ...) \
    (__builtin_cpu_supports("avx512vl") ? NAME(function##_avx512)(__VA_ARGS__) \
     : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") \
         ? NAME(function##_avx2)(__VA_ARGS__) \
         : NAME(function##_baseline)(__VA_ARGS__))
#else
#define CHOOSE(function, ...) NAME(function##_baseline)(__VA_ARGS__)
#endif

/* z[i] = x[rows[i]] . w + b

   Meanwhile the bytes from first_ahead to before stop_ahead of each of rows_ahead, as
   many as there are rows, are sent for; and of each of rows_beyond, which come later
   still, the lines a page apart that begin before stop_beyond (docs/engine.rst). */
static void NAME(skmbsgd_dot_rows)(
    const REAL *x, const uint32_t *rows, const uint32_t *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead,
    const uint32_t *rows_beyond, ptrdiff_t stop_beyond,
    const REAL *w, REAL b, double *z)
{
    CHOOSE(dot_rows, x, rows, rows_ahead, n_rows, n_columns,
           first_ahead, stop_ahead, rows_beyond, stop_beyond, w, b, z);
}

/* g += sum over i of d[i] * x[rows[i]]; returns the sum of d. Sends for rows, too, and
   for the line of the last byte before stop_ahead in any case: first_ahead may exceed
   that by less than a line. */
static REAL NAME(skmbsgd_add_rows)(
    const REAL *x, const uint32_t *rows, const uint32_t *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const double *d, REAL *g)
{
    return CHOOSE(add_rows, x, rows, rows_ahead, n_rows, n_columns,
                  first_ahead, stop_ahead, d, g);
}

#undef CHOOSE
