import { type MessagePort, parentPort } from 'node:worker_threads';
import { journalError } from './errors.ts';
import {
  type FromJournalThread,
  type JournalSettings,
  type ToJournalThread,
  toFailure,
} from './journal-protocol.ts';
import { journalPath, type OpenJournalFile, openJournalFile } from './open-journal-file.ts';

/*
 * The thread that has the journal. SQLite blocks its caller, for seconds if somebody else has locked the file, so it
 * is not on the thread that everything else waits for. Requests are carried out one by one, as they come.
 */

const port = parentPort;
if (port === null) throw new Error('This file runs in a Worker only');
port.once('message', (message: ToJournalThread) => {
  if (message.kind === 'open') serve(port, message.settings);
});

function serve(agent: MessagePort, settings: JournalSettings): void {
  let journal: OpenJournalFile;
  try {
    journal = openJournalFile(settings);
  } catch (error) {
    tell(agent, { kind: 'refused', failure: failureOf(error, settings) });
    agent.close();
    return;
  }
  agent.on('message', (message: ToJournalThread) => {
    if (message.kind === 'perform') {
      tell(agent, perform(journal, message, settings));
    } else {
      journal[Symbol.dispose]();
      agent.close();
    }
  });
  const { replaced, failure } = journal;
  tell(agent, { kind: 'opened', replaced, failure: failure && toFailure(failure) });
}

function perform(
  { file }: OpenJournalFile,
  { id, statements, options }: Extract<ToJournalThread, { kind: 'perform' }>,
  settings: JournalSettings,
): FromJournalThread {
  try {
    const results = file.perform(statements, options);
    return { kind: 'results', id, results, shortage: file.shortage && toFailure(file.shortage) };
  } catch (error) {
    return { kind: 'failure', id, failure: failureOf(error, settings) };
  }
}

function failureOf(error: unknown, settings: JournalSettings) {
  return toFailure(journalError(error, journalPath(settings.directory)));
}

function tell(agent: MessagePort, message: FromJournalThread): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort, no window
  agent.postMessage(message);
}
