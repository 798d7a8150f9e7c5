import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LABS_DIRECTORY, type LabPlan, type NodeName } from './lab-plan.ts';

/** What `lab.json` says about a lab. */
export interface LabRecord {
  readonly nodes: readonly NodeName[];
  readonly storage: string;
  /** The process that will remove the lab or is still setting it up; undefined if it shall stay. */
  readonly ownerPid?: number;
}

export async function recordLab(plan: LabPlan, ownerPid: number | undefined): Promise<void> {
  const nodes = plan.nodes.map((node) => node.name);
  const record: LabRecord = {
    nodes,
    storage: plan.storage,
    ...(ownerPid !== undefined && { ownerPid }),
  };
  await writeFile(fileOf(plan.name), JSON.stringify(record));
}

/** Undefined if there is no such lab, or its maker was killed before or while it wrote the record. */
export async function findLabRecord(name: string): Promise<LabRecord | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(name), 'utf8')) as LabRecord;
  } catch {
    return undefined;
  }
}

function fileOf(name: string): string {
  return path.join(LABS_DIRECTORY, name, 'lab.json');
}
