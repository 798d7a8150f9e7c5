import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { fakeQcow2 } from '../../../fakes/fake-image-fetcher.ts';
import { manifestOf, NEW, type Story, stateOf } from './stories.ts';

const URL = 'https://images.example/debian.qcow2';
const CONTENT = fakeQcow2(2 ** 30);
const DIGEST = createHash('sha256').update(CONTENT).digest('hex');

/** Of VMs from images: whoever is killed, the image is there once, the disk stands on it, and nothing half-made is left. */
export const IMAGE_STORIES: readonly Story[] = [
  {
    kind: 'create',
    name: 'a create from an image',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    prepare: async ({ source }) => {
      source.fetcher.contents.set(URL, { content: CONTENT, version: '1' });
      await Promise.resolve();
    },
    parameters: () => {
      const { spec } = NEW;
      const machine = { ...spec.template.spec, image: { source: URL } };
      const template = { ...spec.template, spec: machine };
      return {
        manifest: manifestOf({ ...NEW, spec: { ...spec, template } }, {}),
        reservationId: undefined,
      };
    },
    check: async (nodes) => {
      const { source } = nodes;
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      const { definition } = (await source.find(NEW.uid)) ?? {};
      const root = definition?.madeDisks['root'];
      assert.equal(root?.image?.digest, `sha256:${DIGEST}`);
      assert.deepEqual(source.diskFiles.paths, [root.path]);
      assert.deepEqual(source.imageStore.paths, [root.image.path]);
    },
    steps: 14,
  },
];
