/* Epsilon-insensitive loss of a prediction x and a target y, d = x - y, p 1 or 2 (Vapnik 1995):
 *
 *   z = max(0, |d| - epsilon),  value = z^p
 *   slope = sign(d) p z^(p-1), 0 at z = 0
 *   curvature = 2 if p = 2 and z > 0, else 0
 *   majorizer = 2 if p = 2, else 1 / (2 ||d| - epsilon|) up to |d| = 2 epsilon and 1 / |d| beyond, where the parabola
 *               touches the loss at -d as well; inf at |d| = epsilon */
PARAMETERS(epsilon, p)
#define HAS_MAJORIZER

INLINE mask squared(E e) { return v_gt(e.p, one()); }

/* z, or NaN */
INLINE vec excess(E e) { return v_max(v_zero(), v_abs(e.x - e.y) - e.epsilon); }

INLINE vec value(E e)
{
    const vec z = excess(e);
    return v_select(squared(e), z * z, z);
}

INLINE vec slope(E e)
{
    const vec z = excess(e), step = v_select(v_gt(z, v_zero()), one(), z);
    return v_copysign(v_select(squared(e), z + z, step), e.x - e.y);
}

INLINE vec curvature(E e)
{
    const vec z = excess(e);
    return v_where(squared(e), v_select(v_gt(z, v_zero()), v_set(2), z));
}

INLINE vec majorizer(E e)
{
    const vec size = v_abs(e.x - e.y), near = v_set((real)0.5) / v_abs(size - e.epsilon);
    const vec linear = v_select(v_gt(size, e.epsilon + e.epsilon), one() / size, near);
    return v_select(squared(e), v_set(2), linear);
}
