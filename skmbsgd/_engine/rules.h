/* The update rules; rules.pxd explains them.

   They are macros, so that one formula works for both precisions. To add a rule, write
   its macro, and name it in SKMBSGD_RULES. */

#ifndef SKMBSGD_RULES_H
#define SKMBSGD_RULES_H

#define SKMBSGD_RULES(DEFINE) DEFINE(classical) DEFINE(nesterov)

#define SKMBSGD_classical(w, v, g, eta, mu) \
    do { \
        (v) = (mu) * (v) - (eta) * (g); \
        (w) = (w) + (v); \
    } while (0)

#define SKMBSGD_nesterov(w, v, g, eta, mu) \
    do { \
        (v) = (mu) * (v) - (eta) * (g); \
        (w) = (w) + (mu) * (v) - (eta) * (g); \
    } while (0)

/* The same as functions that move a single number, and their names */
typedef void (*skmbsgd_rule)(double *w, double *v, double g, double eta, double mu);

#define DEFINE_FUNCTION(rule) \
    static void skmbsgd_move_by_##rule( \
        double *w, double *v, double g, double eta, double mu) \
    { \
        SKMBSGD_##rule(*w, *v, g, eta, mu); \
    }
SKMBSGD_RULES(DEFINE_FUNCTION)
#undef DEFINE_FUNCTION

#define FUNCTION(rule) skmbsgd_move_by_##rule,
static const skmbsgd_rule skmbsgd_rules[] = {SKMBSGD_RULES(FUNCTION)};
#undef FUNCTION

#define NAME(rule) #rule,
static const char *const skmbsgd_rule_names[] = {SKMBSGD_RULES(NAME)};
#undef NAME

enum { SKMBSGD_N_RULES = sizeof(skmbsgd_rules) / sizeof(skmbsgd_rules[0]) };

#endif
