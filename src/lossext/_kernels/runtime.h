/* Wrappers of OpenMP that also exist in a serial build, where `cimport openmp` would not compile. */
#ifndef LX_RUNTIME_H
#define LX_RUNTIME_H

#include <stddef.h>

int lx_openmp_version(void); /* _OPENMP, 0 in a serial build */
int lx_openmp_limit(void);   /* threads that a region started by this thread would have; 1 inside a parallel region */
/* Whether no team may be started: in a forked child that lost its thread pool, and inside a parallel region. */
int lx_must_run_serially(void);
int lx_arm_fork_handlers(void);

/* Number of threads for a call that would take `work` nanoseconds on one thread; 0: the maximum, which the caller then
 * passes to lx_remember_threads. */
int lx_threads_for(double work);
void lx_remember_threads(int threads);
/* `wanted`, or fewer threads if the system cannot start more, in which case OpenMP would end the process. */
int lx_threads_to_be_had(int wanted);
void lx_ask_always(void); /* makes lx_threads_for return 0 from now on, so that the caller reports an invalid limit */
void lx_call_ends(void);
void lx_small_call_ends(double work, int threads); /* instead, if lx_threads_for chose the number of threads */
const char *lx_compiler(void);

/* Work distributed among the threads of a parallel region: each arrives, takes units until none is left, and leaves.
 * Each thread takes the units of its own portion in ascending order, for hardware prefetching, and then helps with the
 * portions of the others. */
enum { LX_PLACES = 64 };
typedef struct {
    long long taken;
    char padding[56]; /* so that portions are on different cache lines */
} lx_portion;
typedef struct {
    long long arrived, gone, yields;
    double start;        /* when the team was started */
    int asleep;          /* whether its threads were asleep then */
    int portions;
    unsigned floats;     /* the caller's floating-point control: rounding, flushing to zero */
    int cpus[LX_PLACES]; /* 1 + the CPU of each thread, in order of arrival; 0 if unknown */
    lx_portion portion[LX_PLACES];
} lx_team;
typedef struct {
    long long place; /* in order of arrival */
    int done;        /* number of portions known to be finished, counted from its own */
    unsigned floats; /* its own floating-point control, to be restored */
} lx_member;
void lx_team_gather(lx_team *team, int threads); /* before the region begins */
lx_member lx_team_arrive(lx_team *team);
void lx_let_others_arrive(lx_team *team);
/* The next unit, each of 0 to units - 1 once; -1 if none is left. */
ptrdiff_t lx_team_take(lx_team *team, lx_member *member, ptrdiff_t units);
void lx_team_leave(lx_team *team, const lx_member *member); /* waits for all threads of the region */

/* Work in phases: the units of a phase are independent of each other and need all units of the previous phase.  Every
 * thread of a team calls lx_work_through once. */
typedef void (*lx_step)(const void *job, ptrdiff_t unit);
typedef struct {
    lx_step step;
    const void *job;
    long long units, taken, done;
} lx_phase;
void lx_work_through(lx_phase *phases, int count, lx_team *team);

#endif
