import { type ChildProcess, fork } from 'node:child_process';
import { siblingModule } from '../../core/sibling-module.ts';

/** It keeps no data. */
const MEMORY_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1'] as const;

/**
 * Launches a driver process: it loads libvirt's library, and says nothing before it is sent its settings. The agent does this before
 * it loads itself, so this imports little.
 */
export function launchDriver(): ChildProcess {
  const program = siblingModule(import.meta.url, 'driver-process');
  const child = fork(program, {
    execArgv: [...MEMORY_FLAGS],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  // Whoever takes it sees that it does not run.
  child.on('error', () => {});
  return child;
}

/** Whether a process that was launched before can be used: one that could not be spawned has a channel all the same. */
export function isUsable(child: ChildProcess): boolean {
  const { pid, connected, exitCode, signalCode } = child;
  return pid !== undefined && connected && exitCode === null && signalCode === null;
}
