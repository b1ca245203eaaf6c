#ifndef CKERNELS_WORKERS_H
#define CKERNELS_WORKERS_H

#include <stddef.h>

/// Threads that wait for jobs. They are started once: a job costs a hand-over, not a thread.
typedef struct ck_workers ck_workers;

/// Job number `index` of a run, on worker `worker`, at least 0 and below the count of workers.
typedef void (*ck_job)(void *context, ptrdiff_t index, int worker);

/// Workers that are `count` with the caller, which works too. NULL without memory; where the system
/// has no more threads there are fewer.
ck_workers *ck_workers_create(int count);
void ck_workers_destroy(ck_workers *workers);

int ck_workers_count(const ck_workers *workers);

/// Runs jobs 0 ..< count, each once, in any order, and returns when all are done. Jobs must not depend
/// on each other. Callers take turns; a run that is started from inside a job is done by that worker
/// alone.
void ck_workers_run(ck_workers *workers, ptrdiff_t count, ck_job job, void *context);

/// Keeps other callers out between several runs that belong together.
void ck_workers_begin_turn(ck_workers *workers);
void ck_workers_end_turn(ck_workers *workers);

/// Whether this thread is doing a job of `workers`.
int ck_workers_is_inside(const ck_workers *workers);

/// Memory of `worker`, at least `bytes` large and aligned to 64 bytes: valid inside a job until the
/// worker asks again. What all share during a turn is that of worker number `count`. Without memory the process ends, as it does in Swift.
void *ck_workers_scratch(ck_workers *workers, int worker, size_t bytes);

#endif
