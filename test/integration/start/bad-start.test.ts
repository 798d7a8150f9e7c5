import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../../lab/core/project.ts';
import { tryRun } from '../../../lab/core/run-command.ts';
import { Certificates } from '../../../lab/node/certificates.ts';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';

/* What an agent says when what it is given is bad, and whether it goes on. */

const never = new AbortController().signal;
const NOVACTL = inProject('dist/cli/main.js');
const asRoot = process.getuid?.() === 0 ? false : 'mounting needs root';

/** An agent's settings in a folder of its own. */
class Bad implements AsyncDisposable {
  readonly folder: string;
  readonly state: string;
  agent!: BareAgent;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string) {
    this.folder = folder;
    this.state = path.join(folder, 'state');
  }

  static async make(settings: Readonly<Record<string, unknown>> = {}): Promise<Bad> {
    await using undo = new AsyncDisposableStack();
    const { path: folder } = undo.use(mkdtempDisposableSync(path.join(tmpdir(), 'bad-')));
    const bad = new Bad(folder);
    bad.agent = await BareAgent.configure(folder, { stateDirectory: bad.state, ...settings });
    bad.#owned = undo.move();
    return bad;
  }

  /** Starts it; gives what it has said until it was started and its hypervisor was looked for, and ends it. */
  async says(within: readonly string[] = [], use = async () => {}): Promise<string> {
    await using agent = this.agent.start(within);
    const lines: string[] = [];
    const said = (words: string) => lines.some((line) => line.includes(words));
    while (!said('Agent started') || !said('Hypervisor is not connected')) {
      lines.push(await agent.nextLine());
    }
    await use();
    agent.child.kill('SIGTERM');
    assert.deepEqual(await agent.exited, [0, null]);
    return lines.join('\n');
  }

  /** Starts one that must not go on; gives the problem that it names, which it also leaves for doctor. */
  async refusal(exitCode = 1): Promise<string> {
    await using agent = this.agent.start();
    const lines = await agent.remainingLines();
    assert.deepEqual(await agent.exited, [exitCode, null]);
    const last = JSON.parse(lines.at(-1) ?? '') as Record<string, string>;
    assert.equal(last['msg'], 'Agent cannot go on');
    assert.equal(last['err'], undefined, 'it is said in words');
    const left = JSON.parse(readFileSync(this.end, 'utf8')) as { problem: string };
    assert.equal(left.problem, last['problem']);
    return left.problem;
  }

  get end(): string {
    return path.join(this.folder, 'run', 'last-end.json');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

test('with an expired certificate an agent says so first, and serves the node itself', async () => {
  await using bad = await Bad.make();
  const { agent } = bad;
  const names = 'URI:spiffe://novacron/node/a';
  const expired = await agent.authority.expired('expired', names, never);
  copyFileSync(expired.certificate, agent.tls.certificate);
  copyFileSync(expired.key, agent.tls.key);
  const said = await bad.says([], async () => {
    using client = await AgentClient.open({ address: `unix:${agent.socket}` });
    assert.equal((await client.node.get({ signal: never })).metadata?.name, 'a');
  });
  assert.match(
    said.split('\n')[0] ?? '',
    /"error".*expired on .*novactl pki issue node a --out DIR/,
  );
});

test("a CA that is not the certificate's, or another node's certificate, is told at the start", async () => {
  await using bad = await Bad.make();
  const { agent, folder } = bad;
  const other = await agent.authority.issue('b', 'URI:spiffe://novacron/node/b', never);
  copyFileSync(other.certificate, agent.tls.certificate);
  copyFileSync(other.key, agent.tls.key);
  assert.match(
    await bad.says(),
    /does not name this node, a: it has URI:spiffe:\/\/novacron\/node\/b/,
  );
  const { ca } = await Certificates.ensure(path.join(folder, 'others'), never);
  copyFileSync(ca, agent.tls.ca);
  assert.match(
    await bad.says(),
    /is not signed by the configured CA .*name the CA in tls\.ca that all nodes share/,
  );
});

test('a key that others can read is a warning', async () => {
  await using bad = await Bad.make();
  chmodSync(bad.agent.tls.key, 0o644);
  assert.match(await bad.says(), /"warn".*can be read by others \(mode 644\); chmod 600 /);
});

test('a folder of hooks that is not there, or that others can write to, is a warning', async () => {
  const hookFolder = '/run/novacron-no-such-hooks';
  await using missing = await Bad.make({ lifecycle: { hooks: true, hookFolder } });
  assert.match(await missing.says(), /"warn".*no-such-hooks is no folder; install -d -m 755 /);
  using open = mkdtempDisposableSync(path.join(tmpdir(), 'open-hooks-'));
  chmodSync(open.path, 0o777);
  await using bad = await Bad.make({ lifecycle: { hooks: true, hookFolder: open.path } });
  assert.match(await bad.says(), /"warn".*others than root can write to .* chmod go-w /);
});

/** What doctor finds by one of its checks. */
async function doctorSays(agent: BareAgent, check: string): Promise<string> {
  const words = ['doctor', '--agent-config', agent.file, '-o', 'json'];
  const { stdout } = await tryRun([process.execPath, NOVACTL, ...words], {}, never);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; detail: string }[] };
  return checks.find(({ name }) => name === check)?.detail ?? '';
}

test('certificate files that are missing or do not belong together are named, and forgotten once mended', async () => {
  await using bad = await Bad.make();
  const { tls, authority } = bad.agent;
  const good = readFileSync(tls.key);
  const other = await authority.client('viewer', never);
  copyFileSync(other.key, tls.key);
  assert.match(
    await bad.refusal(),
    /^The key .* is not that of the certificate .*novactl pki issue/,
  );
  writeFileSync(tls.key, '');
  const problem = await bad.refusal();
  assert.match(problem, /a\.key is empty/);
  assert.ok((await doctorSays(bad.agent, 'agent')).endsWith(problem));
  assert.match(await doctorSays(bad.agent, 'certificate'), /a\.key is empty/);
  writeFileSync(tls.key, good);
  await bad.says();
  assert.equal(existsSync(bad.end), false);
});

test('a port that another program has is named with its setting, and how to find that program', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const at = `127.0.0.1:${port}`;
    for (const [key, more] of [
      ['listen', { advertise: at }],
      ['httpListen', {}],
    ] as const) {
      await using bad = await Bad.make({ [key]: at, ...more });
      const expected = new RegExp(
        `^Cannot listen on ${at}: another program .*sport = :${port}.*correct ${key}$`,
      );
      assert.match(await bad.refusal(), expected);
    }
  } finally {
    server.close();
  }
});

test('an address that this machine does not have is named', async () => {
  await using bad = await Bad.make({ listen: '192.0.2.254:7443', advertise: '192.0.2.254:7443' });
  assert.match(
    await bad.refusal(),
    /this machine has no address 192\.0\.2\.254; .*correct listen$/,
  );
});

test('what is in the way of a folder or the socket is named', async () => {
  await using bad = await Bad.make();
  writeFileSync(bad.state, '');
  assert.match(await bad.refusal(), /state is a file where a folder should be; move it away$/);
  await using other = await Bad.make();
  writeFileSync(other.agent.socket, '');
  assert.match(
    await other.refusal(),
    /agent\.sock: it is not a socket; move it away, or correct socket$/,
  );
});

async function leaveJournal(state: string, schema: readonly string[]): Promise<void> {
  await using _journal = await Journal.open(state, { logger: createLogger('silent'), schema });
}

test('the journal of a newer agent is left as it is, and how to go on is said', async () => {
  await using bad = await Bad.make();
  const newer = [...JOURNAL_SCHEMA, 'CREATE TABLE later (a INTEGER) STRICT'];
  await leaveJournal(bad.state, newer);
  const said = new RegExp(
    `written by a newer agent \\(version ${newer.length}; this one knows versions up to ${newer.length - 1}\\): install that agent again \\(VMs run on meanwhile\\)`,
  );
  assert.match(await bad.refusal(2), said);
  await leaveJournal(bad.state, newer);
});

test('the journal of an older agent is taken over without a word', async () => {
  await using bad = await Bad.make();
  await leaveJournal(bad.state, JOURNAL_SCHEMA.slice(0, 1));
  assert.doesNotMatch(await bad.says(), /[Jj]ournal/);
});

test('without a libvirt the agent starts, and says what is missing', async () => {
  await using bad = await Bad.make({ peers: { b: 'nowhere.invalid:7443' } });
  const said = await bad.says();
  assert.match(said, /"Hypervisor is not connected"/);
  assert.match(
    said,
    /none is no socket; install libvirt or start it \(systemctl enable --now virtqemud\.socket/,
  );
});

/** Words before a command that has mounts and a host name of its own. */
function inside(script: string): readonly string[] {
  const words = ['unshare', '--mount', '--uts', 'sh', '-ec', `${script}\nexec "$@"`, 'sh'];
  return words;
}

test("without libvirt's library the agent starts, and says what to install", {
  skip: asRoot,
}, async () => {
  await using bad = await Bad.make();
  const library = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib/aarch64-linux-gnu']
    .map((folder) => path.join(folder, 'libvirt.so.0'))
    .find((file) => existsSync(file));
  assert.ok(library !== undefined);
  const empty = path.join(bad.folder, 'empty');
  writeFileSync(empty, '');
  const said = await bad.says(inside(`mount --bind ${empty} ${realpathSync(library)}`));
  assert.match(said, /libvirt's library cannot be used: .*apt install libvirt0/);
  assert.doesNotMatch(said, /driver process/);
});

test('a peer whose name nothing resolves is warned of', async () => {
  await using bad = await Bad.make({ peers: { b: 'nowhere.invalid:7443' } });
  await using agent = bad.agent.start();
  let line = '';
  while (!line.includes('Nothing here resolves')) line = await agent.nextLine();
  assert.match(line, /"peer":"b","address":"nowhere\.invalid:7443"/);
});

test('a configuration that is read-only, on a host whose name nothing resolves, is no obstacle', {
  skip: asRoot,
}, async () => {
  await using bad = await Bad.make();
  for (const name of ['state', 'run']) mkdirSync(path.join(bad.folder, name));
  const files = [bad.agent.file, path.join(bad.folder, 'tls')];
  const mounts = files.map(
    (file) => `mount --bind ${file} ${file}\nmount -o remount,ro,bind ${file}`,
  );
  const said = await bad.says(inside(`${mounts.join('\n')}\nhostname nowhere.invalid`));
  assert.doesNotMatch(said, /"error"|"fatal"|read-only/);
});

test('a run directory that is read-only is told, and what cannot be done until it is mended', {
  skip: asRoot,
}, async () => {
  await using bad = await Bad.make();
  const run = path.join(bad.folder, 'run');
  mkdirSync(run);
  const said = await bad.says(inside(`mount -t tmpfs -o ro tmpfs ${run}`));
  assert.match(
    said,
    /run is on a file system that is mounted read-only; .*until then no VM can migrate/,
  );
});
