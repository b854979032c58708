/* For modules whose functions must be inlined into their callers.

   "inline" is only advice, which compilers ignore for deeply nested functions. But a
   number of outputs that the caller knows helps only if the functions are inlined. */

#ifndef SKMBSGD_ALWAYS_INLINE_H
#define SKMBSGD_ALWAYS_INLINE_H

#if defined(__GNUC__)
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline, unused))
#endif

#endif
