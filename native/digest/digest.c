/*
 * novacron-digest FILE: the SHA-256 of a file while another program writes it, so that it need not be read once more from the disk.
 * Reads from the first byte on; where the file ends it waits for more. Once its standard input ends, so has the writer: it reads the
 * rest, brings the file to the disk, and says `BYTES DIGEST`. Until then it says `BYTES`, how far it is, about twice a second. Ends with
 * 0; with 2 where there is no room on the disk after all; with 3 where the file has shrunk, so that what it has read is not there any
 * more; with 1 else. What was wrong is a line on its standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Stays in the cache of one core. */
#define BUFFER_BYTES (256 * 1024)
#define WAIT_MS 50
#define REPORT_MS 500
/* What is written goes to the disk as it comes, so that little is left to wait for at the end. */
#define FLUSH_BYTES (16LL * 1024 * 1024)

enum { FAILED = 1, FULL = 2, SHRUNK = 3 };

static unsigned char buffer[BUFFER_BYTES];

static void fail(const char *what) {
  int code = errno;
  fprintf(stderr, "%s: %s\n", what, strerror(code));
  exit(code == ENOSPC || code == EDQUOT ? FULL : FAILED);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Once a moment has passed, or the input has; true for the latter. Nobody has anything to say on it. */
static bool wait_for_end(int timeout_ms) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  int ready = poll(&input, 1, timeout_ms);
  if (ready < 0 && errno != EINTR) fail("poll");
  if (ready <= 0) return false;
  char byte;
  ssize_t count = read(STDIN_FILENO, &byte, 1);
  if (count < 0 && errno != EINTR && errno != EAGAIN) return true;
  return count == 0;
}

static void refuse_shrunk(int file, int64_t read_bytes) {
  struct stat facts;
  if (fstat(file, &facts) != 0) fail("fstat");
  if (facts.st_size >= read_bytes) return;
  fprintf(stderr, "the file has shrunk from %lld bytes to %lld\n", (long long)read_bytes, (long long)facts.st_size);
  exit(SHRUNK);
}

static void print_digest(EVP_MD_CTX *context, int64_t bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(context, digest, &length) != 1) fail("EVP_DigestFinal_ex");
  printf("%lld ", (long long)bytes);
  for (unsigned int index = 0; index < length; index += 1) printf("%02x", digest[index]);
  printf("\n");
  if (fflush(stdout) != 0) fail("stdout");
}

int main(int count, char **words) {
  if (count != 2) {
    fprintf(stderr, "usage: novacron-digest FILE\n");
    return FAILED;
  }
  /* Should whoever started it be killed, nobody waits for it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int file = open(words[1], O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("open");
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) fail("EVP_DigestInit_ex");

  int64_t bytes = 0;
  int64_t flushed = 0;
  int64_t reported_ms = now_ms();
  bool has_ended = false;
  for (;;) {
    ssize_t more = read(file, buffer, sizeof buffer);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) fail("read");
    if (more > 0 && EVP_DigestUpdate(context, buffer, (size_t)more) != 1) fail("EVP_DigestUpdate");
    bytes += more;
    if (bytes - flushed >= FLUSH_BYTES) {
      sync_file_range(file, flushed, bytes - flushed, SYNC_FILE_RANGE_WRITE);
      flushed = bytes;
    }
    if (now_ms() - reported_ms >= REPORT_MS) {
      printf("%lld\n", (long long)bytes);
      if (fflush(stdout) != 0) fail("stdout");
      reported_ms = now_ms();
    }
    if (more > 0) continue;
    refuse_shrunk(file, bytes);
    /* What came between the last reading and the end is still to be read. */
    if (has_ended) break;
    has_ended = wait_for_end(WAIT_MS);
  }
  if (fdatasync(file) != 0) fail("fdatasync");
  refuse_shrunk(file, bytes);
  print_digest(context, bytes);
  EVP_MD_CTX_free(context);
  return 0;
}
