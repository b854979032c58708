/* Products of scattered rows with one vector, in either precision.

   BLAS wants the rows of a matrix evenly spaced, and does not send for the ones to
   come. Here the rows may lie anywhere, are read where they lie, and the wait for the
   memory is spent on arithmetic. docs/performance.rst has the figures. */

#ifndef SKMBSGD_ROW_KERNELS_H
#define SKMBSGD_ROW_KERNELS_H

#include <stddef.h>

#include "multiversioned.h"

#if defined(__GNUC__)
#define SKMBSGD_PREFETCH(address) __builtin_prefetch((address), 0, 3)
#define SKMBSGD_PREFETCH_TO_WRITE(address) __builtin_prefetch((address), 1, 3)
#else
#define SKMBSGD_PREFETCH(address) ((void)(address))
#define SKMBSGD_PREFETCH_TO_WRITE(address) ((void)(address))
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
