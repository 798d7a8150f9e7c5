import { formatDuration } from '../../src/cli/durations.ts';
import { ensureDemoGuest } from '../demo-guest.ts';
import { chooseAccelerator } from '../kvm-probe.ts';
import { Lab } from '../lab.ts';
import { DEFAULT_LAB } from '../lab-plan.ts';
import { runMainJob } from '../main-job.ts';
import { LabError } from '../project.ts';
import { listLabs, removeLab } from '../remove-lab.ts';
import { formatReport, isSuccess } from '../report.ts';
import { step } from '../steps.ts';
import { buildAll } from './build.ts';
import type { Verb } from './verb.ts';

export const up: Verb = {
  name: 'up',
  usage: '',
  summary: 'starts two nodes on this machine and migrates a VM from one to the other',
  async run(_args, signal) {
    if (await isUp()) {
      console.log('The lab is up already: ./dev status shows it, ./dev down removes it');
      return 0;
    }
    const start = performance.now();
    await buildAll(signal);
    const guest = await ensureDemoGuest(signal);
    const { accelerator } = await step(
      'Finding out what VMs run on here',
      () => chooseAccelerator(guest, signal),
      (choice) => `${choice.accelerator.toUpperCase()}, because ${choice.reason}`,
    );
    const lab = await step('Making nodes a and b, each with its own libvirt', () =>
      Lab.create({ name: DEFAULT_LAB, nodes: ['a', 'b'], keep: true }, signal),
    );
    try {
      await step('Starting an agent on each', () => lab.startAgents({ accelerator }, signal));
      const report = await runMainJob(lab, guest, signal);
      console.log(`\n${formatReport(report)}\n`);
      console.log(`Ready after ${formatDuration(performance.now() - start)}. Go on with`);
      console.log(NEXT);
      return isSuccess(report) ? 0 : 1;
    } catch (error) {
      console.error('The lab is left as it is: ./dev logs shows the logs, ./dev down removes it');
      throw error;
    }
  },
};

const NEXT = `  ./dev ctl --node b vm list              the VM is on node b now
  ./dev ctl --node b vm log demo          what it says on its console
  ./dev ctl --node b migrate demo --to a  moves it back
  ./dev ctl doctor                        what is wrong with this machine
  ./dev logs                              what the agent of node a did
  ./dev down                              removes it all`;

/** True if all of the lab runs. What is left of one that does not is removed. */
async function isUp(): Promise<boolean> {
  if (!(await listLabs()).includes(DEFAULT_LAB)) return false;
  if (await isWhole()) return true;
  await step('Removing what is left of an earlier lab', () => removeLab(DEFAULT_LAB));
  return false;
}

async function isWhole(): Promise<boolean> {
  try {
    const lab = await Lab.open();
    return lab.nodes.every((node) => node.agent.find() !== undefined);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return false;
  }
}
