import { readFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Whether libvirt takes a lease for every disk that a VM writes to, one that other hosts heed, also for block devices: by
 * its settings, as nothing that it can be asked tells. Without settings to read there is none.
 * https://libvirt.org/kbase/locking.html
 */
export async function hasDiskLeases(folder = '/etc/libvirt'): Promise<boolean> {
  const { lock_manager: manager } = await readSettings(path.join(folder, 'qemu.conf'));
  if (manager === 'sanlock') {
    const settings = await readSettings(path.join(folder, 'qemu-sanlock.conf'));
    return settings['auto_disk_leases'] === '1';
  }
  if (manager !== 'lockd') return false;
  const settings = await readSettings(path.join(folder, 'qemu-lockd.conf'));
  // Without a folder that the hosts share virtlockd locks the device's node, which each host has its own of.
  const folders = ['lvm_lockspace_dir', 'scsi_lockspace_dir', 'file_lockspace_dir'];
  return settings['auto_disk_leases'] !== '0' && folders.some((name) => settings[name]);
}

/** `name = value` a line, values in quotes or not; what stands behind a # is none. */
async function readSettings(file: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines = text.matchAll(/^\s*([a-z_]+)\s*=\s*(?:"([^"]*)"|(\d+))/gm);
  return Object.fromEntries(
    [...lines].map(([, name = '', words, number]) => [name, words ?? number ?? '']),
  );
}
