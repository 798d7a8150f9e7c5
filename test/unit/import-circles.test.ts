import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { relativeImports } from './relative-imports.ts';

/** The files of each circle, found as what Tarjan calls strongly connected components. */
function findCircles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const order = new Map<string, number>();
  const trail: string[] = [];
  /** Gives the earliest file on the trail that this one leads back to. */
  const visit = (file: string): number => {
    const own = order.size;
    order.set(file, own);
    const depth = trail.push(file) - 1;
    let earliest = own;
    for (const target of imports.get(file) ?? []) {
      if (!order.has(target)) earliest = Math.min(earliest, visit(target));
      else if (trail.includes(target)) earliest = Math.min(earliest, order.get(target) ?? own);
    }
    if (earliest < own) return earliest;
    const circle = trail.splice(depth);
    const isCircle = circle.length > 1 || imports.get(file)?.includes(file) === true;
    if (isCircle) circles.push(circle.toSorted());
    return earliest;
  };
  for (const file of imports.keys()) if (!order.has(file)) visit(file);
  return circles;
}

function readImports(file: string): string[] {
  return relativeImports(readFileSync(file, 'utf8')).map((target) =>
    path.posix.join(path.posix.dirname(file), target),
  );
}

test('a circle is found whatever its length, and what only leads into it is none', () => {
  const imports = new Map([
    ['into', ['a']],
    ['a', ['b', 'leaf']],
    ['b', ['c']],
    ['c', ['a']],
    ['leaf', []],
    ['self', ['self', 'leaf']],
  ]);
  assert.deepEqual(findCircles(imports), [['a', 'b', 'c'], ['self']]);
});

// Imports of types count: files that need each other's types cannot be understood one at a time either.
test('no imports go in a circle', () => {
  const files = [...globSync('src/**/*.ts'), ...globSync('lab/**/*.ts')];
  assert.notEqual(files.length, 0);
  const circles = findCircles(new Map(files.map((file) => [file, readImports(file)])));
  assert.deepEqual(circles, []);
});
