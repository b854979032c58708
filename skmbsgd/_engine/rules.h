/* The update rules, in either precision; rules.pxd explains them.

   They are C for the sake of SKMBSGD_MULTIVERSIONED. The modules that include this are
   compiled without fused multiply-adds, which would leave a rounding error where a
   coefficient that L1 removes must become exactly 0. */

#ifndef SKMBSGD_RULES_H
#define SKMBSGD_RULES_H

#include <stddef.h>

#include "multiversioned.h"

#define REAL double
#define NAME(function) function##_double
#include "rules_template.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(function) function##_float
#include "rules_template.h"
#undef REAL
#undef NAME

#endif
