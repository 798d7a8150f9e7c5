/*
 * Carries bytes between a stream of libvirt, such as a serial console, and a socket, both ways, in the thread of libvirt's event loop.
 *
 * libvirt's library takes in all that the daemon sends and keeps it until it is fetched, however much that becomes. So of what has no
 * end all is fetched at once: up to OUTPUT_BYTES wait for a reader who is slow, what comes beyond is left out, and a line in its
 * place says how much. What has an end, such as a picture, is fetched as it is read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "start-thread.h"

#define OUTPUT_BYTES (256 * 1024)
#define INPUT_BYTES (16 * 1024)
/* As much as one message of libvirt carries well. */
#define CHUNK_BYTES (64 * 1024)
#define MARK_BYTES 96

/* libvirt-stream.h: virStreamEventType, and libvirt-event.h: virEventHandleType have the same numbers. */
#define EVENT_READABLE 1
#define EVENT_WRITABLE 2
#define EVENT_ERROR 4
#define EVENT_HANGUP 8
/* virStreamSend and virStreamRecv: nothing can be done at the moment. */
#define WOULD_BLOCK (-2)

typedef void (*stream_callback)(void *stream, int events, void *opaque);
typedef void (*handle_callback)(int watch, int fd, int events, void *opaque);

/* libvirt's functions, in the order in which their addresses are given. */
static struct {
  int (*send)(void *stream, const char *data, size_t bytes);
  int (*receive)(void *stream, char *data, size_t bytes);
  int (*add_callback)(void *stream, int events, stream_callback callback, void *opaque, void *free);
  int (*update_callback)(void *stream, int events);
  int (*remove_callback)(void *stream);
  int (*abort)(void *stream);
  int (*free)(void *stream);
  int (*add_handle)(int fd, int events, handle_callback callback, void *opaque, void *free);
  void (*update_handle)(int watch, int events);
  int (*remove_handle)(int watch);
} libvirt;

struct relay {
  /* Held while it is set up, which the first callbacks wait for; all else happens in the one thread. */
  pthread_mutex_t setup;
  void *stream;
  int fd;
  int watch;
  int has_stream_ended;
  int is_endless;
  /* To the guest: what the socket gave and the stream has not taken yet. */
  size_t input_from, input_to;
  /* From the guest: what the stream gave and the socket has not taken yet. */
  size_t output_from, output_to;
  uint64_t left_out;
  char input[INPUT_BYTES];
  char output[OUTPUT_BYTES];
};

/* To be called once, with the addresses of ten functions. */
void stream_relay_open(const uint64_t *functions) { memcpy(&libvirt, functions, sizeof libvirt); }

/* Tells the daemon, which may take its time, or never answer. */
static void *let_go(void *argument) {
  struct relay *relay = argument;
  libvirt.abort(relay->stream);
  libvirt.free(relay->stream);
  pthread_mutex_destroy(&relay->setup);
  free(relay);
  return NULL;
}

static void end(struct relay *relay) {
  libvirt.remove_handle(relay->watch);
  libvirt.remove_callback(relay->stream);
  close(relay->fd);
  if (start_thread(let_go, relay) != 0) let_go(relay);
}

static int has_output(const struct relay *relay) { return relay->output_from < relay->output_to; }
static int has_input(const struct relay *relay) { return relay->input_from < relay->input_to; }

/* For what is still to come of it; ends it if nothing is. */
static void wait_for_more(struct relay *relay) {
  if (relay->has_stream_ended && !has_output(relay)) {
    end(relay);
    return;
  }
  int of_handle = EVENT_HANGUP | EVENT_ERROR;
  int of_stream = relay->is_endless || !has_output(relay) ? EVENT_READABLE : 0;
  if (has_output(relay)) of_handle |= EVENT_WRITABLE;
  if (has_input(relay)) of_stream |= EVENT_WRITABLE;
  else of_handle |= EVENT_READABLE;
  libvirt.update_handle(relay->watch, of_handle);
  if (!relay->has_stream_ended) libvirt.update_callback(relay->stream, of_stream);
}

static void put_output(struct relay *relay, const char *data, size_t bytes) {
  if (relay->output_from > 0) {
    memmove(relay->output, relay->output + relay->output_from, relay->output_to - relay->output_from);
    relay->output_to -= relay->output_from;
    relay->output_from = 0;
  }
  size_t room = OUTPUT_BYTES - relay->output_to;
  if (relay->left_out > 0) {
    if (room < bytes + MARK_BYTES) {
      relay->left_out += bytes;
      return;
    }
    int mark = snprintf(relay->output + relay->output_to, MARK_BYTES,
                        "\r\n[%llu bytes of output were left out]\r\n", (unsigned long long)relay->left_out);
    relay->output_to += mark;
    relay->left_out = 0;
  } else if (room < bytes) {
    relay->left_out = bytes;
    return;
  }
  memcpy(relay->output + relay->output_to, data, bytes);
  relay->output_to += bytes;
}

/* 0, or -1 if the socket is of no use any more. */
static int write_output(struct relay *relay) {
  while (has_output(relay)) {
    ssize_t sent = send(relay->fd, relay->output + relay->output_from, relay->output_to - relay->output_from,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) relay->output_from += sent;
    else if (sent < 0 && errno == EINTR) continue;
    else return sent < 0 && errno == EAGAIN ? 0 : -1;
  }
  return 0;
}

static void on_stream(void *stream, int events, void *opaque) {
  struct relay *relay = opaque;
  pthread_mutex_lock(&relay->setup);
  pthread_mutex_unlock(&relay->setup);
  int is_to_be_read = relay->is_endless || !has_output(relay);
  /* An end that comes as an event of its own stands behind what has not been fetched. */
  if ((events & ~EVENT_WRITABLE) && is_to_be_read) {
    static char chunk[CHUNK_BYTES];
    int received = libvirt.receive(stream, chunk, sizeof chunk);
    if (received > 0) put_output(relay, chunk, received);
    else if (received != WOULD_BLOCK) relay->has_stream_ended = 1;
  }
  if ((events & EVENT_WRITABLE) && has_input(relay)) {
    int sent = libvirt.send(stream, relay->input + relay->input_from, relay->input_to - relay->input_from);
    if (sent > 0) relay->input_from += sent;
    else if (sent != WOULD_BLOCK) relay->has_stream_ended = 1;
  }
  if (relay->has_stream_ended) libvirt.update_callback(stream, 0);
  if (write_output(relay) < 0) end(relay);
  else wait_for_more(relay);
}

static void on_socket(int watch, int fd, int events, void *opaque) {
  (void)watch;
  struct relay *relay = opaque;
  pthread_mutex_lock(&relay->setup);
  pthread_mutex_unlock(&relay->setup);
  int is_over = (events & (EVENT_ERROR | EVENT_HANGUP)) && !(events & EVENT_READABLE);
  if ((events & EVENT_READABLE) && !has_input(relay)) {
    ssize_t got = recv(fd, relay->input, INPUT_BYTES, MSG_DONTWAIT);
    relay->input_from = 0;
    relay->input_to = got > 0 ? got : 0;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) is_over = 1;
  }
  if (!is_over && write_output(relay) < 0) is_over = 1;
  if (is_over) end(relay);
  else wait_for_more(relay);
}

/*
 * Takes over a stream that does not block, which has an end or not, and returns the other end of its socket, which is the caller's;
 * closing that ends the stream. -1 if it cannot be: the stream is the caller's as before then.
 */
int stream_relay_start(void *stream, int is_endless) {
  int ends[2];
  struct relay *relay = calloc(1, sizeof *relay);
  if (relay == NULL) return -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
    free(relay);
    return -1;
  }
  pthread_mutex_init(&relay->setup, NULL);
  pthread_mutex_lock(&relay->setup);
  relay->stream = stream;
  relay->is_endless = is_endless;
  relay->fd = ends[0];
  int is_called = libvirt.add_callback(stream, EVENT_READABLE, on_stream, relay, NULL) == 0;
  if (is_called) {
    relay->watch = libvirt.add_handle(ends[0], EVENT_READABLE | EVENT_HANGUP | EVENT_ERROR, on_socket, relay, NULL);
  }
  int is_set_up = is_called && relay->watch >= 0;
  if (is_called && !is_set_up) libvirt.remove_callback(stream);
  pthread_mutex_unlock(&relay->setup);
  if (is_set_up) return ends[1];
  pthread_mutex_destroy(&relay->setup);
  free(relay);
  close(ends[0]);
  close(ends[1]);
  return -1;
}
