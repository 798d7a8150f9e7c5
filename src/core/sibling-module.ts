/** A module beside the one whose `import.meta` is given, for a thread or a process of its own: source or built, like its starter. */
export function siblingModule({ filename, url }: ImportMeta, name: string): URL {
  const extension = filename.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./${name}.${extension}`, url);
}
