/* Included by row_kernels.h once for each type REAL.

   A LINE is a cache line of numbers, which the compiler maps to the SIMD registers
   that there are. Other compilers than GCC and Clang take lines of one number. */

#if defined(__GNUC__)
typedef REAL NAME(line_t) __attribute__((
    vector_size(SKMBSGD_CACHE_LINE), aligned(sizeof(REAL)), may_alias));
#define LANE(line, lane) ((line)[lane])
#define ZERO_LINE {0}
#else
typedef REAL NAME(line_t);
#define LANE(line, lane) (line)
#define ZERO_LINE 0
#endif

#define LINE NAME(line_t)
#define LANES ((ptrdiff_t)(sizeof(LINE) / sizeof(REAL)))
#define LINE_AT(row, column) (*(const LINE *)((row) + (column)))

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

/* z[i] = rows[i] . w */
SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_dot_rows)(
    const REAL *const *rows, const REAL *const *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const REAL *w, REAL *z)
{
    const ptrdiff_t line = SKMBSGD_CACHE_LINE / sizeof(REAL);
    ptrdiff_t i = 0, j, lane, ahead;
    /* Four rows at once read w once, and their sums do not wait for each other. */
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = rows[i], *r1 = rows[i + 1];
        const REAL *r2 = rows[i + 2], *r3 = rows[i + 3];
        const REAL *a0 = rows_ahead[i], *a1 = rows_ahead[i + 1];
        const REAL *a2 = rows_ahead[i + 2], *a3 = rows_ahead[i + 3];
        LINE s0 = ZERO_LINE, s1 = ZERO_LINE, s2 = ZERO_LINE, s3 = ZERO_LINE;
        REAL t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        ahead = first_ahead;
        for (j = 0; j + LANES <= n_columns; j += LANES) {
            const LINE w_line = LINE_AT(w, j);
            s0 += LINE_AT(r0, j) * w_line;
            s1 += LINE_AT(r1, j) * w_line;
            s2 += LINE_AT(r2, j) * w_line;
            s3 += LINE_AT(r3, j) * w_line;
            if (ahead < stop_ahead) {
                SEND_FOR_LINES(ahead);
                ahead += line;
            }
        }
        for (; ahead < stop_ahead; ahead += line)
            SEND_FOR_LINES(ahead);
        for (; j < n_columns; j++) {
            t0 += r0[j] * w[j];
            t1 += r1[j] * w[j];
            t2 += r2[j] * w[j];
            t3 += r3[j] * w[j];
        }
        for (lane = 0; lane < LANES; lane++) {
            t0 += LANE(s0, lane);
            t1 += LANE(s1, lane);
            t2 += LANE(s2, lane);
            t3 += LANE(s3, lane);
        }
        z[i] = t0;
        z[i + 1] = t1;
        z[i + 2] = t2;
        z[i + 3] = t3;
    }
    for (; i < n_rows; i++) {
        const REAL *r = rows[i];
        LINE s = ZERO_LINE, s_next = ZERO_LINE;
        REAL t = 0;
        for (j = 0; j + 2 * LANES <= n_columns; j += 2 * LANES) {
            s += LINE_AT(r, j) * LINE_AT(w, j);
            s_next += LINE_AT(r, j + LANES) * LINE_AT(w, j + LANES);
        }
        for (; j < n_columns; j++)
            t += r[j] * w[j];
        s += s_next;
        for (lane = 0; lane < LANES; lane++)
            t += LANE(s, lane);
        z[i] = t;
        for (ahead = first_ahead; ahead < stop_ahead; ahead += line)
            SKMBSGD_PREFETCH(rows_ahead[i] + ahead);
    }
}

/* g += sum over i of d[i] * rows[i] */
SKMBSGD_MULTIVERSIONED
void NAME(skmbsgd_add_rows)(
    const REAL *const *rows, const REAL *const *rows_ahead,
    ptrdiff_t n_rows, ptrdiff_t n_columns,
    ptrdiff_t first_ahead, ptrdiff_t stop_ahead, const REAL *d, REAL *g)
{
    const ptrdiff_t line = SKMBSGD_CACHE_LINE / sizeof(REAL);
    ptrdiff_t i = 0, j, ahead;
    for (; i + 4 <= n_rows; i += 4) {
        const REAL *r0 = rows[i], *r1 = rows[i + 1];
        const REAL *r2 = rows[i + 2], *r3 = rows[i + 3];
        const REAL *a0 = rows_ahead[i], *a1 = rows_ahead[i + 1];
        const REAL *a2 = rows_ahead[i + 2], *a3 = rows_ahead[i + 3];
        const REAL d0 = d[i], d1 = d[i + 1], d2 = d[i + 2], d3 = d[i + 3];
        ahead = first_ahead;
        for (j = 0; j + LANES <= n_columns; j += LANES) {
            *(LINE *)(g + j) += (LINE_AT(r0, j) * d0 + LINE_AT(r1, j) * d1)
                                + (LINE_AT(r2, j) * d2 + LINE_AT(r3, j) * d3);
            if (ahead < stop_ahead) {
                SEND_FOR_LINES(ahead);
                ahead += line;
            }
        }
        for (; j < n_columns; j++)
            g[j] += (r0[j] * d0 + r1[j] * d1) + (r2[j] * d2 + r3[j] * d3);
        for (; ahead < stop_ahead; ahead += line)
            SEND_FOR_LINES(ahead);
        /* A row need not begin with a cache line: its end may lie in one more. */
        SEND_FOR_LINES(stop_ahead - 1);
    }
    for (; i < n_rows; i++) {
        const REAL *r = rows[i];
        for (j = 0; j + LANES <= n_columns; j += LANES)
            *(LINE *)(g + j) += LINE_AT(r, j) * d[i];
        for (; j < n_columns; j++)
            g[j] += r[j] * d[i];
        for (ahead = first_ahead; ahead < stop_ahead; ahead += line)
            SKMBSGD_PREFETCH(rows_ahead[i] + ahead);
        SKMBSGD_PREFETCH(rows_ahead[i] + stop_ahead - 1);
    }
}

#undef SEND_FOR_LINES
#undef LANE
#undef ZERO_LINE
#undef LINE
#undef LANES
#undef LINE_AT
