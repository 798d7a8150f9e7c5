import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { installS3Server } from '../../lab/builds/python-clients.ts';
import { inProject } from '../../lab/core/project.ts';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { REGISTRY_PORT, S3_PORT } from '../../lab/node/agent.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';
import { PULLER } from '../fixtures/images/docker-registry.ts';
import { S3_SCRIPT } from '../fixtures/images/s3-server.ts';

const REGISTRY = `oci://127.0.0.1:${REGISTRY_PORT}/vms`;
const BUCKET = 's3://private';
const MIB = 2 ** 20;

function manifest(name: string, image: Readonly<Record<string, unknown>>): string {
  const resources = { cpu: 1, memory: '64Mi' };
  return JSON.stringify({
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name },
    spec: { running: true, template: { spec: { resources, image } } },
  });
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

test('VMs from a registry and from S3, with secrets that are found nowhere', async (context) => {
  await using lab = await Lab.create({ nodes: ['a'] }, context.signal);
  const [a] = lab.nodes;
  assert.ok(a);
  const secrets = path.join(lab.plan.directory, 'secrets');
  await run(['mkdir', '-p', '-m', '700', secrets], {}, context.signal);
  const settings = { secrets: { folder: secrets } };
  await lab.startAgents({ accelerator: 'tcg', settings }, context.signal);
  const raw = path.join(lab.plan.directory, 'disk.raw');
  const disk = path.join(lab.plan.directory, 'disk.qcow2');
  await writeFile(raw, randomBytes(8 * MIB));
  await run(['truncate', '--size=64M', raw], {}, context.signal);
  await run(['qemu-img', 'convert', '-O', 'qcow2', raw, disk], {}, context.signal);
  const script = inProject('test/vms/serve-registry.ts');
  const registry = [process.execPath, script, disk, String(REGISTRY_PORT)];
  await a.startDaemon('registry', registry, {}, context.signal);
  const python = await installS3Server(context.signal);
  const s3 = [python, S3_SCRIPT, disk, String(S3_PORT), 'strict'];
  // It ends with its standard input.
  await a.startDaemon('s3', ['sh', '-c', 'sleep 3600 | "$@"', 'sh', ...s3], {}, context.signal);
  const areReady = () => /Ready/.test(a.readLog('registry')) && /^\{.*\}$/m.test(a.readLog('s3'));
  await waitUntil('what is fetched from to be there', PATIENCE_MS, areReady, context.signal);
  const keys = JSON.parse(/^\{.*\}$/m.exec(a.readLog('s3'))?.[0] ?? '') as {
    readonly user: string;
    readonly password: string;
  };
  const puller = path.join(lab.plan.directory, 'puller');
  await writeFile(puller, `${PULLER.user}:${PULLER.password}\n`, { mode: 0o600 });
  await writeFile(path.join(secrets, 's3-reader'), `${keys.user}:${keys.password}\n`, {
    mode: 0o600,
  });
  await writeFile(path.join(secrets, 'wrong'), `${keys.user}:wrong\n`, { mode: 0o600 });
  const base = path.join(lab.plan.sharedImages, 'base');
  const ctl = (args: string, signal: AbortSignal, input?: string) =>
    novactl(lab, args.split(' '), signal, input);
  const said: string[] = [];
  const ok = async (args: string, signal: AbortSignal, input?: string) => {
    const result = await ctl(args, signal, input);
    said.push(result.stdout, result.stderr);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  };
  const sizeOf = async (domain: string, signal: AbortSignal) => {
    const info = await a.libvirt.virsh(['domblkinfo', domain, 'vda'], signal);
    return Number(/Capacity:\s+(\d+)/.exec(info)?.[1]);
  };

  await context.test('a container disk, with a secret that is given', async ({ signal }) => {
    const wanted = manifest('web', { source: `${REGISTRY}/disk:1.0`, auth: 'registry' });
    const apply = `vm apply --secret registry=${puller} -f -`;
    await ok(`${apply} --dry-run`, signal, wanted);
    await ok(apply, signal, wanted);
    assert.equal(await sizeOf('default_web', signal), 64 * MIB);
    assert.match((await ok('image list', signal)).stdout, /qcow2 +64Mi .*oci:\/\/127\.0\.0\.1/);
    assert.match((await ok(apply, signal, wanted)).stdout, /unchanged/);
  });

  await context.test('the same from S3, with a secret of the node', async ({ signal }) => {
    const source = `${BUCKET}/images/disk.qcow2`;
    await ok('vm apply -f -', signal, manifest('db', { source, auth: 's3-reader' }));
    assert.equal(await sizeOf('default_db', signal), 64 * MIB);
    // The same content from elsewhere is kept once.
    assert.match((await ok('image list', signal)).stdout, /64Mi .* 2 .*oci:.* s3:\/\/private/);
  });

  await context.test('a pull, with either', async ({ signal }) => {
    const fromS3 = `image pull ${BUCKET}/images/disk.qcow2 --always`;
    assert.match((await ok(`${fromS3} --auth s3-reader`, signal)).stdout, /is here/);
    const pull = `image pull ${REGISTRY}/disk:1.0 --always --auth registry`;
    assert.match((await ok(`${pull} --secret registry=${puller}`, signal)).stdout, /is here/);
    const other = await ctl(`${fromS3} --secret registry=${puller}`, signal);
    assert.match(other.stderr, /nothing names it; name it with --auth registry/);
  });

  await context.test('what cannot be is refused, and leaves nothing', async ({ signal }) => {
    const kept = await readdir(base);
    const refusals: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
      [{ source: `${REGISTRY}/other` }, /answered 401 Unauthorized; name a secret in auth/],
      [
        { source: `${REGISTRY}/other`, auth: 'none' },
        /secret none: .* is not there.*SECRET_NOT_FOUND/,
      ],
      [{ source: `${REGISTRY}/other`, auth: 'wrong' }, /answered 401.*the secret that auth names/],
      [{ source: `${BUCKET}/other.qcow2`, auth: 'wrong' }, /answered 403.*the secret that auth/],
      [{ source: `${BUCKET}/other.qcow2`, auth: 's3-reader' }, /answered 404.*bucket and key/],
      [{ source: 'oci://127.0.0.1:1/other' }, /no connection could be made/],
      [{ source: 'oci://169.254.169.254/other' }, /IMAGE_NOT_ALLOWED/],
    ];
    for (const [image, why] of refusals) {
      const refused = await ctl('vm apply -f -', signal, manifest('never', image));
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, why);
    }
    assert.deepEqual(await readdir(base), kept);
    assert.deepEqual(await readdir(path.join(base, 'incoming')), []);
    assert.doesNotMatch((await ok('vm list', signal)).stdout, /never/);
  });

  await context.test('nothing that was said or kept has the secrets', async ({ signal }) => {
    for (const args of ['vm get web -o yaml', 'vm describe web', 'operation list -o json']) {
      await ok(args, signal);
    }
    const xml = await a.libvirt.virsh(['dumpxml', 'default_web'], signal);
    const log = await readFile(a.agent.logPath, 'utf8');
    const kept = await filesBelow(path.join(a.plan.directory, 'state'));
    const files = await Promise.all(kept.map((file) => readFile(file, 'latin1')));
    const forms = [PULLER.password, keys.password, btoa(`${PULLER.user}:${PULLER.password}`)];
    for (const secret of forms) {
      const escaped = JSON.stringify(secret).slice(1, -1);
      for (const text of [...said, xml, log, ...files]) {
        assert.ok(!text.includes(secret) && !text.includes(escaped));
      }
    }
  });

  for (const name of ['web', 'db']) {
    await ok(`vm delete ${name} --force --delete-disks`, context.signal);
  }
  await rm(base, { recursive: true });
});
