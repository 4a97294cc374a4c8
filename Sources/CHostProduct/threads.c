// Threads that wait for jobs and live as long as the process. One set of jobs at a time: who comes second does its own alone.

#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#endif
#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "include/host_product.h"

enum { MOST_THREADS = 256 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t begins, ends;
    int workers;
    /// Of the jobs that are being done now.
    unsigned long round;
    int wanted, busy;
    bool taken;
    size_t count;
    _Atomic size_t next;
    void (*job)(void *, size_t);
    void *context;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .begins = PTHREAD_COND_INITIALIZER, .ends = PTHREAD_COND_INITIALIZER};

static void work(void) {
    for (size_t i; (i = atomic_fetch_add(&pool.next, 1)) < pool.count;) pool.job(pool.context, i);
}

static void *worker(void *unused) {
    (void)unused;
    unsigned long seen = 0;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.round == seen || pool.wanted == 0) {
            seen = pool.round;
            pthread_cond_wait(&pool.begins, &pool.lock);
        }
        seen = pool.round;
        pool.wanted--;
        pool.busy++;
        pthread_mutex_unlock(&pool.lock);
        work();
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0) pthread_cond_signal(&pool.ends);
    }
    return NULL;
}

/// A child process has none of its parent's threads.
static void forget(void) {
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.begins, NULL);
    pthread_cond_init(&pool.ends, NULL);
    pool.workers = pool.wanted = pool.busy = 0;
    pool.taken = false;
}

static void start(int workers) {
    static bool handles_fork;
    if (!handles_fork) handles_fork = pthread_atfork(NULL, NULL, forget) == 0;
    // Signals are for the threads that were there before.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (pool.workers < workers) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, NULL) != 0) break;
        pthread_detach(thread);
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void host_parallel(size_t count, int threads, void (*job)(void *context, size_t index), void *context) {
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if ((size_t)threads > count) threads = (int)count;
    pthread_mutex_lock(&pool.lock);
    if (threads < 2 || pool.taken) {
        pthread_mutex_unlock(&pool.lock);
        for (size_t i = 0; i < count; i++) job(context, i);
        return;
    }
    pool.taken = true;
    start(threads - 1);
    pool.job = job;
    pool.context = context;
    pool.count = count;
    atomic_store(&pool.next, 0);
    pool.wanted = threads - 1 < pool.workers ? threads - 1 : pool.workers;
    pool.round++;
    pthread_cond_broadcast(&pool.begins);
    pthread_mutex_unlock(&pool.lock);
    work();
    pthread_mutex_lock(&pool.lock);
    // Who has not woken yet need not.
    pool.wanted = 0;
    while (pool.busy > 0) pthread_cond_wait(&pool.ends, &pool.lock);
    pool.taken = false;
    pthread_mutex_unlock(&pool.lock);
}

int host_threads(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}
