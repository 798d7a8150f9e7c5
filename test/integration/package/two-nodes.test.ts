import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../../lab/core/project.ts';
import { run } from '../../../lab/core/run-command.ts';
import { judgeNodeCertificate } from '../../../src/core/node-certificate.ts';
import { readInstallPage, type ShellBlock } from '../../guests/install-page.ts';

/*
 * What docs/install.md has people type for a second node, with a folder for each node's /etc/novacron and stand-ins for what leads from
 * one machine to another or changes one.
 */

const never = new AbortController().signal;
const page = await readInstallPage();
const novactl = `exec ${process.execPath} ${inProject('dist/cli/main.js')} "$@"`;

class Machines implements Disposable {
  readonly #folder = mkdtempDisposableSync(path.join(tmpdir(), 'two-nodes-'));

  constructor() {
    for (const name of ['node-1', 'node-2']) {
      mkdirSync(this.etc(name), { recursive: true });
      copyFileSync(inProject('deploy/agent.yaml'), `${this.etc(name)}/agent.yaml`);
    }
    const toSecond = `sed "s,${this.etc('node-1')},${this.etc('node-2')},g"`;
    this.#standIn('hostname', `[ "\${1-}" = -I ] && echo "10.0.0.1 fd00::1" || echo node-1`);
    this.#standIn('apt-get', 'true');
    this.#standIn('systemctl', 'true');
    this.#standIn('ssh', `[ "$1" = root@node-2 ]; shift; echo "$@" | ${toSecond} | sh -e`);
    this.#standIn(
      'scp',
      `echo "$@" | sed 's,root@node-2:,,; s,^-p ,cp -p ,' | ${toSecond} | sh -e`,
    );
    this.#standIn(
      'novactl',
      `case $1 in doctor) exit ;; pki) set -- "$@" --dir ${this.etc('node-1')}/ca ;; esac\n${novactl}`,
    );
  }

  /** What a node has as its /etc/novacron. */
  etc(name: string): string {
    return `${this.#folder.path}/${name}/etc`;
  }

  async type(name: string, blocks: readonly ShellBlock[]): Promise<void> {
    const script = blocks.map(({ script: text }) => text).join('');
    const typed = script.replaceAll('/etc/novacron', this.etc(name));
    const env = { ...process.env, PATH: `${this.#folder.path}/bin:${process.env['PATH'] ?? ''}` };
    await run(['sh', '-eu', '-c', typed], { cwd: path.dirname(this.etc(name)), env }, never);
  }

  /** What the agent says of a node's configuration. */
  async check(name: string): Promise<string> {
    const config = `${this.etc(name)}/agent.yaml`;
    const agent = [process.execPath, inProject('dist/agent/main.js'), '--check'];
    return await run([...agent, '--config', config], {}, never);
  }

  #standIn(program: string, script: string): void {
    const file = `${this.#folder.path}/bin/${program}`;
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `#!/bin/sh\nset -e\n${script}\n`);
    chmodSync(file, 0o755);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

test('a second node comes to have its certificate, and each knows where the other is', async () => {
  using machines = new Machines();
  await machines.type('node-1', page.find('', 'Reached by others'));
  const [issue, peers] = page.find('for-second-node', 'A second node');
  assert.ok(issue && peers);
  await machines.type('node-1', [issue]);
  await machines.type('node-2', page.find('second-node'));
  await machines.type('node-1', [peers]);

  for (const name of ['node-1', 'node-2']) {
    const pki = `${machines.etc(name)}/pki`;
    const files = { certificate: `${pki}/tls.crt`, key: `${pki}/tls.key`, ca: `${pki}/ca.crt` };
    const [certificate, key, ca] = [files.certificate, files.key, files.ca].map((file) =>
      readFileSync(file, 'utf8'),
    ) as [string, string, string];
    const judged = judgeNodeCertificate(
      { certificate, key, ca, files, nodeName: name },
      Date.now(),
    );
    assert.ok('daysLeft' in judged, JSON.stringify(judged));
    assert.equal(statSync(files.key).mode & 0o077, 0, `${files.key} is for its owner`);
  }
  assert.match(await machines.check('node-1'), /others reach it at 10\.0\.0\.1:7443/);
  assert.match(await machines.check('node-2'), /others reach it at 10\.0\.0\.2:7443/);
  const config = (name: string) => readFileSync(`${machines.etc(name)}/agent.yaml`, 'utf8');
  assert.match(config('node-1'), /^peers: \{node-2: 10\.0\.0\.2:7443\}$/m);
  assert.match(config('node-2'), /^peers: \{node-1: 10\.0\.0\.1:7443\}$/m);
  // The key of the CA stays, and that of the second node is only there.
  assert.equal(existsSync(`${machines.etc('node-2')}/ca`), false);
  assert.equal(existsSync(path.join(path.dirname(machines.etc('node-1')), 'node-2')), false);
});
