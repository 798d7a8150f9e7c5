import { LabError } from '../core/project.ts';
import { step } from '../core/steps.ts';
import { runImagesDemo } from '../demo/images.ts';
import { chooseAccelerator } from '../guest/kvm-probe.ts';
import { buildAll } from './build.ts';
import type { Verb } from './verb.ts';

export const demo: Verb = {
  name: 'demo',
  usage: 'images',
  summary: 'a Debian from an address, changed while it runs; makes a lab of its own and removes it',
  async run([name, ...others], signal) {
    if (name !== 'images' || others.length > 0) {
      throw new LabError('There is one demo: ./dev demo images');
    }
    await buildAll(signal);
    const { accelerator } = await step(
      'Finding out what VMs run on here',
      () => chooseAccelerator(signal),
      (choice) => choice.accelerator.toUpperCase(),
    );
    return await runImagesDemo(accelerator, signal);
  },
};
