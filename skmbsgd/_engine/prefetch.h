/* Prefetch instructions, if the compiler has them. */

#ifndef SKMBSGD_PREFETCH_H
#define SKMBSGD_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum { SKMBSGD_CACHE_LINE = 64 };

#if defined(__GNUC__)
/* Prefetch into the second-level cache. Compared with the first level, two of three
   processors saved up to half of the time of an epoch, and one needed a tenth more for
   short rows (benchmarks/NOTES.md). */
#define SKMBSGD_PREFETCH(address) SKMBSGD_KEEP(__builtin_prefetch((address), 0, 2))
#define SKMBSGD_PREFETCH_TO_WRITE(address) \
    SKMBSGD_KEEP(__builtin_prefetch((address), 1, 3))
/* GCC assumes that a function which only prefetches has no effect, and drops its calls
   unless it inlines them. It keeps volatile instructions, even empty ones. */
#define SKMBSGD_KEEP(prefetch) \
    do { \
        prefetch; \
        __asm__ volatile(""); \
    } while (0)
#else
#define SKMBSGD_PREFETCH(address) ((void)(address))
#define SKMBSGD_PREFETCH_TO_WRITE(address) ((void)(address))
#endif

/* The parts of later rows that a product prefetches, for as many rows as it processes:
   the cache lines at the bytes `first`, first + 64, ... before `stop` of each row. The
   second product prefetches `step` bytes at a time. Instead of a line after the byte
   `last` it prefetches the line of that byte. */
typedef struct {
    const uint32_t *rows;
    ptrdiff_t first, stop, last, step;
} skmbsgd_rows_ahead;

/* Whether the product that reads rows for the first time should prefetch others. Its
   reads wait for prefetches, so on AMD processors it is better to prefetch when the
   present rows are already in the cache. On Intel processors, spreading the prefetches
   over the wait saves up to an eighth of the time (benchmarks/NOTES.md). */
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
