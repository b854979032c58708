/* Asking for memory before it is needed, where the compiler knows how. */

#ifndef SKMBSGD_PREFETCH_H
#define SKMBSGD_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum { SKMBSGD_CACHE_LINE = 64 };

#if defined(__GNUC__)
/* Into the second-level cache: of three processors measured, two took up to half the
   time off an epoch with it, compared with the first level, and one a tenth more for
   short rows (benchmarks/NOTES.md). */
#define SKMBSGD_PREFETCH(address) SKMBSGD_KEEP(__builtin_prefetch((address), 0, 2))
#define SKMBSGD_PREFETCH_TO_WRITE(address) \
    SKMBSGD_KEEP(__builtin_prefetch((address), 1, 3))
/* To GCC a function that only prefetches has no effect, and unless it inlines a call of
   one it drops it. An instruction declared volatile, even if there is none, is kept. */
#define SKMBSGD_KEEP(prefetch) \
    do { \
        prefetch; \
        __asm__ volatile(""); \
    } while (0)
#else
#define SKMBSGD_PREFETCH(address) ((void)(address))
#define SKMBSGD_PREFETCH_TO_WRITE(address) ((void)(address))
#endif

/* What a product prefetches of rows to come, as many as it works on: the cache lines at
   the bytes `first`, first + 64, ... before `stop` of each row. The second product
   prefetches `step` bytes at a time, and instead of a line beyond the byte `last` the
   line of that byte. */
typedef struct {
    const uint32_t *rows;
    ptrdiff_t first, stop, last, step;
} skmbsgd_rows_ahead;

/* Whether the product that reads rows for the first time should prefetch others. Its
   reads wait behind prefetches, and with processors of AMD it is better to prefetch
   when the rows at hand are in the cache; with those of Intel it takes up to an eighth
   less time to spread prefetches over the wait (benchmarks/NOTES.md). */
static inline int skmbsgd_prefetch_while_reading(void)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
#else
    return 0;
#endif
}

#endif
