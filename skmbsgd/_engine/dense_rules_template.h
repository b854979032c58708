/* Included by dense_rules.h once for each type REAL.

   Each function moves n weights and velocities by their gradients, and leaves the
   gradients at 0 for the next batch. */

SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_classical_each)(
    REAL *w, REAL *v, REAL *g, ptrdiff_t n, REAL eta, REAL mu, REAL lam2)
{
    ptrdiff_t j;
    for (j = 0; j < n; j++) {
        NAME(skmbsgd_classical)(w + j, v + j, g[j], eta, mu, lam2);
        g[j] = 0;
    }
}

SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_nesterov_each)(
    REAL *w, REAL *v, REAL *g, ptrdiff_t n, REAL eta, REAL mu, REAL lam2)
{
    ptrdiff_t j;
    for (j = 0; j < n; j++) {
        NAME(skmbsgd_nesterov)(w + j, v + j, g[j], eta, mu, lam2);
        g[j] = 0;
    }
}

SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_proximal_classical_each)(
    REAL *w, REAL *v, REAL *g, ptrdiff_t n, REAL eta, REAL mu, REAL lam2, REAL lam1)
{
    ptrdiff_t j;
    for (j = 0; j < n; j++) {
        NAME(skmbsgd_proximal_classical)(w + j, v + j, g[j], eta, mu, lam2, lam1);
        g[j] = 0;
    }
}

SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_proximal_nesterov_each)(
    REAL *w, REAL *v, REAL *g, ptrdiff_t n, REAL eta, REAL mu, REAL lam2, REAL lam1)
{
    ptrdiff_t j;
    for (j = 0; j < n; j++) {
        NAME(skmbsgd_proximal_nesterov)(w + j, v + j, g[j], eta, mu, lam2, lam1);
        g[j] = 0;
    }
}
