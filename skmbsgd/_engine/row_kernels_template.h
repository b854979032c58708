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
#define LINE ((ptrdiff_t)SKMBSGD_CACHE_LINE)
#define LESSER(a, b) ((a) < (b) ? (a) : (b))

/* A cache line of a later row, and one of each of four rows. The memory can deliver
   only a limited number of lines at a time, so they are prefetched step by step. */
#define PREFETCH_ROW(row, byte) SKMBSGD_PREFETCH((const char *)ROW(row) + (byte))
#define PREFETCH_FOUR_ROWS(rows, byte) \
    do { \
        PREFETCH_ROW((rows)[0], byte); \
        PREFETCH_ROW((rows)[1], byte); \
        PREFETCH_ROW((rows)[2], byte); \
        PREFETCH_ROW((rows)[3], byte); \
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
    const void *data, const uint32_t *rows, ptrdiff_t n_rows, ptrdiff_t n_columns,
    const void *weights, const void *intercept, double *z,
    const skmbsgd_rows_ahead *ahead)
{
    const REAL *x = (const REAL *)data, *w = (const REAL *)weights;
    const double b = *(const REAL *)intercept;
    const uint32_t *rows_ahead = ahead->rows;
    const ptrdiff_t first = ahead->first, stop = ahead->stop;
    ptrdiff_t i = 0, j, byte;
    /* Four rows at once read w once, and their sums do not wait for each other. */
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = ROW(rows[i]), *r1 = ROW(rows[i + 1]);
        const REAL *r2 = ROW(rows[i + 2]), *r3 = ROW(rows[i + 3]);
        VECTOR s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO;
        byte = first;
        for (j = 0; FITS(VECTOR); j += LANES(VECTOR)) {
            const VECTOR w_here = CONST_AT(VECTOR, w + j);
            s0 += CONST_AT(VECTOR, r0 + j) * w_here;
            s1 += CONST_AT(VECTOR, r1 + j) * w_here;
            s2 += CONST_AT(VECTOR, r2 + j) * w_here;
            s3 += CONST_AT(VECTOR, r3 + j) * w_here;
            if (byte < stop) {
                PREFETCH_FOUR_ROWS(rows_ahead + i, byte);
                byte += LINE;
            }
        }
        for (; byte < stop; byte += LINE)
            PREFETCH_FOUR_ROWS(rows_ahead + i, byte);
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
        for (byte = first; byte < stop; byte += LINE)
            PREFETCH_ROW(rows_ahead[i], byte);
    }
}

/* g += d^T X in the next columns, N of a TYPE, whose sums stay in registers from the
   first row to the last. Some of the next lines are prefetched meanwhile: after the
   present rows are read, which would have to wait otherwise, and line by line of the
   same rows, which the memory delivers faster. */
#define ADD_TO_COLUMNS(TYPE, N) \
    do { \
        TYPE sums[N]; \
        const ptrdiff_t stop = LESSER(first + step, stop_ahead); \
        ptrdiff_t k, byte; \
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
            for (byte = first; byte < stop; byte += LINE) \
                PREFETCH_FOUR_ROWS(rows_ahead + i, LESSER(byte, last)); \
        } \
        for (; i < n_rows; i++) { \
            const REAL *r = ROW(rows[i]) + j, d0 = (REAL)d[i]; \
            for (k = 0; k < (N); k++) \
                sums[k] += VECTOR_OF(TYPE, r) * d0; \
            for (byte = first; byte < stop; byte += LINE) \
                PREFETCH_ROW(rows_ahead[i], LESSER(byte, last)); \
        } \
        for (k = 0; k < (N); k++) \
            AT(TYPE, g + j + k * LANES(TYPE)) = sums[k]; \
        j += (N) * LANES(TYPE); \
        first = stop; \
    } while (0)
#define VECTOR_OF(TYPE, row) CONST_AT(TYPE, (row) + k * LANES(TYPE))

static TARGET void VARIANT(add_rows)(
    const void *data, const uint32_t *rows, ptrdiff_t n_rows, ptrdiff_t n_columns,
    const double *d, void *gradients, void *intercept_gradient,
    const skmbsgd_rows_ahead *ahead)
{
    const REAL *x = (const REAL *)data;
    REAL *g = (REAL *)gradients;
    const uint32_t *rows_ahead = ahead->rows;
    const ptrdiff_t stop_ahead = ahead->stop, last = ahead->last, step = ahead->step;
    ptrdiff_t i, j = 0, first = ahead->first;
    double sum = 0;
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
    for (i = 0; i + 4 <= n_rows; i += 4)
        sum += (d[i] + d[i + 1]) + (d[i + 2] + d[i + 3]);
    for (; i < n_rows; i++)
        sum += d[i];
    *(REAL *)intercept_gradient += (REAL)sum;
}

static const skmbsgd_row_kernels VARIANT(row_kernels) = {
    VARIANT(dot_rows), VARIANT(add_rows)
};

#undef ADD_TO_COLUMNS
#undef VECTOR_OF
#undef PREFETCH_FOUR_ROWS
#undef PREFETCH_ROW
#undef LESSER
#undef LINE
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
