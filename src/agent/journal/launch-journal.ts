import { Worker } from 'node:worker_threads';
import { siblingModule } from '../../core/sibling-module.ts';

/** The longest answer is a list of 1,000 migrations, some 5 MiB. The limits do not make an idle thread smaller. */
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 };

/**
 * Launches the thread that the journal is to be in; it does nothing before it is told which. The agent does this before it loads itself,
 * so this imports little.
 */
export function launchJournal(): Worker {
  const worker = new Worker(siblingModule(import.meta.url, 'journal-worker'), {
    resourceLimits: LIMITS,
  });
  // By itself it keeps no process from its end.
  worker.unref();
  // Whoever takes it sees that it has ended.
  worker.on('error', () => {});
  return worker;
}

export function hasEnded(worker: Worker): boolean {
  return worker.threadId === -1;
}
