import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { type AgentEnd, agentEndFile } from '../core/agent-end.ts';

/** Leaves a word for `novactl doctor`, which has no other way to ask an agent that is not there. Where it cannot, the log has it. */
export async function recordEnd(runDirectory: string, problem: string): Promise<void> {
  const file = agentEndFile(runDirectory);
  const end: AgentEnd = { at: new Date().toISOString(), problem };
  try {
    await mkdir(runDirectory, { recursive: true, mode: 0o700 });
    await writeFile(`${file}.new`, `${JSON.stringify(end)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
  } catch {
    // As on a full disk, or without the right to.
  }
}

export async function forgetEnd(runDirectory: string): Promise<void> {
  await rm(agentEndFile(runDirectory), { force: true }).catch(() => undefined);
}
