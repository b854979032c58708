/* One update of all weights of a dense model: each rule with each penalty, in either
   precision.

   They are C for the sake of SKMBSGD_MULTIVERSIONED. Each function moves n weights and
   velocities by their gradients, and leaves the gradients at 0 for the next batch. */

#ifndef SKMBSGD_STEPS_H
#define SKMBSGD_STEPS_H

#include <stddef.h>

#include "multiversioned.h"
#include "penalties.h"
#include "rules.h"

typedef void (*skmbsgd_step)(
    void *w, double *z, void *v, void *g, ptrdiff_t n,
    double eta, double mu, double lam2, double u);

#define DEFINE_STEP(rule, map, REAL, POSITION, PENALISED) \
    SKMBSGD_MULTIVERSIONED \
    void skmbsgd_##rule##_##map##_##REAL( \
        void *weights, double *z, void *velocities, void *gradients, ptrdiff_t n, \
        double rate, double momentum, double l2, double u) \
    { \
        REAL *w = (REAL *)weights, *v = (REAL *)velocities, *g = (REAL *)gradients; \
        const REAL eta = (REAL)rate, mu = (REAL)momentum, lam2 = (REAL)l2; \
        ptrdiff_t j; \
        (void)z, (void)u; \
        for (j = 0; j < n; j++) { \
            const REAL gradient = g[j] + lam2 * w[j]; \
            SKMBSGD_##rule(POSITION[j], v[j], gradient, eta, mu); \
            PENALISED; \
            g[j] = 0; \
        } \
    }

/* Without a map the weight is its own position. */
#define DEFINE_PLAIN_STEPS(rule) \
    DEFINE_STEP(rule, plain, double, w, (void)0) \
    DEFINE_STEP(rule, plain, float, w, (void)0)
SKMBSGD_RULES(DEFINE_PLAIN_STEPS)

#define DEFINE_MAPPED_STEP(rule, map) \
    DEFINE_STEP(rule, map, double, z, w[j] = SKMBSGD_##map(z[j], u)) \
    DEFINE_STEP(rule, map, float, z, w[j] = (float)SKMBSGD_##map(z[j], u))
#define DEFINE_MAPPED_STEPS(rule) SKMBSGD_PENALTY_MAPS(DEFINE_MAPPED_STEP, rule)
SKMBSGD_RULES(DEFINE_MAPPED_STEPS)

/* By the rule, by the map (none first) and by the precision, double first */
#define STEPS_OF_MAP(rule, map) \
    {skmbsgd_##rule##_##map##_double, skmbsgd_##rule##_##map##_float},
#define STEPS_OF_RULE(rule) \
    {STEPS_OF_MAP(rule, plain) SKMBSGD_PENALTY_MAPS(STEPS_OF_MAP, rule)},
#define COUNT(rule, map) +1
static const skmbsgd_step
skmbsgd_steps[SKMBSGD_N_RULES][1 SKMBSGD_PENALTY_MAPS(COUNT, )][2] = {
    SKMBSGD_RULES(STEPS_OF_RULE)
};

static inline skmbsgd_step skmbsgd_step_for(
    ptrdiff_t rule, ptrdiff_t map, int single_precision)
{
    return skmbsgd_steps[rule][map][single_precision != 0];
}

#undef DEFINE_STEP
#undef DEFINE_PLAIN_STEPS
#undef DEFINE_MAPPED_STEP
#undef DEFINE_MAPPED_STEPS
#undef STEPS_OF_MAP
#undef STEPS_OF_RULE
#undef COUNT

#endif
