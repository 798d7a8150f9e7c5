#!/usr/bin/env node
import { startProgram } from '../core/start-program.ts';
import { launchDriver } from '../drivers/libvirt/driver-launch.ts';
import { isQuestion } from './command-options.ts';
import { launchJournal } from './journal/launch-journal.ts';

startProgram({
  name: 'novacron-agent',
  url: import.meta.url,
  module: 'daemon',
  // To come up takes them as long as it takes the agent.
  prepare: () => (isQuestion(process.argv.slice(2)) ? {} : launch()),
});

/** What cannot be launched now the agent launches itself, and has words for it. */
function launch() {
  try {
    return { driver: launchDriver(), journal: launchJournal() };
  } catch {
    return {};
  }
}
