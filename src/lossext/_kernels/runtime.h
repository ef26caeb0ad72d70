/* OpenMP, behind functions that exist in a serial build too (`cimport openmp` would not compile there). */
#ifndef LX_RUNTIME_H
#define LX_RUNTIME_H

#include <stddef.h>

int lx_openmp_version(void); /* _OPENMP, 0 in a serial build */
int lx_openmp_limit(void);   /* threads the linked runtime would use now, in this thread; 1 inside a parallel region */
int lx_one_thread_only(void); /* a team must not be started: in a forked child that lost its pool, or in a parallel region */
int lx_arm_fork_handlers(void);
const char *lx_compiler(void);

/* A team's start, so that no thread waits by spinning for another that has not been woken yet: see runtime.c. */
typedef struct {
    int size, arrived, blocks_left;
} lx_team;
void lx_team_arrive(lx_team *team);
void lx_team_finish_block(lx_team *team);

/* Work in phases: the units of one are independent of each other, and need all of the phase before.  Every thread of a team
 * calls lx_work_through once, and takes units as they come. */
typedef void (*lx_step)(const void *job, ptrdiff_t unit);
typedef struct {
    lx_step step;
    const void *job;
    ptrdiff_t units, taken, done;
} lx_phase;
void lx_work_through(lx_phase *phases, int count, lx_team *team);

#endif
