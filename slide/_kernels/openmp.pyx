"""OpenMP's own threads, which a forked process does not have: what to do about it before and after.

GNU OpenMP keeps the threads of a loop for the next one. A child has none of them, but believes so, and waits for ever.
"""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #if (defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 9)
    #pragma weak omp_pause_resource_all
    static int slide_release_threads(void)
    {
        return omp_pause_resource_all != 0 && omp_pause_resource_all(omp_pause_soft) == 0;
    }
    #else
    static int slide_release_threads(void) { return 0; }
    #endif
    static void slide_stay_alone(void) { omp_set_max_active_levels(0); }
    #else
    static int slide_release_threads(void) { return 1; }
    static void slide_stay_alone(void) {}
    #endif
    """
    int slide_release_threads() nogil
    void slide_stay_alone() nogil


def release_threads():
    """Ends the threads that loops of the calling thread have used; the next loop starts new ones. Whether it could."""
    cdef int done
    with nogil:
        done = slide_release_threads()
    return bool(done)


def stay_alone():
    """From now on loops of the calling thread run on it alone, whatever number of threads they ask for."""
    with nogil:
        slide_stay_alone()
