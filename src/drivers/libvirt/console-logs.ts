import { join } from 'node:path';
import { UidFiles } from './uid-files.ts';

/**
 * What guests wrote to their serial consoles. virtlogd, which QEMU gives it to through a pipe, makes the files, root's alone, and
 * keeps each small: beyond `max_size` it begins the next one and keeps `max_backups` of the older ones (virtlogd.conf). QEMU's own
 * logs are in the same folder by default, named for domains, which somebody else's may be called a UUID: hence the suffix.
 */
export class ConsoleLogs extends UidFiles {
  readonly #directory: string;

  /** The folder has the same path for libvirt and for this process, which reads them, too. */
  constructor(directory: string) {
    super({ directory, suffix: '-console\\.log(?:\\.\\d+)?', what: 'console logs' });
    this.#directory = directory;
  }

  /** The one that is written to. */
  pathOf(uid: string): string {
    return join(this.#directory, `${uid}-console.log`);
  }
}
