import assert from 'node:assert/strict';
import { test } from 'node:test';
import { debianSources } from '../../../../../lab/guest/distribution/apt-sources.ts';

const TARGETS = `http://mirror.example/debian bookworm main
http://mirror.example/debian bookworm contrib
http://mirror.example/debian bookworm-updates main
http://mirror.example/debian bookworm-backports main
http://security.example/debian-security bookworm-security main
https://node.example/node_20.x nodistro main
https://go.example bookworm stable
`;

test('a release comes from the mirrors that the machine has for its own', () => {
  assert.deepEqual(debianSources(TARGETS, 'bookworm', 'trixie'), [
    'deb http://mirror.example/debian trixie main',
    'deb http://mirror.example/debian trixie-updates main',
    'deb http://security.example/debian-security trixie-security main',
  ]);
});

test('where apt knows none of Debian, nothing is made up', () => {
  assert.deepEqual(debianSources('', 'bookworm', 'bookworm'), []);
  assert.deepEqual(debianSources(TARGETS, '', 'bookworm'), []);
});
