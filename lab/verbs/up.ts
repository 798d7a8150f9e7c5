import { existsSync } from 'node:fs';
import { formatDuration } from '../../src/cli/output/durations.ts';
import { VirtualMachinePhase } from '../../src/client/api.ts';
import { AgentError } from '../../src/core/errors.ts';
import { LabError } from '../core/project.ts';
import { step } from '../core/steps.ts';
import { ensureAgentGuest, layOutAgentGuest } from '../guest/agent-guest.ts';
import { ensureDemoGuest } from '../guest/demo-guest.ts';
import { connectAgent } from '../guest/demo-vm.ts';
import { chooseAccelerator } from '../guest/kvm-probe.ts';
import { Lab } from '../lab.ts';
import { DEMO_VM, runMainJob } from '../migration/main-job.ts';
import { formatReport, isSuccess } from '../migration/report.ts';
import type { LabNode } from '../node/lab-node.ts';
import { DEFAULT_LAB } from '../plan/lab-plan.ts';
import { findLabRecord } from '../plan/lab-record.ts';
import { listLabs, removeLab } from '../remove-lab.ts';
import { buildAll } from './build.ts';
import type { Verb } from './verb.ts';

export const up: Verb = {
  name: 'up',
  usage: '',
  summary: 'starts two nodes on this machine and migrates a VM from one to the other',
  async run(_args, signal) {
    if (await isUp(signal)) {
      console.log('The lab is up already: ./dev status shows it, ./dev down removes it');
      return 0;
    }
    const start = performance.now();
    await buildAll(signal);
    const guest = await ensureDemoGuest(signal);
    const agentGuest = await step('Building a guest with a guest agent', () =>
      ensureAgentGuest(signal),
    );
    const { accelerator } = await step(
      'Finding out what VMs run on here',
      () => chooseAccelerator(signal),
      (choice) => `${choice.accelerator.toUpperCase()}, because ${choice.reason}`,
    );
    const lab = await step('Making nodes a and b, each with its own libvirt', () =>
      Lab.create({ name: DEFAULT_LAB, nodes: ['a', 'b'] }, signal),
    );
    try {
      await step('Starting an agent on each', () => lab.startAgents({ accelerator }, signal));
      for (const node of lab.nodes) await layOutAgentGuest(node, agentGuest);
      const report = await runMainJob(lab, guest, signal);
      console.log(`\n${formatReport(report)}\n`);
      console.log(`Ready after ${formatDuration(performance.now() - start)}. Go on with`);
      console.log(NEXT);
      if (!isSuccess(report)) return 1;
      await lab.keep();
      return 0;
    } catch (error) {
      console.error('The lab is left as it is: ./dev logs shows the logs, ./dev down removes it');
      throw error;
    }
  },
};

const GOOD_PHASES: ReadonlySet<VirtualMachinePhase> = new Set([
  VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
  VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_MIGRATING,
]);

const NEXT = `  ./dev ctl --node b vm list              the VM is on node b now
  ./dev ctl --node b vm log demo          what it says on its console
  ./dev ctl --node b migrate demo --to a  moves it back
  ./dev ctl doctor                        what is wrong with this machine
  ./dev logs                              what the agent of node a did
  ./dev down                              removes it all`;

/** True if an earlier `./dev up` succeeded and all of it still runs. What is left of one that did not is removed. */
async function isUp(signal: AbortSignal): Promise<boolean> {
  if (!(await listLabs()).includes(DEFAULT_LAB)) return false;
  const fault = await findFault(signal);
  if (fault === undefined) return true;
  await step(`Removing an earlier lab, because ${fault}`, () => removeLab(DEFAULT_LAB));
  return false;
}

/** Why the lab that is there is not what `./dev up` leaves behind. */
async function findFault(signal: AbortSignal): Promise<string | undefined> {
  const record = await findLabRecord(DEFAULT_LAB);
  if (record === undefined) return 'its record is missing';
  const { ownerPid } = record;
  if (ownerPid !== undefined) {
    if (!existsSync(`/proc/${ownerPid}`)) return 'its main job did not succeed';
    throw new LabError(
      `Process ${ownerPid} is still setting the lab up: wait for it, or ./dev down removes the lab`,
    );
  }
  const { nodes } = await Lab.open();
  if (nodes.some((node) => node.agent.find() === undefined)) return 'not all of its agents run';
  const runs = await Promise.all(nodes.map(async (node) => runsDemoVm(node, signal)));
  return runs.includes(true) ? undefined : `VM ${DEMO_VM} runs on neither node`;
}

/** It may have been moved back since, or be on its way. */
async function runsDemoVm(node: LabNode, signal: AbortSignal): Promise<boolean> {
  try {
    using client = await connectAgent(node);
    const { status } = await client.vms.get({ name: DEMO_VM }, { signal });
    return status !== undefined && GOOD_PHASES.has(status.phase);
  } catch (error) {
    if (!(error instanceof AgentError) || signal.aborted) throw error;
    return false;
  }
}
