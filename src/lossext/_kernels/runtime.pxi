"""Properties of the build and of the machine, and the choice of the instruction set."""

cdef extern from "job.h" nogil:
    enum: LX_LEVELS
    void lx_find_level()
    int lx_level()
    const char *lx_level_name(int level)
    int lx_level_supported(int level)
    void lx_set_level(int level)

cdef extern from "runtime.h" nogil:
    ctypedef struct lx_team:
        pass
    ctypedef struct lx_member:
        pass
    int lx_openmp_version()
    int lx_openmp_limit()
    int lx_must_run_serially()
    int lx_arm_fork_handlers()
    int lx_threads_for(double work)
    void lx_remember_threads(int threads)
    void lx_ask_always()
    void lx_call_ends()
    void lx_small_call_ends(double work, int threads)
    const char *lx_compiler()
    void lx_team_gather(lx_team *team, int threads)
    lx_member lx_team_arrive(lx_team *team)
    void lx_let_others_arrive(lx_team *team)
    Py_ssize_t lx_team_take(lx_team *team, lx_member *member, Py_ssize_t units)
    void lx_team_leave(lx_team *team, const lx_member *member)
    int lx_threads_to_be_had(int wanted)

lx_find_level()
if lx_arm_fork_handlers() != 0:
    raise ImportError("lossext: pthread_atfork failed, so parallel calls would hang in forked children")


def isa_levels():
    """Instruction sets that this build contains and this machine supports, from the baseline up."""
    return tuple(lx_level_name(level).decode() for level in range(LX_LEVELS) if lx_level_supported(level))


def isa():
    """The instruction set in use."""
    return lx_level_name(lx_level()).decode()


def set_isa(str name):
    """Use another instruction set in the whole process (for tests)."""
    for level in range(LX_LEVELS):
        if lx_level_name(level).decode() == name and lx_level_supported(level):
            lx_set_level(level)
            return
    raise ValueError(f"instruction set {name!r} is not one of {', '.join(isa_levels())}")


def openmp_version():
    """The macro _OPENMP of the build, 0 for a serial build."""
    return lx_openmp_version()


def openmp_limit():
    """The number of threads that the OpenMP runtime currently allows the calling thread."""
    return lx_openmp_limit()


def one_thread_only():
    """Whether no team may be started: in a forked child that lost its thread pool, and inside a parallel region."""
    return bool(lx_must_run_serially())


def threads_for(double work):
    """Number of threads for a call that would take `work` nanoseconds on one thread; 0: the maximum."""
    return lx_threads_for(work)


def remember_threads(int threads):
    """Remember the maximum number of threads for the calls of the same run."""
    lx_remember_threads(threads)


def ask_always():
    """Make `threads_for` return 0 for every call from now on."""
    lx_ask_always()


def compiler():
    """The compiler of the build, with its version."""
    return lx_compiler().decode()
