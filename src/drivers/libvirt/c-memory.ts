import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const free = libc.func('void free(void *memory)');
// string.h
const memcpy = libc.func('void *memcpy(void *destination, const void *source, size_t bytes)');
const strlen = libc.func('size_t strlen(const void *text)');

/** Copies C memory, so that nothing points into it once it is freed. */
export function copyMemory(source: bigint, bytes: number): Buffer {
  const copy = Buffer.allocUnsafe(bytes);
  if (bytes > 0) memcpy(copy, source, bytes);
  return copy;
}

/** Copies a C string. */
export function readText(source: bigint): string {
  return copyMemory(source, Number(strlen(source))).toString('utf8');
}

/** Frees what a library asks its callers to free() themselves. */
export function freeMemory(memory: bigint): void {
  free(memory);
}
