"""Steps one after the other, the units of each shared out among threads: see lx_work_through."""

cdef enum:
    PHASES = 64                # at most, between two looks at pending signals


cdef struct schedule:
    lx_phase[PHASES] phases
    lx_wave[PHASES] waves      # each phase's own
    int count, n_threads
    const held_buffers *held


cdef int add_phase(schedule *planned, lx_step step, const lx_wave *wave, Py_ssize_t units) except -1:
    """Plan a step of a call; runs what is planned when it is much."""
    cdef int i = planned.count
    planned.waves[i] = wave[0]
    set_phase(&planned.phases[i], step, &planned.waves[i], units)
    planned.count += 1
    if planned.count == PHASES:
        run_schedule(planned)
        require_held(planned.held)
    return 0


cdef int run_schedule(schedule *planned) except -1:
    with nogil:
        run_phases(planned.phases, planned.count, planned.n_threads)
    planned.count = 0
    PyErr_CheckSignals()
    return 0


cdef void set_phase(lx_phase *phase, lx_step step, const void *job, Py_ssize_t units) noexcept nogil:
    phase.step, phase.job, phase.units, phase.taken, phase.done = step, job, units, 0, 0


cdef void run_phases(lx_phase *phases, int count, int n_threads) noexcept nogil:
    cdef lx_team team
    cdef int i
    cdef Py_ssize_t most = 1
    for i in range(count):
        most = max(most, <Py_ssize_t> phases[i].units)
    n_threads = lx_threads_to_be_had(<int> min(<Py_ssize_t> n_threads, most))
    if n_threads == 1:
        run_alone(phases, count)
        lx_call_ends()
        return
    lx_team_gather(&team, n_threads)
    for i in prange(n_threads, num_threads=n_threads, schedule="static", chunksize=1):
        lx_work_through(phases, count, &team)
    lx_call_ends()


cdef void run_alone(lx_phase *phases, int count) noexcept nogil:
    cdef Py_ssize_t unit
    for i in range(count):
        for unit in range(phases[i].units):
            phases[i].step(phases[i].job, unit)
