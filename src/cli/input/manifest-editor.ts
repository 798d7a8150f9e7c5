import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import type { CliIo } from '../process/cli-io.ts';

/** A text as an editor has left it. */
export interface EditedText {
  /** Where it is, until it is discarded. */
  readonly file: string;
  readonly text: string;
  discard(): Promise<void>;
}

/** Has a text edited in $VISUAL, $EDITOR or vi, in a file that only the caller can read. Without an edit nothing is left. */
export async function editText(io: CliIo, name: string, text: string): Promise<EditedText> {
  const editor = io.env['VISUAL'] || io.env['EDITOR'] || 'vi';
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novactl-edit-'));
  const discard = () => rm(folder, { recursive: true, force: true });
  const file = path.join(folder, name);
  try {
    await writeFile(file, text);
    const code = await io.runOnTerminal('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file]);
    if (code !== 0) {
      const advice = code === 127 ? '; name one in $EDITOR' : '';
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot edit it: the editor, ${editor}, ended with ${code}${advice}`,
      );
    }
    return { file, text: await readFile(file, 'utf8'), discard };
  } catch (error) {
    await discard();
    throw error;
  }
}
