#include "runtime.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef _WIN32
#include <windows.h>
#define YIELD() SwitchToThread()
#else
#include <sched.h>
#define YIELD() sched_yield()
#endif

#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
const char *lx_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc " TEXT(_MSC_VER);
#else
    return "unknown";
#endif
}

#ifdef _OPENMP
static int child_is_serial = 0;
int lx_openmp_version(void) { return _OPENMP; }
int lx_one_thread_only(void) { return child_is_serial || omp_in_parallel(); }
int lx_openmp_limit(void) { return lx_one_thread_only() ? 1 : omp_get_max_threads(); }
#else
int lx_openmp_version(void) { return 0; }
int lx_one_thread_only(void) { return 1; }
int lx_openmp_limit(void) { return 1; }
#endif

/* libgomp does not survive fork: the child inherits a list of pool threads that do not exist in it, and its first parallel
 * region waits for them for ever (GCC bug 58378).  So the pool is torn down before the fork (OpenMP 5.0's
 * omp_pause_resource_all) and parent and child build new ones on demand.  Where that call is missing (libgomp before 9) or
 * refuses, the child stays on one thread, and its children.  LLVM's libomp has fork handlers of its own, under whose locks
 * ours would run: with clang, none, for any call into libomp could wait for ever. */
#if defined(_OPENMP) && !defined(_WIN32) && !defined(__clang__)
#include <pthread.h>
#pragma weak omp_pause_resource_all
static int pause_pool(void) { return omp_pause_resource_all ? omp_pause_resource_all(omp_pause_soft) : -1; }
static int paused = -1;
static void before_fork(void) { paused = lx_one_thread_only() ? -1 : pause_pool(); }
static void in_child(void) { child_is_serial = paused != 0; }
int lx_arm_fork_handlers(void)
{
    static int armed = 0;
    if (!armed && pthread_atfork(before_fork, NULL, in_child))
        return -1;
    armed = 1;
    return 0;
}
#else
int lx_arm_fork_handlers(void) { return 0; }
#endif

/* After some 20 ms without work, pool threads sleep.  A woken one can be put on the very CPU where the master works and then
 * spins at the end of the region: on a small virtual machine it does not get to run for 5 to 8 ms.  So blocks are handed out
 * dynamically, and whoever ends the last one gives up its CPU until all have arrived: they would be waited for anyway. */
#if defined(__GNUC__) || defined(__clang__)
void lx_team_arrive(lx_team *team)
{
#ifdef _OPENMP
    __atomic_store_n(&team->size, omp_get_num_threads(), __ATOMIC_RELEASE); /* it may be fewer than asked for */
#endif
    __atomic_add_fetch(&team->arrived, 1, __ATOMIC_RELEASE);
}
static void team_await(lx_team *team)
{
    while (__atomic_load_n(&team->arrived, __ATOMIC_ACQUIRE) < team->size)
        YIELD();
}
void lx_team_finish_block(lx_team *team)
{
    if (__atomic_sub_fetch(&team->blocks_left, 1, __ATOMIC_ACQ_REL) == 0)
        team_await(team);
}
#define FETCH_ADD(p) __atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL)
#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#else
void lx_team_arrive(lx_team *team) { (void)team; }
void lx_team_finish_block(lx_team *team) { (void)team; }
static void team_await(lx_team *team) { (void)team; }
#define FETCH_ADD(p) (_InterlockedExchangeAdd64((volatile long long *)(p), 1))
#define LOAD(p) (_InterlockedExchangeAdd64((volatile long long *)(p), 0))
#endif

/* A barrier of OpenMP waits for threads, even for one that the system has taken off its CPU with nothing in hand.  Here only
 * units are waited for, so on a machine that is busy otherwise a phase costs what is left of a unit, not a time slice. */
void lx_work_through(lx_phase *phases, int count, lx_team *team)
{
    lx_team_arrive(team);
    for (lx_phase *phase = phases; phase < phases + count; phase++) {
        for (ptrdiff_t unit; (unit = FETCH_ADD(&phase->taken)) < phase->units;) {
            phase->step(phase->job, unit);
            FETCH_ADD(&phase->done);
        }
        for (int spins = 0; LOAD(&phase->done) < phase->units; spins++)
            if (spins > 500)
                YIELD();
    }
    team_await(team);
}
