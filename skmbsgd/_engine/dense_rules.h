/* The update rules over arrays, in either precision. */

#ifndef SKMBSGD_DENSE_RULES_H
#define SKMBSGD_DENSE_RULES_H

#include "rules.h"

#define REAL double
#define NAME(function) function##_double
#include "dense_rules_template.h"
#undef REAL
#undef NAME

#define REAL float
#define NAME(function) function##_float
#include "dense_rules_template.h"
#undef REAL
#undef NAME

#endif
