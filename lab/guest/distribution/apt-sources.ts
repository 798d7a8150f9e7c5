import { readFile } from 'node:fs/promises';
import { run } from '../../core/run-command.ts';

/** The release of Debian that this machine has, by its code name. */
export async function hostRelease(): Promise<string | undefined> {
  const text = await readFile('/etc/os-release', 'utf8');
  return /^VERSION_CODENAME=(\S+)$/m.exec(text)?.[1];
}

/** Lines of sources.list for a release of Debian, from the mirrors that this machine itself uses. */
export async function aptSources(release: string, signal: AbortSignal): Promise<string[]> {
  const host = (await hostRelease()) ?? '';
  const format = ['--format', '$(SITE) $(RELEASE) $(COMPONENT)'];
  const targets = await run(
    ['apt-get', 'indextargets', ...format, 'Created-By: Packages'],
    {},
    signal,
  );
  return debianSources(targets, host, release);
}

/** Of the lists that apt knows (site, release, component) those of Debian itself, for another release. */
export function debianSources(targets: string, host: string, release: string): string[] {
  const suites = ['', '-updates', '-security'].map((kind) => [`${host}${kind}`, kind] as const);
  return targets.split('\n').flatMap((line) => {
    const [site, suite, component] = line.split(' ');
    const kind = suites.find(([name]) => name === suite)?.[1];
    return kind === undefined || component !== 'main' ? [] : [`deb ${site} ${release}${kind} main`];
  });
}
