#define _GNU_SOURCE
#include "include/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum {
  /// How often a thread looks for news before it sleeps: some ten microseconds, less than waking takes.
  LOOKS = 4096,
};

typedef struct {
  void *memory;
  size_t bytes;
} scratch;

typedef struct {
  pthread_t thread;
  ck_workers *workers;
  int number;
} member;

struct ck_workers {
  int count;
  member *members;
  scratch *scratch;

  /// Held by the caller whose turn it is.
  pthread_mutex_t turn;
  pthread_mutex_t lock;
  /// A new run, or the end.
  pthread_cond_t begins;
  /// The last worker has left the run.
  pthread_cond_t ends;
  /// Counts the runs. The next one begins when every worker has left the last: none can miss one.
  atomic_uint run;
  atomic_int ending;
  /// Workers that have not left the run yet.
  atomic_int busy;

  atomic_ptrdiff_t next;
  ptrdiff_t jobs;
  ck_job job;
  void *context;
};

/// The workers that this thread works for at the moment, and as which.
static _Thread_local ck_workers *inside = NULL;
static _Thread_local int inside_as = 0;

static void pause_a_little(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_jobs(ck_workers *workers, int number) {
  ck_workers *outer = inside;
  int outer_as = inside_as;
  inside = workers;
  inside_as = number;
  for (;;) {
    ptrdiff_t index = atomic_fetch_add_explicit(&workers->next, 1, memory_order_relaxed);
    if (index >= workers->jobs) break;
    workers->job(workers->context, index, number);
  }
  inside = outer;
  inside_as = outer_as;
}

static void *work(void *argument) {
  member *self = argument;
  ck_workers *workers = self->workers;
  unsigned seen = 0;
  for (;;) {
    for (int look = 0; look < LOOKS && atomic_load(&workers->run) == seen; look++) {
      pause_a_little();
    }
    if (atomic_load(&workers->run) == seen) {
      pthread_mutex_lock(&workers->lock);
      while (atomic_load(&workers->run) == seen) {
        pthread_cond_wait(&workers->begins, &workers->lock);
      }
      pthread_mutex_unlock(&workers->lock);
    }
    seen = atomic_load(&workers->run);
    if (atomic_load(&workers->ending)) return NULL;
    take_jobs(workers, self->number);
    if (atomic_fetch_sub(&workers->busy, 1) == 1) {
      pthread_mutex_lock(&workers->lock);
      pthread_cond_signal(&workers->ends);
      pthread_mutex_unlock(&workers->lock);
    }
  }
}

ck_workers *ck_workers_create(int count) {
  if (count < 1) count = 1;
  ck_workers *workers = calloc(1, sizeof *workers);
  if (!workers) return NULL;
  workers->members = calloc(count, sizeof *workers->members);
  // One more than there are workers: the last is what they share.
  workers->scratch = calloc(count + 1, sizeof *workers->scratch);
  if (!workers->members || !workers->scratch) {
    free(workers->members);
    free(workers->scratch);
    free(workers);
    return NULL;
  }
  pthread_mutexattr_t recursive;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&workers->turn, &recursive);
  pthread_mutexattr_destroy(&recursive);
  pthread_mutex_init(&workers->lock, NULL);
  pthread_cond_init(&workers->begins, NULL);
  pthread_cond_init(&workers->ends, NULL);
  workers->count = 1;
  for (int number = 1; number < count; number++) {
    member *self = &workers->members[number];
    self->workers = workers;
    self->number = number;
    if (pthread_create(&self->thread, NULL, work, self) != 0) break;
    workers->count = number + 1;
  }
  return workers;
}

static void begin(ck_workers *workers) {
  pthread_mutex_lock(&workers->lock);
  atomic_fetch_add(&workers->run, 1);
  pthread_cond_broadcast(&workers->begins);
  pthread_mutex_unlock(&workers->lock);
}

void ck_workers_destroy(ck_workers *workers) {
  if (!workers) return;
  atomic_store(&workers->ending, 1);
  begin(workers);
  for (int number = 1; number < workers->count; number++) {
    pthread_join(workers->members[number].thread, NULL);
  }
  for (int number = 0; number <= workers->count; number++) free(workers->scratch[number].memory);
  pthread_cond_destroy(&workers->ends);
  pthread_cond_destroy(&workers->begins);
  pthread_mutex_destroy(&workers->lock);
  pthread_mutex_destroy(&workers->turn);
  free(workers->scratch);
  free(workers->members);
  free(workers);
}

void ck_workers_begin_turn(ck_workers *workers) { pthread_mutex_lock(&workers->turn); }
void ck_workers_end_turn(ck_workers *workers) { pthread_mutex_unlock(&workers->turn); }

int ck_workers_is_inside(const ck_workers *workers) { return inside == workers; }

int ck_workers_count(const ck_workers *workers) { return workers->count; }

void ck_workers_run(ck_workers *workers, ptrdiff_t count, ck_job job, void *context) {
  if (inside == workers) {
    for (ptrdiff_t index = 0; index < count; index++) job(context, index, inside_as);
    return;
  }
  pthread_mutex_lock(&workers->turn);
  workers->jobs = count;
  workers->job = job;
  workers->context = context;
  atomic_store(&workers->next, 0);
  if (count > 1 && workers->count > 1) {
    atomic_store(&workers->busy, workers->count - 1);
    begin(workers);
    take_jobs(workers, 0);
    for (int look = 0; look < LOOKS && atomic_load(&workers->busy) > 0; look++) pause_a_little();
    if (atomic_load(&workers->busy) > 0) {
      pthread_mutex_lock(&workers->lock);
      while (atomic_load(&workers->busy) > 0) pthread_cond_wait(&workers->ends, &workers->lock);
      pthread_mutex_unlock(&workers->lock);
    }
  } else {
    take_jobs(workers, 0);
  }
  pthread_mutex_unlock(&workers->turn);
}

void *ck_workers_scratch(ck_workers *workers, int worker, size_t bytes) {
  scratch *own = &workers->scratch[worker];
  if (own->bytes < bytes) {
    free(own->memory);
    own->memory = NULL;
    own->bytes = 0;
    // Some slack, so that sizes that grow a little do not allocate each time.
    size_t size = (bytes + bytes / 8 + 4095) & ~(size_t)4095;
    if (posix_memalign(&own->memory, 4096, size) != 0) abort();
    own->bytes = size;
  }
  return own->memory;
}
