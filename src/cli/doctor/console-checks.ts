import { type Finding, ok, warning } from './check.ts';
import type { Host } from './host.ts';

/** virtlogd's own, where virtlogd.conf says nothing. */
const DEFAULT_MAX_BYTES = 2 * 1024 ** 2;
const DEFAULT_BACKUPS = 3;
/** More than these `vm log` does not read. */
const MOST_BACKUPS = 9;

/** Whether what guests write to their consoles is kept small: whoever writes without end would fill the disk. */
export async function checkConsoleLogs(host: Host): Promise<Finding> {
  const qemu = (await host.findText('/etc/libvirt/qemu.conf')) ?? '';
  if (/^\s*stdio_handler\s*=\s*["']file["']/m.test(qemu)) {
    return warning(
      'QEMU writes consoles to files by itself (stdio_handler = "file"), which grow without end',
      'Remove stdio_handler from /etc/libvirt/qemu.conf, restart libvirt, then stop and start each VM',
    );
  }
  const virtlogd = (await host.findText('/etc/libvirt/virtlogd.conf')) ?? '';
  const maxBytes = numberOf(virtlogd, 'max_size') ?? DEFAULT_MAX_BYTES;
  const backups = numberOf(virtlogd, 'max_backups') ?? DEFAULT_BACKUPS;
  const restart = 'then: systemctl restart virtlogd';
  if (maxBytes === 0) {
    return warning(
      '/etc/libvirt/virtlogd.conf has max_size = 0, so that console logs grow without end',
      `Set max_size = ${DEFAULT_MAX_BYTES} there, ${restart}`,
    );
  }
  if (backups > MOST_BACKUPS) {
    return warning(
      `/etc/libvirt/virtlogd.conf has max_backups = ${backups}, of which vm log shows the newest ${MOST_BACKUPS}`,
      `Set max_backups = ${MOST_BACKUPS} there, ${restart}`,
    );
  }
  const mib = (maxBytes / 1024 ** 2).toFixed(1);
  return ok(`virtlogd keeps ${mib} MiB of each console, and ${backups} parts before that`);
}

function numberOf(text: string, key: string): number | undefined {
  const value = new RegExp(`^\\s*${key}\\s*=\\s*(\\d+)`, 'm').exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}
