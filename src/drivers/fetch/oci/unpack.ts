import { open, stat } from 'node:fs/promises';
import { confinedPlace, IN, OUT } from '../../../core/confined-place.ts';
import { AgentError } from '../../../core/errors.ts';
import { type ChildEnd, ChildProgram, untilEnd } from '../child-program.ts';
import { DigestProgram, type FileDigest } from '../digest-program.ts';
import { fetchFailed, storageFull } from '../errors.ts';
import { printable } from '../response-head.ts';
import { assertTaken, type PackedDisk, UnusableLayer } from './tar-start.ts';

export interface UnpackRequest {
  /** For messages. */
  readonly url: URL;
  readonly layer: string;
  readonly packing: 'tar' | 'gzip';
  /** As its start has it. */
  readonly disk: Pick<PackedDisk, 'bytes'>;
  /** What comes out is made; it is for the caller to remove where that fails. */
  readonly target: string;
}

const MAX_MEMORY_BYTES = 2 ** 30;
/** gzip unpacks some 300 MB/s. What is behind the disk is unpacked as well, and may be much more. */
const CPU_SECONDS = 60;
const BYTES_PER_CPU_SECOND = 20_000_000;
/** A container disk has its folder and the file. */
const MAX_ENTRIES = 64;
const MAX_LINE_BYTES = 8192;
/** This is to go before any VM when memory is short. */
const KILLED_FIRST = 1000;
const NOT_THERE = 127;
const MAX_COMPLAINT = 200;

/** What tar says of an entry with --verbose twice: kind and rights, owner, size or device, date, time, name. */
const ENTRY = /^(\S)[rwxsStT-]{9}\S?\s+\S+\s+\S+\s+\S+\s+\S+\s(.+)$/;

/**
 * Takes the only file out of a layer, by a tar that can write nothing but its content: nothing that a layer names is made. It sees of the
 * node only the layer (core/confined-place.ts). Fails with IMAGE_INVALID for whatever is no container disk, STORAGE_FULL and
 * FEATURE_NOT_SUPPORTED.
 */
export async function unpackDisk(request: UnpackRequest, signal: AbortSignal): Promise<FileDigest> {
  const { url, target, disk } = request;
  await (await open(target, 'w', 0o600)).close();
  await using digest = new DigestProgram(target, () => undefined);
  const end = await runTar(request, AbortSignal.any([signal, digest.broken]));
  if (end.code !== 0) throw await failureOf(request, end);
  const found = await digest.finish(signal);
  if (found.bytes !== disk.bytes) {
    throw unusable(
      url,
      `has ${found.bytes} bytes as its disk, and ${disk.bytes} as its layer says`,
    );
  }
  return found;
}

async function runTar(request: UnpackRequest, signal: AbortSignal): Promise<ChildEnd> {
  signal.throwIfAborted();
  const { layer: source, target, packing, disk, url } = request;
  const place = await confinedPlace({ source, target: { path: target } });
  const limits = [
    `--as=${MAX_MEMORY_BYTES}`,
    `--cpu=${CPU_SECONDS + Math.ceil(disk.bytes / BYTES_PER_CPU_SECOND)}`,
    `--fsize=${disk.bytes}`,
    '--core=0',
  ];
  const tar = [
    'tar',
    '--extract',
    '--to-stdout',
    ...(packing === 'gzip' ? ['--gzip'] : []),
    '--verbose',
    '--verbose',
    '--numeric-owner',
    '--quoting-style=escape',
    `--file=${IN}`,
  ];
  const shell = ['sh', '-c', `exec "$@" >${OUT}`, 'sh', ...tar];
  const confined = ['bwrap', ...place, '--', 'prlimit', ...limits, '--', ...shell];
  const entries = new Entries();
  let refusal: unknown;
  const onComplaint = (chunk: Buffer): void => {
    if (refusal !== undefined) return;
    try {
      entries.add(chunk.toString('latin1'));
    } catch (error) {
      refusal = error;
      child.kill();
    }
  };
  const words = ['choom', '-n', String(KILLED_FIRST), '--', ...confined];
  await using child = new ChildProgram(words, { input: '', onComplaint });
  const end = await untilEnd(child, signal);
  if (refusal instanceof UnusableLayer) throw unusable(url, refusal.message);
  if (refusal !== undefined) throw refusal;
  return end;
}

/** What tar says of what it comes to, of which one file only may be there. */
class Entries {
  #unread = '';
  #count = 0;
  #file: string | undefined;

  /** Throws an UnusableLayer. */
  add(text: string): void {
    const lines = (this.#unread + text).split('\n');
    this.#unread = lines.pop() ?? '';
    if (this.#unread.length > MAX_LINE_BYTES) throw tooMuch();
    for (const line of lines) this.#addLine(line);
  }

  #addLine(line: string): void {
    const [, kind, name] = ENTRY.exec(line) ?? [];
    // What goes wrong it says otherwise, and ends by it.
    if (kind === undefined || name === undefined) return;
    this.#count += 1;
    if (this.#count > MAX_ENTRIES) throw tooMuch();
    assertTaken(name.replace(/ -> .*$/, ''), kind);
    if (kind === 'd') return;
    if (this.#file !== undefined) {
      throw new UnusableLayer(
        `has more than one disk in its layer (${this.#file} and ${name}); push each as an image of its own`,
      );
    }
    this.#file = name;
  }
}

function tooMuch(): UnusableLayer {
  return new UnusableLayer('has more in its layer than the one disk/FILE that is taken');
}

async function failureOf(
  { url, target, disk }: UnpackRequest,
  { code, complaint }: ChildEnd,
): Promise<AgentError> {
  const said = complaint.split('\n').filter((line) => line !== '' && !ENTRY.test(line));
  const first = printable(said[0] ?? '', MAX_COMPLAINT);
  if (/^(choom|bwrap|prlimit|sh): /.test(first) || code === NOT_THERE) {
    return new AgentError(
      'FEATURE_NOT_SUPPORTED',
      `Cannot unpack ${url.href}: ${first}; install bubblewrap, tar, gzip and util-linux on the node, and let the agent make namespaces`,
    );
  }
  const isShort = (await stat(target)).size < disk.bytes;
  if (isShort && /Wrote only|No space left|quota/.test(complaint)) return storageFull(url, target);
  if (complaint.includes('Input/output error')) {
    return fetchFailed(url, `${target} cannot be written: ${first}`);
  }
  const why = first === '' ? `tar was ended (${code})` : first;
  return unusable(
    url,
    `has a layer that is broken, or holds more than it says (${why}); push it anew`,
  );
}

export function unusable(url: URL, why: string): AgentError {
  return new AgentError(
    'IMAGE_INVALID',
    `Cannot use the image ${url.href}: it ${printable(why, 600)}`,
  );
}
