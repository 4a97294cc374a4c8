#ifndef HOST_THREADS_H
#define HOST_THREADS_H

#include <stddef.h>

/// Calls `job` for every index below `count`, on up to `threads` threads with this one, and waits. Whoever is free takes the next
/// index, so that a thread which the system holds back holds nobody up but by one job.
void host_parallel(size_t count, int threads, void (*job)(void *context, size_t index), void *context);

#endif
