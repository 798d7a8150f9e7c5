import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK_STORIES } from './disk-stories.ts';
import { HOOK_STORIES } from './hook-stories.ts';
import { IMAGE_STORIES } from './image-stories.ts';
import { STORIES, tell } from './stories.ts';

for (const story of [...STORIES, ...HOOK_STORIES, ...DISK_STORIES, ...IMAGE_STORIES]) {
  void test(`${story.name ?? `a ${story.kind}`} comes to its end wherever the agent is killed`, async () => {
    for (let step = 1; ; step++) {
      const wasKilled = await tell(story, ({ source }) => {
        const { life } = source.agent;
        life.killAt(step);
        return () => (life.killed ? life.steps.at(-1) : undefined);
      });
      if (wasKilled) continue;
      assert.ok(step > story.steps, `only ${step} steps`);
      break;
    }
  });
}
