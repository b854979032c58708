/* For modules whose functions have to become part of their callers.

   "inline" is advice, which compilers do not follow into nests of functions, and a
   number of outputs that is known to the caller is of use only if they do. */

#ifndef SKMBSGD_ALWAYS_INLINE_H
#define SKMBSGD_ALWAYS_INLINE_H

#if defined(__GNUC__)
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline, unused))
#endif

#endif
