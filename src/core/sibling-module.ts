import { fileURLToPath } from 'node:url';

/** A module beside the one whose `import.meta.url` is given, that is built apart, as a thread, a process or what is loaded later: source or built, like who names it. */
export function siblingModule(url: string, name: string): URL {
  return new URL(`./${name}${url.endsWith('.ts') ? '.ts' : '.js'}`, url);
}

/**
 * The path of a file that is built from native/: beside the module whose `import.meta.url` is given if that is built, and where the
 * build puts it else. `toDist` leads from the source's folder to there.
 */
export function nativeFile(url: string, name: string, toDist: string): string {
  return fileURLToPath(new URL(`${url.endsWith('.ts') ? toDist : '.'}/${name}`, url));
}
