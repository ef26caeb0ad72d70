/* Ends of arrays, for instruction sets without masked loads and stores. */
INLINE vec v_load_first(const real *p, ptrdiff_t n, real fill)
{
    real lanes[LANES];
    for (ptrdiff_t i = 0; i < LANES; i++)
        lanes[i] = i < n ? p[i] : fill;
    return v_load(lanes);
}

INLINE void v_store_first(real *p, vec a, ptrdiff_t n)
{
    real lanes[LANES];
    v_store(lanes, a);
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = lanes[i];
}
