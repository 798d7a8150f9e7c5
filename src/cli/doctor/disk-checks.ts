import path from 'node:path';
import type { Image, VirtualMachine } from '../../client/api.ts';
import { AgentError } from '../../core/errors.ts';
import { connectionUri } from '../../core/libvirt-socket.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, ok, skipped, warning } from './check.ts';
import type { FoundFile, Host } from './host.ts';

export interface DiskQuestions {
  readonly host: Host;
  readonly settings: AgentSettings;
  /** Those of the agent. Fails with an AgentError where it does not answer. */
  readonly listVms: () => Promise<readonly VirtualMachine[]>;
  readonly listImages: () => Promise<readonly Image[]>;
  readonly nowMs: number;
}

/** Of files that are named for a VM; the agent's names for what is not whole yet as well. */
const DISK =
  /^(?<uid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[a-z0-9-]+\.(?:raw|qcow2)(?<half>\.new|\.copied)?$/;
/** What somebody still works on changes sooner. */
const LEFT_MS = 10 * 60_000;
const SHOWN = 5;

/** Disks in the node's folder that no VM has: of VMs that were deleted without them, and half-made ones. */
export async function checkKeptDisks(
  questions: DiskQuestions,
  signal: AbortSignal,
): Promise<Finding> {
  const { host, settings, nowMs } = questions;
  const { diskFolder } = settings.images;
  const found = (await host.listFiles(diskFolder)) ?? [];
  const named = found.filter(({ name }) => DISK.test(name));
  if (named.length === 0) return ok(`There are no disks of VMs in ${diskFolder}`);
  if (!(await host.isLocal(diskFolder))) {
    return skipped(`Other nodes may have ${diskFolder}: whose disks are there cannot be told here`);
  }
  const used = await findUsed(questions, signal);
  if (used === undefined) {
    return skipped('Neither the agent nor virsh says which VMs there are');
  }
  const isLeft = ({ modifiedMs }: FoundFile) => nowMs - modifiedMs > LEFT_MS;
  const half = named.filter((file) => isHalfMade(file) && isLeft(file));
  const kept = named.filter((file) => !isHalfMade(file) && !used(uidOf(file), pathOf(file)));
  if (half.length + kept.length === 0) return ok(`Every disk in ${diskFolder} is that of a VM`);
  const details = [
    kept.length > 0 && `Disks that no VM has: ${describe(kept, diskFolder, nowMs)}`,
    half.length > 0 && `What is left of disks half-made: ${describe(half, diskFolder, nowMs)}`,
  ];
  const again =
    'name one that is not encrypted as source.file.path of a volume, or make a VM with its uid and volumes of the same names again (with the same keys), to use it; rm removes it with what is on it, for good';
  const fixes = [
    kept.length > 0 && `They are somebody's data: ${again}`,
    half.length > 0 && 'Half-made ones the agent removes when it starts; or rm',
  ];
  return warning(joined(details, '; '), joined(fixes, '. '));

  function pathOf({ name }: FoundFile): string {
    return path.join(diskFolder, name);
  }
}

/** What images take that no disk stands on: no fault, as they are there to be used, but somebody may look for that room. */
export async function checkImages({ host, settings, listImages }: DiskQuestions): Promise<Finding> {
  const { diskFolder, cacheBytes } = settings.images;
  const base = path.join(diskFolder, 'base');
  const files = (await host.listFiles(base)) ?? [];
  const parts = (await host.listFiles(path.join(base, 'incoming'))) ?? [];
  if (files.length + parts.length === 0) return ok(`There are no images in ${base}`);
  const all = `Images in ${base} take ${sizeOf(files)}`;
  const coming = parts.length === 0 ? '' : `, parts of downloads ${sizeOf(parts)}`;
  const most = `the agent keeps them within ${formatBytes(BigInt(cacheBytes))} (images.cacheBytes)`;
  try {
    const idle = (await listImages()).filter(({ usedBy }) => usedBy.length === 0);
    const bytes = idle.reduce((sum, { diskBytes }) => sum + diskBytes, 0n);
    const unused = `${idle.length} that no disk stands on take ${formatBytes(bytes)}`;
    return ok(`${all}${coming}; ${unused}: ${most}; novactl image list, image remove`);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return ok(`${all}${coming}; ${most}, once it answers, and knows which of them are in use`);
  }
}

type IsUsed = (vmUid: string, file: string) => boolean;

/** By all who can tell; undefined if nobody can. */
async function findUsed(
  { host, settings, listVms }: DiskQuestions,
  signal: AbortSignal,
): Promise<IsUsed | undefined> {
  const [ours, libvirts] = await Promise.all([
    listVms().catch((error: unknown) => {
      if (error instanceof AgentError) return undefined;
      throw error;
    }),
    host.run(
      'virsh',
      ['-c', connectionUri(settings.hypervisor), 'list', '--all', '--uuid'],
      signal,
    ),
  ]);
  const stats = ['-c', connectionUri(settings.hypervisor), 'domstats', '--block'];
  const disks = await host.run('virsh', stats, signal);
  const isListed = libvirts?.code === 0 && disks?.code === 0;
  if (ours === undefined && !isListed) return undefined;
  const uids = new Set([
    ...(ours ?? []).map(({ metadata }) => metadata?.uid ?? ''),
    ...(isListed ? libvirts.stdout.split('\n') : []),
  ]);
  const paths = new Set([
    ...(ours ?? []).flatMap(({ status }) => (status?.volumes ?? []).map((volume) => volume.path)),
    ...(isListed ? [...disks.stdout.matchAll(/^\s*block\.\d+\.path=(.*)$/gm)] : []).map(
      ([, file = '']) => file,
    ),
  ]);
  return (vmUid, file) => uids.has(vmUid) || paths.has(file);
}

function uidOf({ name }: FoundFile): string {
  return DISK.exec(name)?.groups?.['uid'] ?? '';
}

function isHalfMade({ name }: FoundFile): boolean {
  return DISK.exec(name)?.groups?.['half'] !== undefined;
}

/** The largest first. */
function describe(files: readonly FoundFile[], folder: string, nowMs: number): string {
  const sorted = files.toSorted((left, right) => right.diskBytes - left.diskBytes);
  const shown = sorted.slice(0, SHOWN).map((file) => {
    const age = formatAge(Math.max(0, nowMs - file.modifiedMs));
    return `${path.join(folder, file.name)} (${sizeOf([file])}, written ${age} ago, of VM ${uidOf(file)})`;
  });
  const more = files.length > SHOWN ? ` and ${files.length - SHOWN} more` : '';
  return `${shown.join(', ')}${more}${files.length > 1 ? `, ${sizeOf(files)} in all` : ''}`;
}

function sizeOf(files: readonly FoundFile[]): string {
  return formatBytes(BigInt(files.reduce((sum, { diskBytes }) => sum + diskBytes, 0)));
}

function joined(parts: readonly (string | false)[], between: string): string {
  return parts.filter((part) => part !== false).join(between);
}
