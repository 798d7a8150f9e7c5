import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Set in the environment of everything that a lab starts. */
export const LAB_VARIABLE = 'NOVACRON_LAB';
export const NODE_VARIABLE = 'NOVACRON_LAB_NODE';

export interface LabProcess {
  /** As seen from outside the nodes. */
  readonly pid: number;
  /** As seen inside the node: 1 is its first process. */
  readonly pidInNode: number;
  /** Identifies the PID namespace that it lives in. */
  readonly namespace: string;
  /** The lab's name, if the environment still tells. */
  readonly lab: string | undefined;
  readonly node: string | undefined;
  readonly command: readonly string[];
}

/**
 * Every process of a lab: those that carry its mark, and those that share a PID namespace with one that does,
 * which finds what daemons started with an environment of their own. Needs no record, so it works after any crash.
 */
export function findLabProcesses(lab: string): LabProcess[] {
  const own = readlinkSync('/proc/self/ns/pid');
  const all = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => readProcess(Number(entry)) ?? []);
  const marked = all.filter((process) => process.lab === lab);
  const namespaces = new Set(marked.map((process) => process.namespace));
  namespaces.delete(own);
  return all.filter((process) => process.lab === lab || namespaces.has(process.namespace));
}

/** Undefined once it has ended, zombies included. */
export function readProcess(pid: number): LabProcess | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    if (/^State:\s+[ZX]/m.test(status)) return undefined;
    return {
      pid,
      pidInNode: Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1] ?? pid),
      namespace: readlinkSync(`/proc/${pid}/ns/pid`),
      lab: valueOf(environment, LAB_VARIABLE),
      node: valueOf(environment, NODE_VARIABLE),
      command: readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').slice(0, -1),
    };
  } catch {
    // It ended while being read, or is a kernel thread.
    return undefined;
  }
}

function valueOf(environment: readonly string[], name: string): string | undefined {
  return environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}
