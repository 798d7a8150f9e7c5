import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { FakeAgentServer } from '../../fakes/fake-agent-server.ts';

/** A fake agent that listens on a unix socket in a folder of its own. */
export class ServedAgent implements AsyncDisposable {
  readonly agent = new FakeAgentServer();
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(): Promise<ServedAgent> {
    await using undo = new AsyncDisposableStack();
    const served = undo.use(new ServedAgent(await mkdtemp(path.join(os.tmpdir(), 'novactl-'))));
    await served.agent.listen(served.address);
    undo.move();
    return served;
  }

  get address(): string {
    return `unix:${this.folder}/agent.sock`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}
