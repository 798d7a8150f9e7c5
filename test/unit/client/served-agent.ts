import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { FakeAgentServer } from '../../fakes/fake-agent-server.ts';

/** A fake agent on a unix socket, with a client of it. */
export async function startAgent() {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'client-'));
  stack.defer(() => rm(folder, { recursive: true }));
  const agent = stack.use(new FakeAgentServer());
  const address = `unix:${folder}/agent.sock`;
  await agent.listen(address);
  const client = stack.use(await AgentClient.open({ address }));
  const owned = stack.move();
  return { agent, client, address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
