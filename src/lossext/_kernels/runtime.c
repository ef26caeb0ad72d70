#include "runtime.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
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

/* After some 20 ms without work, pool threads sleep.  A woken one can be put on the CPU where another thread of the team works
 * and then spins, waiting for it, at the end of the region: on a small virtual machine it does not get to run for 5 to 8 ms.
 * So units of work are not allotted beforehand, and a thread that finds none left naps until all have come to the end: a
 * CPU where somebody naps is free, and who wakes up is put on an idle one. */
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
long long lx_team_take(lx_team *team) { return _InterlockedIncrement64(&team->next) - 1; }
static long long add(long long *counter) { return _InterlockedIncrement64(counter); }
static long long look(long long *counter) { return _InterlockedOr64(counter, 0); }
static int add_gone(lx_team *team) { return _InterlockedIncrement((long *)&team->gone); }
static int gone(lx_team *team) { return _InterlockedOr((long *)&team->gone, 0); }
static void pause_cpu(void) { YieldProcessor(); }
#else
long long lx_team_take(lx_team *team) { return __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED); }
static long long add(long long *counter) { return __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL); }
static long long look(long long *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
static int add_gone(lx_team *team) { return __atomic_add_fetch(&team->gone, 1, __ATOMIC_ACQ_REL); }
static int gone(lx_team *team) { return __atomic_load_n(&team->gone, __ATOMIC_ACQUIRE); }
static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}
#endif

static void nap(void)
{
#ifdef _WIN32
    Sleep(0);
#else
    const struct timespec a_moment = {0, 20 * 1000};
    nanosleep(&a_moment, NULL);
#endif
}

void lx_team_leave(lx_team *team)
{
#ifdef _OPENMP
    enum { SPINS = 500 }; /* some 10 us: as long as a block takes that is still being worked on */
    const int size = omp_get_num_threads();
    add_gone(team);
    for (int i = 0; gone(team) < size; i++)
        if (i < SPINS)
            pause_cpu();
        else
            nap();
#else
    (void)team;
#endif
}

/* A barrier of OpenMP waits for threads, even for one that the system has taken off its CPU with nothing in hand.  Here only
 * units are waited for, so on a machine that is busy otherwise a phase costs what is left of a unit, not a time slice. */
void lx_work_through(lx_phase *phases, int count, lx_team *team)
{
    enum { SPINS = 5000 }; /* some 100 us: longer than a unit */
    for (lx_phase *phase = phases; phase < phases + count; phase++) {
        for (long long unit; (unit = add(&phase->taken) - 1) < phase->units;) {
            phase->step(phase->job, (ptrdiff_t)unit);
            add(&phase->done);
        }
        for (int i = 0; look(&phase->done) < phase->units; i++)
            if (i < SPINS)
                pause_cpu();
            else
                nap();
    }
    lx_team_leave(team);
}
