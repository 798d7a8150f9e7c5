import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { renderReference } from './render-reference.ts';

const file = path.join(import.meta.dirname, '../../docs/reference/virtual-machine.md');
writeFileSync(file, renderReference());
