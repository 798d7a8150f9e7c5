import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeathMoment } from '../../../fakes/fake-hypervisor-calls.ts';
import { DISK_STORIES } from './disk-stories.ts';
import { HOOK_STORIES } from './hook-stories.ts';
import { IMAGE_STORIES } from './image-stories.ts';
import { STORIES, tell } from './stories.ts';

const MOMENTS: readonly DeathMoment[] = ['before', 'amid', 'after'];

/** What is asked of the node needs no hypervisor. */
const OF_VMS = [...STORIES, ...HOOK_STORIES, ...DISK_STORIES, ...IMAGE_STORIES].filter(
  ({ kind }) => kind !== 'cordon',
);

for (const story of OF_VMS) {
  void test(`${story.name ?? `a ${story.kind}`} comes to its end wherever the hypervisor dies`, async () => {
    for (const moment of MOMENTS) {
      for (let call = 1; ; call += 1) {
        const hasDied = await tell(story, ({ source: { hypervisor } }) => {
          hypervisor.dieAt(call, moment);
          return () => hypervisor.diedAt;
        });
        if (hasDied) continue;
        assert.ok(call > 1, 'it never died');
        break;
      }
    }
  });
}
