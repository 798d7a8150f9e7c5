import { mkdir, writeFile } from 'node:fs/promises';
import { run } from '../../core/run-command.ts';

/** What cloud-init does in a machine at its first boot, as NoCloud has it. */
export interface Seed {
  readonly instanceId: string;
  /** As cloud-init's `#cloud-config`, without that line: YAML, so JSON too. */
  readonly userData: Readonly<Record<string, unknown>>;
}

/** Makes the disk that cloud-init finds it on. */
export async function writeSeed(seed: Seed, folder: string, signal: AbortSignal): Promise<string> {
  const [files, image] = [`${folder}/seed`, `${folder}/seed.iso`];
  await mkdir(files);
  await writeFile(`${files}/meta-data`, JSON.stringify({ 'instance-id': seed.instanceId }));
  await writeFile(`${files}/user-data`, `#cloud-config\n${JSON.stringify(seed.userData)}\n`);
  const options = ['-quiet', '-volid', 'cidata', '-rational-rock', '-joliet'];
  await run(['genisoimage', ...options, '-output', image, files], {}, signal);
  return image;
}
