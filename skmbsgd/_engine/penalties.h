/* What a penalty makes of a position: the weight; penalties.pxd explains it.

   To add a map, write its macro, in terms of a position z and the threshold u, and name
   it in SKMBSGD_PENALTY_MAPS. */

#ifndef SKMBSGD_PENALTIES_H
#define SKMBSGD_PENALTIES_H

#define SKMBSGD_PENALTY_MAPS(DEFINE, rule) DEFINE(rule, soft_threshold)

#define SKMBSGD_soft_threshold(z, u) skmbsgd_soft_threshold((z), (u))

/* Move z towards 0 by u, and no further than 0: without branches, which the processor
   could not foresee. A NaN stays one. */
static inline double skmbsgd_soft_threshold(double z, double u)
{
    const double lowest = -u, not_above = z < u ? z : u;
    return z - (lowest < not_above ? not_above : lowest);
}

#endif
