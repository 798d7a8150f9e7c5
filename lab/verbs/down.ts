import { existsSync } from 'node:fs';
import { DEFAULT_LAB } from '../plan/lab-plan.ts';
import { findLabRecord } from '../plan/lab-record.ts';
import { findLeftovers, listLabs, removeLab } from '../remove-lab.ts';
import type { Verb } from './verb.ts';

export const down: Verb = {
  name: 'down',
  usage: '',
  summary: 'removes the lab: every process, namespace, mount and file of it',
  async run() {
    const names = await listRemovable();
    for (const name of names) await removeLab(name);
    const left = names.flatMap((name) => findLeftovers(name));
    if (left.length > 0) {
      console.error(`Could not remove:\n${left.map((item) => `  ${item}`).join('\n')}`);
      return 1;
    }
    console.log('The lab is down; no process, namespace, mount or file of it is left');
    return 0;
  },
};

/** The lab of `./dev up`, and labs of tests that were killed before they could remove theirs. */
async function listRemovable(): Promise<string[]> {
  const removable = [DEFAULT_LAB];
  for (const name of await listLabs()) {
    const owner = (await findLabRecord(name))?.ownerPid;
    const isForgotten = owner === undefined || !existsSync(`/proc/${owner}`);
    if (name !== DEFAULT_LAB && isForgotten) removable.push(name);
  }
  return removable;
}
