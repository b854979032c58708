/* Included by row_kernels_variants.h for each type REAL and each instruction set, whose
   registers hold VECTOR_BYTES: 64, 32, 16, or 0 for compilers without vector types,
   which take one number at a time. */

#if VECTOR_BYTES
#define TYPE_OF(bytes) \
    __attribute__((vector_size(bytes), aligned(sizeof(REAL)), may_alias))
typedef REAL VARIANT(vector_t) TYPE_OF(VECTOR_BYTES);
typedef REAL VARIANT(half_t) TYPE_OF(VECTOR_BYTES > 32 ? 32 : VECTOR_BYTES);
typedef REAL VARIANT(quarter_t) TYPE_OF(16);
#undef TYPE_OF
#define VECTOR VARIANT(vector_t)
#define HALF VARIANT(half_t)
#define QUARTER VARIANT(quarter_t)
#define ZERO {0}
#else
#define VECTOR REAL
#define ZERO 0
#endif

#define AT(TYPE, address) (*(TYPE *)(address))
#define CONST_AT(TYPE, address) (*(const TYPE *)(address))
#define LANES(TYPE) ((ptrdiff_t)(sizeof(TYPE) / sizeof(REAL)))
#define FITS(TYPE) (j + LANES(TYPE) <= n_columns)
#define ROW(row) (x + (ptrdiff_t)(row) * n_columns)
#define BYTE_OF_ROW(row, byte) ((const char *)ROW(row) + (byte))
#define LINE ((ptrdiff_t)SKMBSGD_CACHE_LINE)
#define PAGE ((ptrdiff_t)SKMBSGD_PAGE)

/* A cache line of each of four rows. The memory can deliver only so many lines
   at a time, so that they are sent for step by step, and by the shuffle or by both
   products where that is better. */
#define SEND_FOR_LINES(four_rows, byte) \
    do { \
        SKMBSGD_PREFETCH(BYTE_OF_ROW((four_rows)[0], byte)); \
        SKMBSGD_PREFETCH(BYTE_OF_ROW((four_rows)[1], byte)); \
        SKMBSGD_PREFETCH(BYTE_OF_ROW((four_rows)[2], byte)); \
        SKMBSGD_PREFETCH(BYTE_OF_ROW((four_rows)[3], byte)); \
    } while (0)

#if VECTOR_BYTES > 32
static SKMBSGD_INLINE TARGET HALF VARIANT(sum_of_halves)(const VECTOR *v)
{
    union { VECTOR whole; HALF parts[2]; } vector = {*v};
    return vector.parts[0] + vector.parts[1];
}
#endif

#if VECTOR_BYTES > 16
static SKMBSGD_INLINE TARGET QUARTER VARIANT(sum_of_quarters)(const HALF *v)
{
    union { HALF whole; QUARTER parts[2]; } vector = {*v};
    return vector.parts[0] + vector.parts[1];
}
#endif

#if VECTOR_BYTES
static SKMBSGD_INLINE TARGET REAL VARIANT(sum_of_lanes)(const QUARTER *v)
{
    REAL sum = (*v)[0];
    ptrdiff_t lane;
    for (lane = 1; lane < LANES(QUARTER); lane++)
        sum += (*v)[lane];
    return sum;
}
#endif

/* The sum of the numbers of s and of row . w from column j on, less than a VECTOR */
static SKMBSGD_INLINE TARGET REAL VARIANT(complete)(
    const VECTOR *s, const REAL *row, const REAL *w, ptrdiff_t j, ptrdiff_t n_columns)
{
    REAL sum;
#if VECTOR_BYTES > 32
    HALF half = VARIANT(sum_of_halves)(s);
    if (FITS(HALF)) {
        half += CONST_AT(HALF, row + j) * CONST_AT(HALF, w + j);
        j += LANES(HALF);
    }
#elif VECTOR_BYTES > 16
    HALF half = *s;
#endif
#if VECTOR_BYTES > 16
    QUARTER quarter = VARIANT(sum_of_quarters)(&half);
    if (FITS(QUARTER)) {
        quarter += CONST_AT(QUARTER, row + j) * CONST_AT(QUARTER, w + j);
        j += LANES(QUARTER);
    }
#elif VECTOR_BYTES
    QUARTER quarter = *s;
#endif
#if VECTOR_BYTES
    sum = VARIANT(sum_of_lanes)(&quarter);
#else
    sum = *s;
#endif
    for (; j < n_columns; j++)
        sum += row[j] * w[j];
    return sum;
}

static TARGET void VARIANT(dot_rows)(
    const REAL *x, const uint32_t *rows, const uint32_t *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead,
    const uint32_t *rows_beyond, ptrdiff_t stop_beyond,
    const REAL *w, REAL b, double *z)
{
    ptrdiff_t i = 0, j, ahead, beyond;
    /* Four rows at once read w once, and their sums do not wait for each other. */
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = ROW(rows[i]), *r1 = ROW(rows[i + 1]);
        const REAL *r2 = ROW(rows[i + 2]), *r3 = ROW(rows[i + 3]);
        VECTOR s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO;
        for (beyond = 0; beyond < stop_beyond; beyond += PAGE)
            SEND_FOR_LINES(rows_beyond + i, beyond);
        ahead = first_ahead;
        for (j = 0; FITS(VECTOR); j += LANES(VECTOR)) {
            const VECTOR w_here = CONST_AT(VECTOR, w + j);
            s0 += CONST_AT(VECTOR, r0 + j) * w_here;
            s1 += CONST_AT(VECTOR, r1 + j) * w_here;
            s2 += CONST_AT(VECTOR, r2 + j) * w_here;
            s3 += CONST_AT(VECTOR, r3 + j) * w_here;
            if (ahead < stop_ahead) {
                SEND_FOR_LINES(rows_ahead + i, ahead);
                ahead += LINE;
            }
        }
        for (; ahead < stop_ahead; ahead += LINE)
            SEND_FOR_LINES(rows_ahead + i, ahead);
        z[i] = (double)VARIANT(complete)(&s0, r0, w, j, n_columns) + b;
        z[i + 1] = (double)VARIANT(complete)(&s1, r1, w, j, n_columns) + b;
        z[i + 2] = (double)VARIANT(complete)(&s2, r2, w, j, n_columns) + b;
        z[i + 3] = (double)VARIANT(complete)(&s3, r3, w, j, n_columns) + b;
    }
    for (; i < n_rows; i++) {
        const REAL *r = ROW(rows[i]);
        VECTOR s = ZERO, s_next = ZERO;
        for (j = 0; j + 2 * LANES(VECTOR) <= n_columns; j += 2 * LANES(VECTOR)) {
            s += CONST_AT(VECTOR, r + j) * CONST_AT(VECTOR, w + j);
            s_next += CONST_AT(VECTOR, r + j + LANES(VECTOR))
                      * CONST_AT(VECTOR, w + j + LANES(VECTOR));
        }
        if (FITS(VECTOR)) {
            s += CONST_AT(VECTOR, r + j) * CONST_AT(VECTOR, w + j);
            j += LANES(VECTOR);
        }
        s += s_next;
        z[i] = (double)VARIANT(complete)(&s, r, w, j, n_columns) + b;
        for (beyond = 0; beyond < stop_beyond; beyond += PAGE)
            SKMBSGD_PREFETCH(BYTE_OF_ROW(rows_beyond[i], beyond));
        for (ahead = first_ahead; ahead < stop_ahead; ahead += LINE)
            SKMBSGD_PREFETCH(BYTE_OF_ROW(rows_ahead[i], ahead));
    }
}

/* g += d^T X in the next columns, N of a TYPE, whose sums stay in registers from the
   first row to the last. A share of the lines to come is sent for meanwhile: after the
   rows at hand are read, which would have to wait otherwise; as early as that allows,
   since the next block's first product waits for all that is under way; and line after
   line of the same rows, which the memory delivers faster. */
#define ADD_TO_COLUMNS(TYPE, N) \
    do { \
        TYPE sums[N]; \
        const ptrdiff_t stop = LESSER(first_ahead + share, end_ahead); \
        ptrdiff_t k, ahead; \
        for (k = 0; k < (N); k++) \
            sums[k] = CONST_AT(TYPE, g + j + k * LANES(TYPE)); \
        for (i = 0; i + 4 <= n_rows; i += 4) { \
            const REAL *r0 = ROW(rows[i]) + j, *r1 = ROW(rows[i + 1]) + j; \
            const REAL *r2 = ROW(rows[i + 2]) + j, *r3 = ROW(rows[i + 3]) + j; \
            const REAL d0 = (REAL)d[i], d1 = (REAL)d[i + 1]; \
            const REAL d2 = (REAL)d[i + 2], d3 = (REAL)d[i + 3]; \
            for (k = 0; k < (N); k++) \
                sums[k] += (VECTOR_OF(TYPE, r0) * d0 + VECTOR_OF(TYPE, r1) * d1) \
                           + (VECTOR_OF(TYPE, r2) * d2 + VECTOR_OF(TYPE, r3) * d3); \
            for (ahead = first_ahead; ahead < stop; ahead += LINE) \
                SEND_FOR_LINES(rows_ahead + i, LESSER(ahead, last_ahead)); \
        } \
        for (; i < n_rows; i++) { \
            const REAL *r = ROW(rows[i]) + j, d0 = (REAL)d[i]; \
            for (k = 0; k < (N); k++) \
                sums[k] += VECTOR_OF(TYPE, r) * d0; \
            for (ahead = first_ahead; ahead < stop; ahead += LINE) \
                SKMBSGD_PREFETCH( \
                    BYTE_OF_ROW(rows_ahead[i], LESSER(ahead, last_ahead))); \
        } \
        for (k = 0; k < (N); k++) \
            AT(TYPE, g + j + k * LANES(TYPE)) = sums[k]; \
        j += (N) * LANES(TYPE); \
        first_ahead = stop; \
    } while (0)
#define VECTOR_OF(TYPE, row) CONST_AT(TYPE, (row) + k * LANES(TYPE))
#define LESSER(a, b) ((a) < (b) ? (a) : (b))

static TARGET REAL VARIANT(add_rows)(
    const REAL *x, const uint32_t *rows, const uint32_t *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const double *d, REAL *g)
{
    /* A row need not begin with a cache line: its last byte may lie in one more. */
    const ptrdiff_t last_ahead = stop_ahead - 1, end_ahead = stop_ahead + LINE - 1;
    /* What is left of a short row at once, of a long one step by step */
    const ptrdiff_t share = (stop_ahead - first_ahead > 8 * LINE ? 3 : 9) * LINE;
    ptrdiff_t i, j = 0;
    REAL sum = 0;
    while (j + 4 * LANES(VECTOR) <= n_columns)
        ADD_TO_COLUMNS(VECTOR, 4);
    if (j + 2 * LANES(VECTOR) <= n_columns)
        ADD_TO_COLUMNS(VECTOR, 2);
    if (FITS(VECTOR))
        ADD_TO_COLUMNS(VECTOR, 1);
#if VECTOR_BYTES > 32
    if (FITS(HALF))
        ADD_TO_COLUMNS(HALF, 1);
#endif
#if VECTOR_BYTES > 16
    if (FITS(QUARTER))
        ADD_TO_COLUMNS(QUARTER, 1);
#endif
    while (FITS(REAL))
        ADD_TO_COLUMNS(REAL, 1);
    /* If nobody has sent for the first half, the steps may have been too few. */
    for (; first_ahead < end_ahead; first_ahead += LINE)
        for (i = 0; i < n_rows; i++)
            SKMBSGD_PREFETCH(
                BYTE_OF_ROW(rows_ahead[i], LESSER(first_ahead, last_ahead)));
    for (i = 0; i + 4 <= n_rows; i += 4)
        sum += ((REAL)d[i] + (REAL)d[i + 1]) + ((REAL)d[i + 2] + (REAL)d[i + 3]);
    for (; i < n_rows; i++)
        sum += (REAL)d[i];
    return sum;
}

#undef ADD_TO_COLUMNS
#undef VECTOR_OF
#undef LESSER
#undef SEND_FOR_LINES
#undef PAGE
#undef LINE
#undef BYTE_OF_ROW
#undef ROW
#undef FITS
#undef LANES
#undef CONST_AT
#undef AT
#undef ZERO
#undef VECTOR
#if VECTOR_BYTES
#undef HALF
#undef QUARTER
#endif
