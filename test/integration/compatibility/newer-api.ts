import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { RecordedApi } from '../../compatibility/version-1/recorded-api.ts';

const RECORDED = path.join(import.meta.dirname, '../../compatibility/version-1/proto');
const PEER = 'novacron/peer/v1/peer.proto';
const LATER_FIELDS = 'string later_text = 1000; repeated uint64 later_counts = 1001;';

/** What a newer peer says in every message besides. */
export const LATER = { laterText: 'of a newer agent', laterCounts: [1, 2] };
export const LATER_STATE = 'INCOMING_STATE_LATER';

/** The peers' API as a later version may have it: more fields in every message, and one state more. */
export async function newerApi(): Promise<RecordedApi> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-newer-'));
  try {
    await cp(RECORDED, folder, { recursive: true });
    const text = await readFile(path.join(folder, PEER), 'utf8');
    const newer = text
      .replaceAll(/^message \w+ \{/gm, `$& ${LATER_FIELDS}`)
      .replace('INCOMING_STATE_UNKNOWN = 5;', `$& ${LATER_STATE} = 99;`);
    await writeFile(path.join(folder, PEER), newer);
    return new RecordedApi(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
