/* The functions that row_kernels.h declares.

   They are compiled separately for each width of SIMD registers. If the compiler made
   the versions of one function, a vector wider than the registers would stay in memory.
   */

#ifndef SKMBSGD_ROW_KERNELS_FUNCTIONS_H
#define SKMBSGD_ROW_KERNELS_FUNCTIONS_H

#include "multiversioned.h"
#include "row_kernels.h"

#define REAL double
#define NAME(function) function##_double
#include "row_kernels_variants.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(function) function##_float
#include "row_kernels_variants.h"
#undef REAL
#undef NAME

#endif
