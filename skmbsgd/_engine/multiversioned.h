/* With SKMBSGD_MULTIVERSIONED, a function is compiled for several instruction sets if
   the tools can do so. The version for the processor is chosen when the module is
   loaded. */

#ifndef SKMBSGD_MULTIVERSIONED_H
#define SKMBSGD_MULTIVERSIONED_H

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) \
    && __GNUC__ >= 8
#define SKMBSGD_MULTIVERSIONED \
    __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SKMBSGD_MULTIVERSIONED
#endif

/* A function that takes on the instruction set of its caller */
#if defined(__GNUC__)
#define SKMBSGD_INLINE inline __attribute__((always_inline))
#else
#define SKMBSGD_INLINE inline
#endif

#endif
