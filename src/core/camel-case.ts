/** `VM_BUSY` or `vm-busy` as `VmBusy`. */
export function camelCase(word: string): string {
  return word
    .toLowerCase()
    .split(/[-_]/)
    .map((part) => `${part.charAt(0).toUpperCase()}${part.slice(1)}`)
    .join('');
}
