import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import { QemuBootProbe } from '../../src/drivers/boot-probe/qemu-boot-probe.ts';
import { LinuxHost } from '../../src/drivers/linux/linux-host.ts';
import { inProject } from '../core/project.ts';

const FOLDER = inProject('build/lab');

export interface AcceleratorChoice {
  readonly accelerator: 'kvm' | 'tcg';
  /** Why, for people. */
  readonly reason: string;
}

/** KVM where a guest really boots with it, as the agent finds it out. */
export async function chooseAccelerator(signal: AbortSignal): Promise<AcceleratorChoice> {
  await mkdir(FOLDER, { recursive: true });
  const { bootId } = await new LinuxHost().readFacts(signal);
  const probe = new QemuBootProbe({
    file: `${FOLDER}/kvm-boots.json`,
    bootId,
    kernelRelease: os.release(),
  });
  const { boots, why } = await probe.find(signal);
  if (boots) return { accelerator: 'kvm', reason: 'a guest boots with it' };
  return { accelerator: 'tcg', reason: `no guest boots with KVM (${why})` };
}
