import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';

/** Where it is linked to; its Multiboot header says the same. */
const ADDRESS = '0x100000';

/** Assembles the guest that finds out whether KVM boots one, with binutils. */
export async function assembleBootPayload(signal: AbortSignal): Promise<Buffer> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'novacron-payload-'));
  const [object, binary] = [join(folder.path, 'payload.o'), join(folder.path, 'payload.bin')];
  const flat = ['-m', 'elf_x86_64', '-e', 'entry', '-Ttext', ADDRESS, '--oformat', 'binary'];
  await run(['as', '--64', '-o', object, inProject('native/boot-probe/payload.S')], {}, signal);
  await run(['ld', ...flat, '-o', binary, object], {}, signal);
  return await readFile(binary);
}

/** The source that the agent has it in. */
export function renderBootPayload(payload: Buffer): string {
  const lines = payload.toString('base64').match(/.{1,120}/g) ?? [];
  return `/** \`native/boot-probe/payload.S\` assembled, in base64: made by \`npm run generate\`, never edited. */
export const BOOT_PAYLOAD = [
${lines.map((line) => `  '${line}',`).join('\n')}
].join('');
`;
}
