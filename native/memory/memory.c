/*
 * Gives back memory that was needed once. A module for Node, by its interface for C (node_api.h), which is declared here as far as it
 * is used: it never changes, and headers of Node come with no package.
 */
#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);
extern int napi_create_function(napi_env env, const char *name, size_t length, napi_callback callback, void *data,
                                napi_value *result);

/* Node has a dozen threads that allocate rarely; by default each keeps an arena of its own. */
#define ARENAS 2

static uintptr_t page_mask(void) { return (uintptr_t)sysconf(_SC_PAGESIZE) - 1; }

/*
 * Lets go of the pages of programs and libraries, which are those of their files: what is used comes back from the page cache, what was
 * used to start does not. Writable segments are left alone.
 */
static int drop_pages(struct dl_phdr_info *object, size_t size, void *data) {
  (void)size;
  (void)data;
  /* The kernel's own, of no file. */
  if (strstr(object->dlpi_name, "vdso") != NULL) return 0;
  for (int index = 0; index < object->dlpi_phnum; index += 1) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) continue;
    uintptr_t from = (object->dlpi_addr + segment->p_vaddr) & ~page_mask();
    uintptr_t to = (object->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~page_mask();
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
  }
  return 0;
}

static napi_value give_back(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  malloc_trim(0);
  dl_iterate_phdr(drop_pages, NULL);
  return NULL;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  (void)exports;
  mallopt(M_ARENA_MAX, ARENAS);
  napi_value function = NULL;
  napi_create_function(env, "giveBack", sizeof "giveBack" - 1, give_back, NULL, &function);
  return function;
}
