/* Included by rules.h once for each type REAL. */

static SKMBSGD_INLINE void NAME(skmbsgd_classical)(
    REAL *w, REAL *v, REAL g, REAL eta, REAL mu, REAL lam2)
{
    g = g + lam2 * *w;
    *v = mu * *v - eta * g;
    *w = *w + *v;
}

static SKMBSGD_INLINE void NAME(skmbsgd_nesterov)(
    REAL *w, REAL *v, REAL g, REAL eta, REAL mu, REAL lam2)
{
    g = g + lam2 * *w;
    *v = mu * *v - eta * g;
    *w = *w + mu * *v - eta * g;
}

/* Move x towards 0 by the threshold, and no further than 0: without branches, which the
   processor could not foresee. A NaN stays one. */
static SKMBSGD_INLINE REAL NAME(skmbsgd_soft_threshold)(REAL x, REAL threshold)
{
    const REAL not_above = x < threshold ? x : threshold;
    return x - (not_above > -threshold ? not_above : -threshold);
}

static SKMBSGD_INLINE void NAME(skmbsgd_proximal_classical)(
    REAL *w, REAL *v, REAL g, REAL eta, REAL mu, REAL lam2, REAL lam1)
{
    const REAL w_old = *w;
    g = g + lam2 * *w;
    *w = NAME(skmbsgd_soft_threshold)(*w + mu * *v - eta * g, eta * lam1);
    *v = *w - w_old;
}

static SKMBSGD_INLINE void NAME(skmbsgd_proximal_nesterov)(
    REAL *w, REAL *v, REAL g, REAL eta, REAL mu, REAL lam2, REAL lam1)
{
    const REAL x_old = *w - mu * *v;
    REAL x;
    g = g + lam2 * *w;
    x = NAME(skmbsgd_soft_threshold)(*w - eta * g, eta * lam1);
    *v = x - x_old;
    *w = x + mu * *v;
}
