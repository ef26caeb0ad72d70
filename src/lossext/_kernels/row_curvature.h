/* Curvatures of the kind that the job selects, for rows as lanes and for long rows. */

/* Calls <kind>_<shape> for the kind of curvature; losses without this kind have the exact curvature in its place. */
#define OF_KIND(kind, shape, arguments) \
    switch (kind) { \
    case LX_FISHER: fisher_##shape arguments; break; \
    case LX_RESIDUAL: residual_##shape arguments; break; \
    default: curvature_##shape arguments; \
    }
#ifndef HAS_FISHER
#define fisher_lanes curvature_lanes
#define fisher_along curvature_along
#endif
#ifndef HAS_RESIDUAL
#define residual_lanes curvature_lanes
#define residual_along curvature_along
#endif

/* ---- rows as lanes ---- */

#define CURVE_LANES(kind, own_result) \
    static NOINLINE void kind##_lanes(const group *g, const columns *c, real *to, piece p) \
    { \
        MAP_LANES(to, kind, own_result) \
    }
CURVE_LANES(curvature, own_curvature)
#ifdef HAS_FISHER
CURVE_LANES(fisher, own_curvature)
#endif
#ifdef HAS_RESIDUAL
CURVE_LANES(residual, own_residual)
#endif

static NOINLINE void curve_lanes(const lx_job *job, const group *g, columns *c, piece p)
{
    ALIGNED real curvatures[COLUMN_ELEMENTS];
    OF_KIND(job->curvature, lanes, (g, c, curvatures, p))
    write_columns(job, g, curvatures, p, job->hess, c);
}

/* ---- long rows ---- */

#define CURVE_ALONG(kind) \
    static NOINLINE void kind##_along(const group *g, ptrdiff_t i, stretch s, real *to) { MAP_ALONG(to, kind) }
CURVE_ALONG(curvature)
#ifdef HAS_FISHER
CURVE_ALONG(fisher)
#endif
#ifdef HAS_RESIDUAL
CURVE_ALONG(residual)
#endif

static void curve_along(int kind, const group *g, ptrdiff_t i, stretch s, real *to)
{
    const ptrdiff_t own = g->rows.y[i] - s.j;
    const result *r = &g->result[i / LANES];
    OF_KIND(kind, along, (g, i, s, to))
    if ((size_t)own < (size_t)s.n)
        to[own] = lane(kind == LX_RESIDUAL ? &r->own_residual : &r->own_curvature, i % LANES);
}

static void write_curvatures(const lx_job *job, const group *g, ptrdiff_t i, const real *from)
{
    ALIGNED real room[TARGETS ? ALONG_ELEMENTS : 1];
    const ptrdiff_t cols = job->cols;
    for (ptrdiff_t j = 0; j < cols;) {
        stretch s = stretch_of(job, g, i, j, room, NULL);
        s.x = from + i * cols + j;
        curve_along(job->curvature, g, i, s, (real *)job->hess + (g->rows.first + i) * cols + j);
        j += s.n;
    }
}

/* ---- majorizers from the scores: those of the class and the best column follow from those of the others ---- */

#ifdef HAS_MAJORIZER
/* If a row has several pieces, `sums` and `greatest` accumulate over them. */
static NOINLINE void majorizer_lanes(const group *g, const real *x, real *to, piece p, vec *sums, vec *greatest)
{
    for (ptrdiff_t k = 0, at = 0; k < g->rows.vectors; k++, at += column_stride(p.n)) {
        const row r = g->row[k];
        const vec scale = g->rows.grad_scale[k];
        const vec id = g->rows.id[k], best = BEST ? g->rows.best_id[k] : v_set(-1);
        vec j = v_set((real)p.j), sum = p.j ? sums[k] : v_zero(), most = p.j ? greatest[k] : v_zero();
        entry e = {v_zero(), g->result[k].factor, scale, v_zero(), v_zero()};
        for (ptrdiff_t i = at; i < at + p.n * LANES; i += LANES, j += one()) {
            e.x = v_load(x + i);
            e.t = term(&r, e.x);
            const vec h = v_where(v_not_equal(id, j), majorizer(&r, e));
            sum += h;
            most = v_max(v_where(v_not_equal(best, j), h), most);
            v_store(to + i, times(h, scale));
        }
        sums[k] = sum;
        greatest[k] = most;
    }
}

/* The majorizers of the class and of the best column. */
static void place_majorizers(const lx_job *job, const group *g, const vec *sums, const vec *greatest)
{
    real *hess = job->hess;
    for (ptrdiff_t k = 0; k < g->rows.vectors; k++) {
        const vec scale = g->rows.grad_scale[k];
        const vec own = times(own_majorizer(&g->row[k], sums[k], greatest[k]), scale);
        const vec best = times(best_majorizer(&g->row[k], greatest[k]), scale);
        for (ptrdiff_t i = k * LANES; i < g->rows.count && i < (k + 1) * LANES; i++) {
            const ptrdiff_t start = start_of_row(job, g->rows.first + i);
            hess[start + g->rows.y[i] * job->inner] = lane(&own, i % LANES);
            const ptrdiff_t column = BEST ? g->rows.best[i] : -1;
            if (column >= 0)
                hess[start + column * job->inner] = lane(&best, i % LANES);
        }
    }
}

static NOINLINE void majorize_along(const lx_job *job, const group *g, ptrdiff_t i, vec *sum, vec *greatest)
{
    const row r = row_of(g, i);
    const vec scale = v_set(lane(g->rows.grad_scale, i));
    const ptrdiff_t cols = job->cols, own = g->rows.y[i], best = BEST ? g->rows.best[i] : -1;
    const real *x = (const real *)job->input + (g->rows.first + i) * cols;
    real *to = (real *)job->hess + (g->rows.first + i) * cols;
    entry e = {v_zero(), v_zero(), scale, v_zero(), v_zero()};
    wide total = wide_zero();
    vec most = v_zero();
    for (ptrdiff_t at = 0; at < cols; at += LANES) {
        const ptrdiff_t count = cols - at < LANES ? cols - at : LANES;
        e.x = v_load_count(x + at, count);
        e.t = term(&r, e.x);
        const vec h = v_where(m_without(m_first(count), m_lane(own - at)), majorizer(&r, e));
        total = wide_add(total, h);
        most = v_max(v_without(h, m_lane(best - at)), most);
        v_store_count(to + at, times(h, scale), count);
    }
    lanes_of(sum)[i % LANES] = (real)wide_total(total);
    lanes_of(greatest)[i % LANES] = v_greatest(most);
}
#endif
