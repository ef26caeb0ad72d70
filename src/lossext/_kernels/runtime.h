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
/* `wanted`, or fewer where the system gives no more: then an OpenMP runtime would end the process. */
int lx_threads_to_be_had(int wanted);
void lx_ask_always(void); /* from now on lx_threads_for says 0: what it is not to decide is wrong, and to be reported */
void lx_call_ends(void);
void lx_small_call_ends(double work, int threads); /* instead, of a call on as many threads as lx_threads_for said */
const char *lx_compiler(void);

/* Work shared out among the threads of a parallel region: each arrives, takes units until none is left, then leaves.
 * There is a portion of the units for each thread, which it takes one behind the other, as memory likes it; then it
 * helps with the others' portions. */
enum { LX_PLACES = 64 };
typedef struct {
    long long taken;
    char apart[56]; /* from the next, lest threads take a cache line from each other */
} lx_portion;
typedef struct {
    long long arrived, gone, yields;
    double start;        /* when it was called together, */
    int asleep;          /* and whether its threads slept then */
    int portions;
    unsigned floats;     /* the caller's floating-point control: rounding, flushing to zero */
    int cpus[LX_PLACES]; /* 1 + where the threads run that arrived first, 0 where nothing is known */
    lx_portion portion[LX_PLACES];
} lx_team;
typedef struct {
    long long place;
    int done;        /* portions of which nothing is left, from its own on */
    unsigned floats; /* its own floating-point control, to return to */
} lx_member;
void lx_team_gather(lx_team *team, int threads); /* before the region begins */
lx_member lx_team_arrive(lx_team *team);
void lx_let_others_arrive(lx_team *team);
ptrdiff_t lx_team_take(lx_team *team, lx_member *member, ptrdiff_t units); /* 0 to units - 1, each once; -1: no more */
void lx_team_leave(lx_team *team, const lx_member *member); /* returns when all threads of the region are here */

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
