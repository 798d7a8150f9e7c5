import { AgentError } from '../core/errors.ts';
import { type ResumeOptions, resume } from './resume.ts';
import { mayHaveArrived } from './status.ts';

/**
 * Asks for something that names itself, so that it is done once however often it is asked for: again and again if the agent is
 * lost while it is asked, as when it is killed. One that is not there to begin with is the caller's to handle.
 */
export async function repeatWhileLost<A>(
  ask: () => Promise<A>,
  options: ResumeOptions,
): Promise<A> {
  const open = async function* (): AsyncGenerator<A, void, undefined> {
    yield await ask();
  };
  for await (const answer of resume(open, options, mayHaveArrived)) return answer;
  throw new AgentError('STREAM_FAILED', 'The agent has not answered');
}
