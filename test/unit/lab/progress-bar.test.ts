import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatProgress,
  type Progress,
  ProgressBar,
  type Screen,
} from '../../../lab/progress-bar.ts';

const COPYING: Progress = {
  phase: 'copying',
  fraction: 0.42,
  memoryBytes: 215 * 1024 ** 2,
  memoryTotalBytes: 512 * 1024 ** 2,
  bytesPerSecond: 117.5 * 1024 ** 2,
  dirtyBytesPerSecond: 3 * 1024 ** 2,
  iteration: 2,
  timeLeftMs: 2_345,
};

test('a line says phase, bytes, rate, dirty rate, pass and time left', () => {
  assert.equal(
    formatProgress(COPYING),
    '[########............] 42% copying, 215.0 MiB of 512.0 MiB, 117.5 MiB/s, dirty 3.0 MiB/s, pass 2, 2.3 s left',
  );
});

test('time left is not shown while nobody knows it', () => {
  assert.doesNotMatch(formatProgress({ ...COPYING, timeLeftMs: undefined }), /left/);
});

test('a fraction out of range does not break the bar', () => {
  assert.match(formatProgress({ ...COPYING, fraction: 1.5 }), /^\[#{20}\]/);
  assert.match(formatProgress({ ...COPYING, fraction: -1 }), /^\[\.{20}\]/);
});

test('a terminal gets one line that is drawn anew and never wraps', () => {
  const screen = new FakeScreen({ isTTY: true, columns: 60 });
  const bar = new ProgressBar(screen);
  bar.show(COPYING);
  bar.show({ ...COPYING, fraction: 0.5 });
  bar.end();
  const [first = '', second = '', end] = screen.written;
  assert.ok(first.startsWith('\r\u001B[K['));
  assert.equal(second.length, '\r\u001B[K'.length + 59);
  assert.equal(end, '\n');
});

test('elsewhere it writes at most two lines a second, and one for each new phase', () => {
  const screen = new FakeScreen({});
  let nowMs = 0;
  const bar = new ProgressBar(screen, () => nowMs);
  for (; nowMs < 2_000; nowMs += 100) bar.show(COPYING);
  assert.equal(screen.written.length, 4);
  bar.show({ ...COPYING, phase: 'switching over' });
  assert.equal(screen.written.length, 5);
});

class FakeScreen implements Screen {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly written: string[] = [];

  constructor({ isTTY = false, columns = 80 }) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.written.push(text);
  }
}
