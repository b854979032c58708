/* Products of scattered rows with one vector, in either precision.

   BLAS wants the rows of a matrix evenly spaced, and does not send for the ones to
   come. Here the rows may lie anywhere, are read where they lie, and the wait for the
   memory is spent on arithmetic. docs/performance.rst has the figures.

   The functions are compiled for several instruction sets where the tools can do so;
   the processor's own is chosen when the module is loaded. */

#ifndef SKMBSGD_ROW_KERNELS_H
#define SKMBSGD_ROW_KERNELS_H

#include <stddef.h>

#if defined(__GNUC__)
#define SKMBSGD_PREFETCH(address) __builtin_prefetch((address), 0, 2)
#define SKMBSGD_PREFETCH_TO_WRITE(address) __builtin_prefetch((address), 1, 3)
#else
#define SKMBSGD_PREFETCH(address) ((void)(address))
#define SKMBSGD_PREFETCH_TO_WRITE(address) ((void)(address))
#endif

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) \
    && __GNUC__ >= 8
#define SKMBSGD_MULTIVERSIONED \
    __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define SKMBSGD_MULTIVERSIONED
#endif

/* A function that takes on the instruction set of its caller */
#if defined(__GNUC__)
#define SKMBSGD_INLINE inline __attribute__((always_inline))
#else
#define SKMBSGD_INLINE inline
#endif

enum { SKMBSGD_CACHE_LINE = 64 };

#define REAL double
#define NAME(function) function##_double
#include "row_kernels_template.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(function) function##_float
#include "row_kernels_template.h"
#undef REAL
#undef NAME

#endif
