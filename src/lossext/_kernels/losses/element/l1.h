/* Absolute error of a prediction x and a target y, d = x - y, as torch:
 *
 *   value = |d|
 *   slope = sign(d), 0 at d = 0
 *   curvature = 0
 *   majorizer = 1 / |d|, inf at d = 0                               (Hunter and Lange 2000) */
NO_PARAMETERS
#define HAS_MAJORIZER

INLINE vec value(E e) { return v_abs(e.x - e.y); }

INLINE vec slope(E e) { return v_sign(e.x - e.y); }

INLINE vec curvature(E e) { return (void)e, v_zero(); }

INLINE vec majorizer(E e) { return one() / v_abs(e.x - e.y); }
