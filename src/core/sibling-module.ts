/** A module beside the one whose `import.meta.url` is given, for a thread or a process of its own: source or built, like its starter. */
export function siblingModule(url: string, name: string): URL {
  return new URL(`./${name}${url.endsWith('.ts') ? '.ts' : '.js'}`, url);
}
