/* Included by row_kernels_functions.h once for each type REAL: the functions for each
   instruction set, and the choice between them. */

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
#endif

/* Those of the widest registers that the processor has */
static const skmbsgd_row_kernels *NAME(skmbsgd_row_kernels)(void)
{
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__MINGW32__)
    if (__builtin_cpu_supports("avx512vl"))
        return &NAME(row_kernels_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &NAME(row_kernels_avx2);
#endif
    return &NAME(row_kernels_baseline);
}
