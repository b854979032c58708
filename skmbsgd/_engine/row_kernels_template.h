/* Included by row_kernels.h once for each type REAL.

   A LINE is a cache line of numbers, which the compiler maps to the SIMD registers
   that there are; a HALF and a QUARTER of it take what is left at the end of a row.
   Other compilers than GCC and Clang take one number at a time. */

#if defined(__GNUC__)
#define PART_OF_LINE(parts) \
    __attribute__((vector_size(SKMBSGD_CACHE_LINE / (parts)), \
                   aligned(sizeof(REAL)), may_alias))
typedef REAL NAME(line_t) PART_OF_LINE(1);
typedef REAL NAME(half_t) PART_OF_LINE(2);
typedef REAL NAME(quarter_t) PART_OF_LINE(4);
#undef PART_OF_LINE
#define LINE NAME(line_t)
#define HALF NAME(half_t)
#define QUARTER NAME(quarter_t)
#define ZERO_LINE {0}
#else
#define LINE REAL
#define ZERO_LINE 0
#endif

#define AT(TYPE, address) (*(TYPE *)(address))
#define CONST_AT(TYPE, address) (*(const TYPE *)(address))
#define LANES(TYPE) ((ptrdiff_t)(sizeof(TYPE) / sizeof(REAL)))
#define FITS(TYPE) (j + LANES(TYPE) <= n_columns)

/* Both products send for rows to come, as many as there are rows: for the columns from
   first_ahead to before stop_ahead, a line of each row per step. The memory can deliver
   only so many lines at a time, so that each of the two sends for its share. */

#define SEND_FOR_LINES(column) \
    do { \
        SKMBSGD_PREFETCH(a0 + (column)); \
        SKMBSGD_PREFETCH(a1 + (column)); \
        SKMBSGD_PREFETCH(a2 + (column)); \
        SKMBSGD_PREFETCH(a3 + (column)); \
    } while (0)

/* The sum of the numbers of s and of row . w from column j on, less than a line */
static SKMBSGD_INLINE REAL NAME(complete)(
    const LINE *s, const REAL *row, const REAL *w, ptrdiff_t j, ptrdiff_t n_columns)
{
    REAL sum = 0;
#if defined(__GNUC__)
    union { LINE whole; HALF parts[2]; } line = {*s};
    union { HALF whole; QUARTER parts[2]; } half;
    QUARTER quarter;
    ptrdiff_t lane;
    half.whole = line.parts[0] + line.parts[1];
    if (FITS(HALF)) {
        half.whole += CONST_AT(HALF, row + j) * CONST_AT(HALF, w + j);
        j += LANES(HALF);
    }
    quarter = half.parts[0] + half.parts[1];
    if (FITS(QUARTER)) {
        quarter += CONST_AT(QUARTER, row + j) * CONST_AT(QUARTER, w + j);
        j += LANES(QUARTER);
    }
    for (lane = 0; lane < LANES(QUARTER); lane++)
        sum += quarter[lane];
#else
    sum = *s;
#endif
    for (; j < n_columns; j++)
        sum += row[j] * w[j];
    return sum;
}

/* z[i] = rows[i] . w + b */
SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_dot_rows)(
    const REAL *const *rows, const REAL *const *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const REAL *w, REAL b, double *z)
{
    const ptrdiff_t line = SKMBSGD_CACHE_LINE / sizeof(REAL);
    ptrdiff_t i = 0, j, ahead;
    /* Four rows at once read w once, and their sums do not wait for each other. */
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = rows[i], *r1 = rows[i + 1];
        const REAL *r2 = rows[i + 2], *r3 = rows[i + 3];
        const REAL *a0 = rows_ahead[i], *a1 = rows_ahead[i + 1];
        const REAL *a2 = rows_ahead[i + 2], *a3 = rows_ahead[i + 3];
        LINE s0 = ZERO_LINE, s1 = ZERO_LINE, s2 = ZERO_LINE, s3 = ZERO_LINE;
        ahead = first_ahead;
        for (j = 0; FITS(LINE); j += LANES(LINE)) {
            const LINE w_line = CONST_AT(LINE, w + j);
            s0 += CONST_AT(LINE, r0 + j) * w_line;
            s1 += CONST_AT(LINE, r1 + j) * w_line;
            s2 += CONST_AT(LINE, r2 + j) * w_line;
            s3 += CONST_AT(LINE, r3 + j) * w_line;
            if (ahead < stop_ahead) {
                SEND_FOR_LINES(ahead);
                ahead += line;
            }
        }
        for (; ahead < stop_ahead; ahead += line)
            SEND_FOR_LINES(ahead);
        z[i] = (double)NAME(complete)(&s0, r0, w, j, n_columns) + b;
        z[i + 1] = (double)NAME(complete)(&s1, r1, w, j, n_columns) + b;
        z[i + 2] = (double)NAME(complete)(&s2, r2, w, j, n_columns) + b;
        z[i + 3] = (double)NAME(complete)(&s3, r3, w, j, n_columns) + b;
    }
    for (; i < n_rows; i++) {
        const REAL *r = rows[i];
        LINE s = ZERO_LINE, s_next = ZERO_LINE;
        for (j = 0; j + 2 * LANES(LINE) <= n_columns; j += 2 * LANES(LINE)) {
            s += CONST_AT(LINE, r + j) * CONST_AT(LINE, w + j);
            s_next += CONST_AT(LINE, r + j + LANES(LINE))
                      * CONST_AT(LINE, w + j + LANES(LINE));
        }
        if (FITS(LINE)) {
            s += CONST_AT(LINE, r + j) * CONST_AT(LINE, w + j);
            j += LANES(LINE);
        }
        s += s_next;
        z[i] = (double)NAME(complete)(&s, r, w, j, n_columns) + b;
        for (ahead = first_ahead; ahead < stop_ahead; ahead += line)
            SKMBSGD_PREFETCH(rows_ahead[i] + ahead);
    }
}

/* The next columns of g += d0 * r0 + ... + d3 * r3 */
#define ADD_FOUR_ROWS(TYPE) \
    do { \
        AT(TYPE, g + j) += \
            (CONST_AT(TYPE, r0 + j) * d0 + CONST_AT(TYPE, r1 + j) * d1) \
            + (CONST_AT(TYPE, r2 + j) * d2 + CONST_AT(TYPE, r3 + j) * d3); \
        j += LANES(TYPE); \
    } while (0)

/* g += sum over i of d[i] * rows[i]; returns the sum of d */
SKMBSGD_MULTIVERSIONED
REAL NAME(skmbsgd_add_rows)(
    const REAL *const *rows, const REAL *const *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const double *d, REAL *g)
{
    const ptrdiff_t line = SKMBSGD_CACHE_LINE / sizeof(REAL);
    ptrdiff_t i = 0, j, ahead;
    REAL sum = 0;
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = rows[i], *r1 = rows[i + 1];
        const REAL *r2 = rows[i + 2], *r3 = rows[i + 3];
        const REAL *a0 = rows_ahead[i], *a1 = rows_ahead[i + 1];
        const REAL *a2 = rows_ahead[i + 2], *a3 = rows_ahead[i + 3];
        const REAL d0 = (REAL)d[i], d1 = (REAL)d[i + 1];
        const REAL d2 = (REAL)d[i + 2], d3 = (REAL)d[i + 3];
        sum += (d0 + d1) + (d2 + d3);
        ahead = first_ahead;
        j = 0;
        while (FITS(LINE)) {
            ADD_FOUR_ROWS(LINE);
            if (ahead < stop_ahead) {
                SEND_FOR_LINES(ahead);
                ahead += line;
            }
        }
        for (; ahead < stop_ahead; ahead += line)
            SEND_FOR_LINES(ahead);
        /* A row need not begin with a cache line: its end may lie in one more. */
        SEND_FOR_LINES(stop_ahead - 1);
#if defined(__GNUC__)
        if (FITS(HALF))
            ADD_FOUR_ROWS(HALF);
        if (FITS(QUARTER))
            ADD_FOUR_ROWS(QUARTER);
#endif
        while (FITS(REAL))
            ADD_FOUR_ROWS(REAL);
    }
    for (; i < n_rows; i++) {
        const REAL *r = rows[i], d0 = (REAL)d[i];
        sum += d0;
        for (j = 0; FITS(LINE); j += LANES(LINE))
            AT(LINE, g + j) += CONST_AT(LINE, r + j) * d0;
        for (; j < n_columns; j++)
            g[j] += r[j] * d0;
        for (ahead = first_ahead; ahead < stop_ahead; ahead += line)
            SKMBSGD_PREFETCH(rows_ahead[i] + ahead);
        SKMBSGD_PREFETCH(rows_ahead[i] + stop_ahead - 1);
    }
    return sum;
}

#undef ADD_FOUR_ROWS
#undef SEND_FOR_LINES
#undef FITS
#undef LANES
#undef CONST_AT
#undef AT
#undef ZERO_LINE
#undef LINE
#if defined(__GNUC__)
#undef HALF
#undef QUARTER
#endif
