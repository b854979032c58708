/* The maps of penalties from positions to weights; penalties.pxd explains them.

   To add a map, write its macro, in terms of a position z and the threshold u, and name
   it in SKMBSGD_PENALTY_MAPS. */

#ifndef SKMBSGD_PENALTIES_H
#define SKMBSGD_PENALTIES_H

#define SKMBSGD_PENALTY_MAPS(DEFINE, rule) DEFINE(rule, soft_threshold)

#define SKMBSGD_soft_threshold(z, u) skmbsgd_soft_threshold((z), (u))

/* Move z towards 0 by u, but not beyond 0. There are no branches, because the processor
   could not predict them. A NaN remains NaN. */
static inline double skmbsgd_soft_threshold(double z, double u)
{
    const double lowest = -u, not_above = z < u ? z : u;
    return z - (lowest < not_above ? not_above : lowest);
}

#endif
