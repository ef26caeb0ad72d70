#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu, CPU_SET */
#endif
#include "runtime.h"
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef _WIN32
#include <windows.h>
#else
#include <sched.h>
#endif

#define QUOTED_(a) #a
#define QUOTED(a) QUOTED_(a)
const char *lx_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "msvc " QUOTED(_MSC_VER);
#else
    return "unknown";
#endif
}

#ifdef _OPENMP
static int child_is_serial = 0;
static int team_size = 1; /* of this thread's last region, whose threads still exist */
#pragma omp threadprivate(team_size)
int lx_openmp_version(void) { return _OPENMP; }
int lx_must_run_serially(void) { return child_is_serial || omp_in_parallel(); }
int lx_openmp_limit(void) { return lx_must_run_serially() ? 1 : omp_get_max_threads(); }
#else
int lx_openmp_version(void) { return 0; }
int lx_must_run_serially(void) { return 1; }
int lx_openmp_limit(void) { return 1; }
#endif

/* ---- atomic operations ---- */

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static long long add_one(long long *p) { return _InterlockedIncrement64(p); }
static long long load(long long *p) { return _InterlockedOr64(p, 0); }
static inline void store(long long *p, long long value) { _InterlockedExchange64(p, value); }
static void pause_cpu(void) { YieldProcessor(); }
#else
static long long add_one(long long *p) { return __atomic_add_fetch(p, 1, __ATOMIC_ACQ_REL); }
static long long load(long long *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store(long long *p, long long value) { __atomic_store_n(p, value, __ATOMIC_RELEASE); }
static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}
#endif

/* ---- the floating-point state ----
 *
 * A team computes with the rounding mode and the flushing of subnormal numbers of the calling thread; otherwise results
 * would depend on the number of threads. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
enum { CONTROL = 0xffc0 }; /* MXCSR without the exception flags */
static unsigned float_control(void) { return __builtin_ia32_stmxcsr() & CONTROL; }
static void set_float_control(unsigned control)
{
    const unsigned now = __builtin_ia32_stmxcsr();
    if ((now & CONTROL) != control)
        __builtin_ia32_ldmxcsr((now & ~(unsigned)CONTROL) | control);
}
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
static unsigned float_control(void)
{
    unsigned long long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return (unsigned)control;
}
static void set_float_control(unsigned control)
{
    if (float_control() != control)
        __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long long)control));
}
#else
#include <fenv.h>
static unsigned float_control(void) { return (unsigned)fegetround(); }
static void set_float_control(unsigned control)
{
    if (float_control() != control)
        fesetround((int)control);
}
#endif

/* libgomp does not survive fork: the child inherits a list of pool threads that do not exist in it, and its first
 * parallel region waits for them forever (GCC bug 58378).  So the pool is released before the fork (OpenMP 5.0's
 * omp_pause_resource_all), and parent and child create new ones on demand.  If that call is missing (libgomp before 9)
 * or fails, the child and its own children stay on one thread.  With clang there are no handlers here: LLVM's libomp
 * has its own, which hold locks while ours would run, so that any call into libomp could wait forever. */
#if defined(_OPENMP) && !defined(_WIN32) && !defined(__clang__)
#include <pthread.h>
#pragma weak omp_pause_resource_all
static int pause_pool(void) { return omp_pause_resource_all ? omp_pause_resource_all(omp_pause_soft) : -1; }
static int paused = -1;
static void before_fork(void)
{
    paused = lx_must_run_serially() ? -1 : pause_pool();
    team_size = 1;
}
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

/* ---- whether more than one thread pays (all times in ns) ----
 *
 * Waking a sleeping team takes from 50 us to 8 ms, depending on the machine; this time is measured whenever a team is
 * woken.  Waking pays if the work takes longer than that: the work of one call, or of a run of calls, between which
 * pauses are no longer than the calls.  During a run the team stays awake, and sharing a call costs 1 us.  A pool
 * thread that spins for the next region takes a CPU from the rest of the program, so outside of runs the team is
 * allowed to fall asleep.  If other processes use the CPUs, small calls can take longer on two threads than on one;
 * then four times the lost time has to be earned before calls are shared again. */
#define LITTLE_WORK 3e3
#define SMALL_WORK 50e3
#define SHORT_PAUSE 50e3
#define LONG_PAUSE 5e6 /* no team falls asleep in this time */
#define SLEEPS_AFTER 20e6

/* ---- whether there are threads ----
 *
 * An OpenMP runtime ends the process if the system cannot start a thread (RLIMIT_NPROC, control groups, memory for
 * stacks).  So before a region that is larger than the last one, the additional threads are started here at the same
 * time, and joined; if that fails, the region keeps its old size.  A joined thread still counts towards the limits for
 * a moment, so this waits until the system no longer knows it. */
#if defined(_OPENMP) && defined(__linux__)
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct {
    pthread_mutex_t *until;
    pthread_t thread;
    long long id;
} probe;

static void *stay(void *argument)
{
    probe *p = argument;
    store(&p->id, syscall(SYS_gettid));
    pthread_mutex_lock(p->until);
    pthread_mutex_unlock(p->until);
    return NULL;
}

static int can_start(int count)
{
    enum { MAX_TRIES = 100000 };
    pthread_mutex_t until = PTHREAD_MUTEX_INITIALIZER;
    sigset_t all, before;
    int started = 0;
    probe *probes = malloc((size_t)count * sizeof *probes);
    if (!probes)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* these threads must not receive signals */
    pthread_mutex_lock(&until);
    for (; started < count; started++) {
        probes[started].until = &until;
        probes[started].id = 0;
        if (pthread_create(&probes[started].thread, NULL, stay, &probes[started]))
            break;
    }
    pthread_mutex_unlock(&until);
    for (int i = 0; i < started; i++)
        pthread_join(probes[i].thread, NULL);
    for (int i = 0, tries = 0; i < started && tries < MAX_TRIES; tries++)
        if (syscall(SYS_tgkill, (long)getpid(), (long)load(&probes[i].id), 0))
            i++;
        else
            sched_yield();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(probes);
    return started == count;
}

int lx_threads_to_be_had(int wanted)
{
    if (wanted > team_size && !can_start(wanted - team_size))
        return team_size;
    return wanted > 1 ? team_size = wanted : wanted;
}
#else
int lx_threads_to_be_had(int wanted) { return wanted; }
#endif

static int asks_always = 0;
void lx_ask_always(void) { asks_always = 1; }

#ifdef _OPENMP
static long long wake_time = 100000;
enum { LONGEST_WAKE = 2000000 }; /* a longer time means that the CPU was occupied */

static struct {
    double earned;          /* work of all calls, minus four times the lost time */
    double start, expected; /* start and expected time of the last call above LITTLE_WORK */
    double end;             /* end of the last call */
    double pace;            /* time of a small call on one thread, divided by the expected time */
    double last_region;     /* end of the last parallel region */
    int threads;            /* last maximum of threads, 0 if unknown in this run */
    int awake;              /* whether a small call has been shared before */
} run; /* a run of calls by this thread */
#pragma omp threadprivate(run)

static double now(void) { return omp_get_wtime() * 1e9; }

static double worth_waking(void) { return 1.2 * (double)load(&wake_time); }

int lx_threads_for(double work)
{
    if (asks_always)
        return 0;
    if (work < LITTLE_WORK)
        return 1;
    const double start = now(), worth = worth_waking();
    const double end = run.end > run.start ? run.end : run.start + run.expected, pause = start - end;
    if (pause > SHORT_PAUSE && (pause > run.expected || pause > LONG_PAUSE))
        run.earned = run.threads = run.awake = 0;
    run.start = start;
    run.expected = work;
    run.earned = run.earned + work < 1.25 * worth ? run.earned + work : 1.25 * worth;
    if (work >= worth)
        return 0;
    if (run.earned < worth)
        return 1;
    return work < SMALL_WORK ? run.threads : 0;
}

void lx_remember_threads(int threads) { run.threads = threads; }

void lx_call_ends(void) { run.end = now(); }

void lx_small_call_ends(double work, int threads)
{
    if (work < LITTLE_WORK)
        return;
    lx_call_ends();
    if (work >= SMALL_WORK)
        return;
    const double taken = run.end - run.start, lost = taken - run.pace * work;
    if (threads == 1)
        run.pace = taken / work;
    else if (!run.awake)
        run.awake = 1;
    else if (lost > 0 && (run.earned -= 4 * lost) < worth_waking()) {
        run.earned -= worth_waking();
        run.awake = 0;
    }
}

static void set_clock(lx_team *team)
{
    team->start = now();
    team->asleep = team->start > run.last_region + SLEEPS_AFTER;
}

static void measure_waking(const lx_team *team, long long arrived)
{
    if (!team->asleep || arrived < omp_get_num_threads())
        return;
    const long long known = load(&wake_time), taken = (long long)(now() - team->start);
    const long long next = taken < known ? (known + taken) / 2 : (7 * known + taken) / 8;
    store(&wake_time, next < LONGEST_WAKE ? next : LONGEST_WAKE);
}

static void end_region(void) { run.last_region = now(); }
#else
int lx_threads_for(double work) { return !asks_always && work < SMALL_WORK; }
void lx_remember_threads(int threads) { (void)threads; }
void lx_call_ends(void) {}
void lx_small_call_ends(double work, int threads) { (void)work, (void)threads; }
static void set_clock(lx_team *team) { (void)team; }
static void measure_waking(const lx_team *team, long long arrived) { (void)team, (void)arrived; }
static void end_region(void) {}
#endif

/* ---- the work of a team ----
 *
 * After some 20 ms without work, pool threads sleep.  The system may schedule a woken thread on the CPU of the thread
 * that woke it, where it cannot run until that one is done; both then spin, waiting for each other, and on a virtual
 * machine with two CPUs such a call takes 5 to 8 ms.  Therefore units of work are not assigned in advance; while not
 * all threads have arrived, the others yield their CPU between units, twice at most; a thread that arrives on an
 * occupied CPU moves to another; and a thread that finds no unit left yields until all have finished. */

void lx_team_gather(lx_team *team, int threads)
{
    const int portions = threads < LX_PLACES ? threads : LX_PLACES;
    memset(team, 0, offsetof(lx_team, portion) + (size_t)portions * sizeof *team->portion);
    team->portions = portions;
    team->floats = float_control();
    set_clock(team);
}

static void yield_cpu(void)
{
#ifdef _WIN32
    SwitchToThread();
#else
    sched_yield();
#endif
}

static void wait_until(long long *counter, long long value)
{
    enum { SPINS = 500 }; /* some 10 us, about the time that a unit takes */
    for (int i = 0; load(counter) < value; i++)
        if (i < SPINS)
            pause_cpu();
        else
            yield_cpu(); /* instead of sleeping, which takes milliseconds without high-resolution timers */
}

#if defined(_OPENMP) && defined(__linux__)
/* Make the system move this thread away from `cpus`, by excluding them from its affinity for a moment. */
static void move_away(const cpu_set_t *cpus)
{
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    CPU_AND(&others, &allowed, cpus);
    CPU_XOR(&others, &allowed, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
}

static void find_cpu(lx_team *team, long long place)
{
    const int cpu = sched_getcpu();
    if (place >= LX_PLACES || cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    cpu_set_t taken;
    CPU_ZERO(&taken);
    for (int i = 0; i < place; i++) {
        const int other = __atomic_load_n(&team->cpus[i], __ATOMIC_RELAXED) - 1;
        if (other >= 0)
            CPU_SET(other, &taken);
    }
    if (CPU_ISSET(cpu, &taken))
        move_away(&taken);
    __atomic_store_n(&team->cpus[place], sched_getcpu() + 1, __ATOMIC_RELAXED);
}
#else
static void find_cpu(lx_team *team, long long place) { (void)team, (void)place; }
#endif

lx_member lx_team_arrive(lx_team *team)
{
    const lx_member member = {add_one(&team->arrived) - 1, 0, float_control()};
    set_float_control(team->floats);
    measure_waking(team, member.place + 1);
    find_cpu(team, member.place);
    return member;
}

void lx_let_others_arrive(lx_team *team)
{
#ifdef _OPENMP
    if (load(&team->arrived) < omp_get_num_threads() && add_one(&team->yields) <= 2)
        yield_cpu();
#else
    (void)team;
#endif
}

ptrdiff_t lx_team_take(lx_team *team, lx_member *member, ptrdiff_t units)
{
    for (; member->done < team->portions; member->done++) {
        const ptrdiff_t p = (ptrdiff_t)(member->place + member->done) % team->portions;
        const ptrdiff_t first = units * p / team->portions, end = units * (p + 1) / team->portions;
        const ptrdiff_t unit = first + (ptrdiff_t)add_one(&team->portion[p].taken) - 1;
        if (unit < end)
            return unit;
    }
    return -1;
}

void lx_team_leave(lx_team *team, const lx_member *member)
{
    set_float_control(member->floats);
#ifdef _OPENMP
    add_one(&team->gone);
    wait_until(&team->gone, omp_get_num_threads());
#else
    (void)team;
#endif
    end_region();
}

/* Between phases, threads wait for units to be done, and not for each other as in an OpenMP barrier: on a busy machine
 * the wait then takes the rest of a unit, not the time slice of a thread that was preempted while it had no unit. */
void lx_work_through(lx_phase *phases, int count, lx_team *team)
{
    const lx_member member = lx_team_arrive(team);
    for (lx_phase *phase = phases; phase < phases + count; phase++) {
        lx_let_others_arrive(team);
        for (long long unit; (unit = add_one(&phase->taken) - 1) < phase->units;) {
            phase->step(phase->job, (ptrdiff_t)unit);
            add_one(&phase->done);
        }
        wait_until(&phase->done, phase->units);
    }
    lx_team_leave(team, &member);
}
