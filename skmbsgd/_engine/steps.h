/* One update of all weights of a dense model: each rule with each penalty, in either
   precision, for columns as given and for standardised ones.

   They are C because of SKMBSGD_MULTIVERSIONED. Each function updates n weights and
   velocities with their gradients, and sets the gradients to 0 for the next batch. */

#ifndef SKMBSGD_STEPS_H
#define SKMBSGD_STEPS_H

#include <stddef.h>

#include "multiversioned.h"
#include "penalties.h"
#include "rules.h"

typedef void (*skmbsgd_step)(
    void *w, double *z, void *v, void *g, ptrdiff_t n,
    double eta, double mu, double lam2, double u);

/* For standardised columns, with their means, the inverses of their variances, and the
   gradient of the intercept; models.pyx explains it */
typedef void (*skmbsgd_standardized_step)(
    void *w, double *z, void *v, void *g, ptrdiff_t n,
    double eta, double mu, double lam2, double u,
    const double *mean, const double *precision, double b_g);

#define DEFINE_STANDARDIZED_STEP(rule, map, REAL, POSITION, PENALISED) \
    SKMBSGD_MULTIVERSIONED \
    void skmbsgd_standardized_##rule##_##map##_##REAL( \
        void *weights, double *z, void *velocities, void *gradients, ptrdiff_t n, \
        double eta, double mu, double lam2, double threshold, \
        const double *mean, const double *precision, double b_g) \
    { \
        REAL *w = (REAL *)weights, *v = (REAL *)velocities, *g = (REAL *)gradients; \
        ptrdiff_t j; \
        (void)z, (void)threshold; \
        for (j = 0; j < n; j++) { \
            const double u = threshold * precision[j]; \
            const REAL gradient = (REAL)( \
                precision[j] * (g[j] - mean[j] * b_g + lam2 * w[j]) \
                / (1.0 + eta * lam2 * precision[j])); \
            (void)u; \
            SKMBSGD_##rule(POSITION[j], v[j], gradient, (REAL)eta, (REAL)mu); \
            PENALISED; \
            g[j] = 0; \
        } \
    }

/* The sum of products of two arrays, in eight sums at a time */
#define DEFINE_DOT(REAL) \
    SKMBSGD_MULTIVERSIONED \
    double skmbsgd_dot_##REAL(const void *weights, const double *x, ptrdiff_t n) \
    { \
        const REAL *w = (const REAL *)weights; \
        double sums[8] = {0}, total = 0.0; \
        ptrdiff_t j = 0, i; \
        for (; j + 8 <= n; j += 8) \
            for (i = 0; i < 8; i++) \
                sums[i] += w[j + i] * x[j + i]; \
        for (; j < n; j++) \
            total += w[j] * x[j]; \
        for (i = 0; i < 8; i++) \
            total += sums[i]; \
        return total; \
    }
DEFINE_DOT(double)
DEFINE_DOT(float)
#undef DEFINE_DOT

typedef double (*skmbsgd_dot)(const void *w, const double *x, ptrdiff_t n);

static inline skmbsgd_dot skmbsgd_dot_for(int single_precision)
{
    return single_precision ? skmbsgd_dot_float : skmbsgd_dot_double;
}

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
    DEFINE_STEP(rule, plain, float, w, (void)0) \
    DEFINE_STANDARDIZED_STEP(rule, plain, double, w, (void)0) \
    DEFINE_STANDARDIZED_STEP(rule, plain, float, w, (void)0)
SKMBSGD_RULES(DEFINE_PLAIN_STEPS)

#define DEFINE_MAPPED_STEP(rule, map) \
    DEFINE_STEP(rule, map, double, z, w[j] = SKMBSGD_##map(z[j], u)) \
    DEFINE_STEP(rule, map, float, z, w[j] = (float)SKMBSGD_##map(z[j], u)) \
    DEFINE_STANDARDIZED_STEP(rule, map, double, z, w[j] = SKMBSGD_##map(z[j], u)) \
    DEFINE_STANDARDIZED_STEP(rule, map, float, z, w[j] = (float)SKMBSGD_##map(z[j], u))
#define DEFINE_MAPPED_STEPS(rule) SKMBSGD_PENALTY_MAPS(DEFINE_MAPPED_STEP, rule)
SKMBSGD_RULES(DEFINE_MAPPED_STEPS)

/* By the rule, by the map (none first) and by the precision, double first */
#define STEPS_OF_MAP(rule, map) \
    {skmbsgd_##rule##_##map##_double, skmbsgd_##rule##_##map##_float},
#define STEPS_OF_RULE(rule) \
    {STEPS_OF_MAP(rule, plain) SKMBSGD_PENALTY_MAPS(STEPS_OF_MAP, rule)},
#define STANDARDIZED_STEPS_OF_MAP(rule, map) \
    {skmbsgd_standardized_##rule##_##map##_double, \
     skmbsgd_standardized_##rule##_##map##_float},
#define STANDARDIZED_STEPS_OF_RULE(rule) \
    {STANDARDIZED_STEPS_OF_MAP(rule, plain) \
     SKMBSGD_PENALTY_MAPS(STANDARDIZED_STEPS_OF_MAP, rule)},
#define COUNT(rule, map) +1
static const skmbsgd_step
skmbsgd_steps[SKMBSGD_N_RULES][1 SKMBSGD_PENALTY_MAPS(COUNT, )][2] = {
    SKMBSGD_RULES(STEPS_OF_RULE)
};

static const skmbsgd_standardized_step
skmbsgd_standardized_steps[SKMBSGD_N_RULES][1 SKMBSGD_PENALTY_MAPS(COUNT, )][2] = {
    SKMBSGD_RULES(STANDARDIZED_STEPS_OF_RULE)
};

static inline skmbsgd_step skmbsgd_step_for(
    ptrdiff_t rule, ptrdiff_t map, int single_precision)
{
    return skmbsgd_steps[rule][map][single_precision != 0];
}

static inline skmbsgd_standardized_step skmbsgd_standardized_step_for(
    ptrdiff_t rule, ptrdiff_t map, int single_precision)
{
    return skmbsgd_standardized_steps[rule][map][single_precision != 0];
}

#undef DEFINE_STEP
#undef DEFINE_STANDARDIZED_STEP
#undef DEFINE_PLAIN_STEPS
#undef DEFINE_MAPPED_STEP
#undef DEFINE_MAPPED_STEPS
#undef STEPS_OF_MAP
#undef STEPS_OF_RULE
#undef STANDARDIZED_STEPS_OF_MAP
#undef STANDARDIZED_STEPS_OF_RULE
#undef COUNT

#endif
