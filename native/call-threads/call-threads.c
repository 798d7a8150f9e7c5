/*
 * Threads that make blocking calls of a C library for a program that must not block, and read the library's error of each call
 * in the thread that has made it, as libvirt keeps it there. What they come back with waits in one queue; a byte in a pipe tells
 * that something does. libvirt's event loop runs in a thread of its own, and what it reports goes the same way.
 *
 * Nothing here knows libvirt's headers: functions come as addresses, and take whole numbers and pointers only. On x86-64 and
 * on arm64 those go in registers and then in words on the stack, which the caller clears away, so that a function may be given
 * more of them than it takes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "start-thread.h"

#define MAX_ARGUMENTS 8
#define UUID_STRING_BYTES 37
/* libvirt's own threads have as much by default; most of it is never touched. */
#define STACK_BYTES (1024 * 1024)
/* libvirt-common.h: struct _virTypedParameter */
#define PARAMETER_BYTES 96

/* virterror.h: the beginning of struct _virError */
struct library_error {
  int code;
  int domain;
  const char *message;
  int level;
  void *connection;
  void *subject;
  const char *text1;
  const char *text2;
  const char *text3;
  int number1;
};

enum argument_kind { ARGUMENT_VALUE = 0, ARGUMENT_OFFSET = 1 };

/* A call as it is asked for: its head, the arguments, and what pointers among those lead to. */
struct request {
  uint64_t function;
  uint64_t argument_count;
  struct {
    uint64_t kind;
    uint64_t value;
  } arguments[];
};

enum record_kind { RECORD_CALL = 0, RECORD_EVENT = 1, RECORD_LOOP_FAILED = 2 };

/* What waits to be taken. JavaScript reads it by these offsets: 8 bytes each. */
struct record {
  uint64_t kind;
  /* Of the call, or of the event. */
  uint64_t id;
  uint64_t result;
  int64_t error_code;
  int64_t error_number;
  /* NULL without an error. */
  char *error_message;
  /* The request, with what the call has written into it; or what belongs to an event. */
  void *body;
  uint64_t body_bytes;
  /* Of events. */
  void *connection;
  int64_t detail[2];
  char uuid[40];
  struct record *next;
};

struct thread {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct record *job;
  int is_over;
};

static struct {
  pthread_mutex_t mutex;
  struct record *first;
  struct record *last;
  int wake_fd;
} taken = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1};

static void (*reset_last_error)(void);
static struct library_error *(*get_last_error)(void);
static int (*get_uuid)(void *domain, char *buffer);
static int (*run_event_loop)(void);

static void deliver(struct record *record) {
  record->next = NULL;
  pthread_mutex_lock(&taken.mutex);
  if (taken.last != NULL) taken.last->next = record;
  else taken.first = record;
  taken.last = record;
  pthread_mutex_unlock(&taken.mutex);
  ssize_t written;
  /* A pipe that is full tells it already. */
  do written = write(taken.wake_fd, "", 1);
  while (written < 0 && errno == EINTR);
}

int start_thread(void *(*run)(void *), void *argument) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  /* Signals are the main thread's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failure = pthread_create(&thread, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return failure;
}

/*
 * To be called once, with libvirt's functions of these names. Returns the end of the pipe that is to be read, or -1.
 */
int call_threads_open(void *reset_error, void *last_error, void *uuid_of, void *event_loop) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -1;
  /* Each thread would have an arena of its own, and keep what a large answer took of it. */
  mallopt(M_ARENA_MAX, 2);
  reset_last_error = (void (*)(void))reset_error;
  get_last_error = (struct library_error * (*)(void)) last_error;
  get_uuid = (int (*)(void *, char *))uuid_of;
  run_event_loop = (int (*)(void))event_loop;
  taken.wake_fd = ends[1];
  return ends[0];
}

static void perform(struct record *job) {
  struct request *request = job->body;
  uint64_t a[MAX_ARGUMENTS] = {0};
  for (uint64_t index = 0; index < request->argument_count; index += 1) {
    uint64_t value = request->arguments[index].value;
    int is_offset = request->arguments[index].kind == ARGUMENT_OFFSET;
    a[index] = is_offset ? (uint64_t)(uintptr_t)((char *)request + value) : value;
  }
  uint64_t (*function)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) =
      (void *)(uintptr_t)request->function;
  reset_last_error();
  job->result = function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  struct library_error *error = get_last_error();
  if (error == NULL || error->code == 0) return;
  job->error_code = error->code;
  job->error_number = error->number1;
  job->error_message = strdup(error->message == NULL ? "" : error->message);
}

static void *run_calls(void *argument) {
  struct thread *self = argument;
  pthread_mutex_lock(&self->mutex);
  for (;;) {
    while (self->job == NULL && !self->is_over) pthread_cond_wait(&self->changed, &self->mutex);
    struct record *job = self->job;
    self->job = NULL;
    if (job == NULL) break;
    pthread_mutex_unlock(&self->mutex);
    perform(job);
    deliver(job);
    pthread_mutex_lock(&self->mutex);
  }
  pthread_mutex_unlock(&self->mutex);
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->mutex);
  free(self);
  return NULL;
}

/* NULL if there can be none. */
struct thread *call_threads_start(void) {
  struct thread *thread = calloc(1, sizeof *thread);
  if (thread == NULL) return NULL;
  pthread_mutex_init(&thread->mutex, NULL);
  pthread_cond_init(&thread->changed, NULL);
  if (start_thread(run_calls, thread) == 0) return thread;
  free(thread);
  return NULL;
}

/*
 * Makes a call in a thread that makes none. The request is copied. 0, or -1 if it is none or there is no memory.
 */
int call_threads_submit(struct thread *thread, uint64_t id, const void *request, uint64_t bytes) {
  const struct request *head = request;
  if (head->argument_count > MAX_ARGUMENTS) return -1;
  struct record *job = calloc(1, sizeof *job);
  void *body = malloc(bytes);
  if (job == NULL || body == NULL) {
    free(job);
    free(body);
    return -1;
  }
  memcpy(body, request, bytes);
  job->kind = RECORD_CALL;
  job->id = id;
  job->body = body;
  job->body_bytes = bytes;
  pthread_mutex_lock(&thread->mutex);
  thread->job = job;
  pthread_cond_signal(&thread->changed);
  pthread_mutex_unlock(&thread->mutex);
  return 0;
}

/* The thread ends, after the call that it makes. It is not to be used any more. */
void call_threads_end(struct thread *thread) {
  pthread_mutex_lock(&thread->mutex);
  thread->is_over = 1;
  pthread_cond_signal(&thread->changed);
  pthread_mutex_unlock(&thread->mutex);
}

/* The oldest of what waits, which is the caller's to release; NULL if nothing does. */
struct record *call_threads_take(void) {
  pthread_mutex_lock(&taken.mutex);
  struct record *record = taken.first;
  if (record != NULL) taken.first = record->next;
  if (taken.first == NULL) taken.last = NULL;
  pthread_mutex_unlock(&taken.mutex);
  return record;
}

void call_threads_release(struct record *record) {
  free(record->error_message);
  free(record->body);
  free(record);
}

static void *run_events(void *argument) {
  (void)argument;
  for (;;) {
    if (run_event_loop() >= 0) continue;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL) abort();
    record->kind = RECORD_LOOP_FAILED;
    struct library_error *error = get_last_error();
    if (error != NULL && error->message != NULL) record->error_message = strdup(error->message);
    deliver(record);
    return NULL;
  }
}

/* Runs libvirt's event loop for ever. */
int call_threads_run_events(void) { return start_thread(run_events, NULL); }

static struct record *event_of(uint64_t id, void *connection, void *domain) {
  struct record *record = calloc(1, sizeof *record);
  if (record == NULL) abort();
  record->kind = RECORD_EVENT;
  record->id = id;
  record->connection = connection;
  if (domain != NULL) get_uuid(domain, record->uuid);
  return record;
}

/* libvirt-host.h: virConnectCloseFunc. It has no number among libvirt's events. */
#define EVENT_CLOSED 1000

void call_threads_on_close(void *connection, int reason, void *opaque) {
  (void)opaque;
  struct record *record = event_of(EVENT_CLOSED, connection, NULL);
  record->detail[0] = reason;
  deliver(record);
}

/* libvirt-domain.h: virConnectDomainEventCallback; `opaque` is the number of the event, as in all that follow. */
int call_threads_on_lifecycle(void *connection, void *domain, int event, int detail, void *opaque) {
  struct record *record = event_of((uintptr_t)opaque, connection, domain);
  record->detail[0] = event;
  record->detail[1] = detail;
  deliver(record);
  return 0;
}

/* virConnectDomainEventGenericCallback */
void call_threads_on_domain(void *connection, void *domain, void *opaque) {
  deliver(event_of((uintptr_t)opaque, connection, domain));
}

/* virConnectDomainEventMigrationIterationCallback */
void call_threads_on_number(void *connection, void *domain, int number, void *opaque) {
  struct record *record = event_of((uintptr_t)opaque, connection, domain);
  record->detail[0] = number;
  deliver(record);
}

/* virConnectDomainEventDeviceAddedCallback and …DeviceRemovedCallback */
void call_threads_on_text(void *connection, void *domain, const char *text, void *opaque) {
  (void)text;
  deliver(event_of((uintptr_t)opaque, connection, domain));
}

/* virConnectDomainEventTrayChangeCallback */
void call_threads_on_text_and_number(void *connection, void *domain, const char *text, int number, void *opaque) {
  (void)text;
  call_threads_on_number(connection, domain, number, opaque);
}

/* virConnectDomainEventMetadataChangeCallback */
void call_threads_on_number_and_text(void *connection, void *domain, int number, const char *text, void *opaque) {
  (void)text;
  call_threads_on_number(connection, domain, number, opaque);
}

/* virConnectDomainEventJobCompletedCallback. Texts among the parameters are libvirt's and gone by the time this is read. */
void call_threads_on_parameters(void *connection, void *domain, void *parameters, int count, void *opaque) {
  struct record *record = event_of((uintptr_t)opaque, connection, domain);
  uint64_t bytes = count > 0 ? (uint64_t)count * PARAMETER_BYTES : 0;
  record->body = malloc(bytes > 0 ? bytes : 1);
  if (record->body == NULL) abort();
  memcpy(record->body, parameters, bytes);
  record->body_bytes = bytes;
  deliver(record);
}
