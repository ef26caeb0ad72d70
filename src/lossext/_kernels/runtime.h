/* OpenMP, behind functions that exist in a serial build too (`cimport openmp` would not compile there). */
#ifndef LX_RUNTIME_H
#define LX_RUNTIME_H

#include <stddef.h>

int lx_openmp_version(void); /* _OPENMP, 0 in a serial build */
int lx_openmp_limit(void);   /* threads the linked runtime would use now, in this thread; 1 inside a parallel region */
/* A team must not be started: in a forked child that lost its pool, or in a parallel region. */
int lx_one_thread_only(void);
int lx_arm_fork_handlers(void);

/* Threads for a call of the calling thread that would take `work` nanoseconds on one; 0: as many as there may be, which
 * lx_remember_threads is to be told. */
int lx_threads_for(double work);
void lx_remember_threads(int threads);
void lx_call_ends(void);
void lx_small_call_ends(double work, int threads);
const char *lx_compiler(void);

/* Work shared out among the threads of a parallel region: each arrives, takes units until none is left, then leaves. */
enum { LX_PLACES = 64 };
typedef struct {
    long long next, gone, arrived, yields;
    double start;
    int asleep; /* before */
    int cpus[LX_PLACES]; /* 1 + where the threads run that arrived first, 0 where nothing is known */
} lx_team;
void lx_team_gather(lx_team *team); /* before the region */
void lx_team_arrive(lx_team *team);
void lx_let_others_arrive(lx_team *team);
long long lx_team_take(lx_team *team); /* 0, 1, 2, ...: each number once */
void lx_team_leave(lx_team *team);     /* returns when all threads of the region have come to this */

/* Work in phases: the units of one are independent of each other, and need all of the phase before.  Every thread of a
 * team calls lx_work_through once, and takes units as they come. */
typedef void (*lx_step)(const void *job, ptrdiff_t unit);
typedef struct {
    lx_step step;
    const void *job;
    long long units, taken, done;
} lx_phase;
void lx_work_through(lx_phase *phases, int count, lx_team *team);

#endif
